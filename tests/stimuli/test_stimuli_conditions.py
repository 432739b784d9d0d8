"""Conditions: LRP conserves and agrees with zennit; every condition gives a heatmap of the image's own shape."""

import io
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlumap.errors import ArgumentError, ClassifierError
from occlumap.stimuli.check import MISFIT, NO_FIT
from occlumap.stimuli.colours import Shown, coarse, enlarge, fairness, intensity, misfit, paint, unfair
from occlumap.stimuli.conditions import BUILT_IN, Request, condition, heatmap
from occlumap.stimuli.draw import draw_scene
from occlumap.stimuli.lrp import RULE_SETS, _propagated, relevances
from occlumap.stimuli.network import Studied, build

ROOT = Path(__file__).parents[2]


def unbiased(classes=4, seed=0):
    """A narrow VGG of random weights without biases, so that all of a logit is relevance."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    network = build("vgg-narrow", classes)
    for name, value in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(value)
    return Studied(network, 32, [f"class {one}" for one in range(classes)])


def an_image(seed=0, shape=(32, 32)):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_the_table_of_conditions_is_that_of_the_package():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        "occlumap.conditions"
    ]
    assert declared == BUILT_IN


@pytest.mark.parametrize("rules", RULE_SETS)
@pytest.mark.parametrize("target", [0, 3])
def test_relevance_is_conserved(rules, target):
    pytest.importorskip("captum")
    classifier, image = unbiased(), an_image()
    import torch

    with torch.no_grad():
        logit = float(classifier.network(classifier.inputs(image[None]))[0, target])
    relevance = relevances(classifier, image, target, rules)
    assert relevance.sum() == pytest.approx(logit, rel=1e-2, abs=1e-3)
    assert np.abs(relevance).sum() > 0


def biased(seed=0):
    """A narrow VGG of random weights and biases."""
    torch = pytest.importorskip("torch")
    classifier = unbiased(seed=seed)
    for name, value in classifier.network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value, std=0.3)
    return classifier


@pytest.mark.parametrize("rules", RULE_SETS)
@pytest.mark.parametrize("target", [0, 3])
def test_with_biases_the_logit_is_the_relevance_and_what_they_kept(rules, target):
    pytest.importorskip("captum")
    classifier, image = biased(), an_image()
    logit = classifier.network(classifier.inputs(image[None]))[0, target].item()
    pixels, share = _propagated(classifier.network, classifier.inputs(image[None]), target, rules)
    kept = share * logit
    assert pixels.sum() + kept == pytest.approx(logit, abs=1e-4)
    assert abs(kept) > 0.05


def test_a_linear_layer_keeps_its_bias():
    """Of w x + b it gives w x to the pixels, and b to none."""
    pytest.importorskip("captum")
    import torch

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 2))
    torch.nn.init.constant_(network[1].bias, 0.7)
    classifier = Studied(network, 32, ["a", "b"])
    inputs = classifier.inputs(an_image()[None])
    pixels, share = _propagated(network, inputs, 1, "epsilon")
    assert share * network(inputs)[0, 1].item() == pytest.approx(0.7, abs=1e-4)
    assert pixels.sum() == pytest.approx((network[1].weight[1] @ inputs.flatten()).item(), abs=1e-4)


def test_relevance_leaves_the_network_as_it_was():
    pytest.importorskip("captum")
    classifier, image = unbiased(), an_image()
    before = classifier(image[None])
    first = relevances(classifier, image, 1, "epsilon-plus-flat")
    np.testing.assert_array_equal(classifier(image[None]), before)
    np.testing.assert_array_equal(relevances(classifier, image, 1, "epsilon-plus-flat"), first)


@pytest.fixture
def zennit(monkeypatch):
    """zennit, with empty modules for torchvision, which it imports and, for VGG, does not use."""
    if "torchvision" not in sys.modules:
        for name in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
            module = types.ModuleType(name)
            module.Bottleneck = type("Bottleneck", (), {})
            module.BasicBlock = type("BasicBlock", (), {})
            monkeypatch.setitem(sys.modules, name, module)
    return pytest.importorskip("zennit")


@pytest.mark.parametrize("make", [unbiased, biased])
@pytest.mark.parametrize("rules", RULE_SETS)
def test_relevance_agrees_with_zennit(zennit, rules, make):
    """Biases take their share on linear layers, and none on convolutions of alpha 1 beta 0."""
    pytest.importorskip("captum")
    import torch
    from zennit import composites
    from zennit.attribution import Gradient
    from zennit.rules import Epsilon, ZPlus
    from zennit.types import Convolution, Linear

    classifier, image = make(seed=2), an_image(1)
    ours = relevances(classifier, image, 2, rules)
    theirs_by = {
        "epsilon-plus-flat": composites.EpsilonPlusFlat(layer_map=[(Convolution, ZPlus(zero_params="bias"))]),
        "epsilon": composites.LayerMapComposite([(Convolution, Epsilon(1e-6)), (Linear, Epsilon(1e-6))]),
    }[rules]
    inputs = classifier.inputs(image[None]).requires_grad_()
    with Gradient(classifier.network, theirs_by) as attributor:
        logits = classifier.network(inputs)
        wanted = torch.zeros_like(logits)
        wanted[0, 2] = logits[0, 2].detach()
        _, theirs = attributor(inputs, wanted)
    theirs = theirs[0].double().numpy()
    assert np.corrcoef(ours.sum(axis=0).ravel(), theirs.sum(axis=0).ravel())[0, 1] > 0.999
    np.testing.assert_allclose(ours.sum(axis=0), theirs.sum(axis=0), atol=1e-2 * np.abs(theirs).max())


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")  # noise is nothing to explain
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("occlusion", {"depth": 2}),
        ("joint", {"budget": 60}),
        ("single_scale", {"window": 12}),
        ("lrp", {}),
        ("grad_cam", {}),
        ("random", {}),
        ("mask", {}),
    ],
)
def test_every_condition_has_the_shape_of_the_image_and_repeats_itself(name, options):
    pytest.importorskip("captum")
    image = an_image(3, (30, 44))
    where = np.zeros((30, 44), dtype=bool)
    where[4:12, 20:30] = True
    request = Request(image, 1, unbiased(), where, seed=5)
    found = heatmap(name, request, options)
    assert found.shape == (30, 44)
    np.testing.assert_array_equal(found, heatmap(name, request, options))
    if name == "mask":
        np.testing.assert_array_equal(found > 0, where)


def test_noise_has_about_the_ink_of_a_method():
    """Of the demo's: 0.09 to 0.14."""
    requests = [Request(an_image(seed, (64, 64)), 0, None, None, seed) for seed in range(9)]
    ink = np.mean([intensity(condition("random")(one)).mean() for one in requests])
    assert 0.09 < ink < 0.18


def test_the_study_s_parameters_are_the_defaults_of_occlusion():
    import inspect

    defaults = {
        name: one.default for name, one in inspect.signature(condition("occlusion")).parameters.items()
    }
    assert (defaults["depth"], defaults["best_k"], defaults["fill"]) == (4, 5, "constant:169")


def test_none_shows_nothing_and_others_are_refused():
    request = Request(an_image(), 0, None, np.zeros((32, 32), dtype=bool))
    assert heatmap("none", request) is None
    with pytest.raises(ArgumentError, match="did you mean occlusion"):
        condition("oclusion")
    with pytest.raises(ArgumentError, match="depht"):
        heatmap("occlusion", request, {"depht": 3})
    with pytest.raises(ArgumentError, match="epsilon"):
        relevances(unbiased(), an_image(), 0, "epsylon")


def test_an_installed_package_adds_a_condition(monkeypatch):
    from importlib.metadata import EntryPoint

    from occlumap.stimuli import conditions

    entry = EntryPoint("brightness", "numpy:mean", conditions.GROUP)
    monkeypatch.setattr(
        conditions, "entry_points", lambda group: [entry] if group == conditions.GROUP else []
    )
    assert condition("brightness") is np.mean
    request = Request(an_image(), 0, None, np.zeros((32, 32), dtype=bool))
    monkeypatch.setattr(np, "mean", lambda request: request.image[..., 0] / 255)
    np.testing.assert_array_equal(heatmap("brightness", request), request.image[..., 0] / 255)
    monkeypatch.setattr(np, "mean", lambda request: np.zeros((3, 3)))
    with pytest.raises(ArgumentError, match="shape"):
        heatmap("brightness", request)


@pytest.mark.parametrize("name", ["lrp", "brightness"])
def test_a_condition_s_name_that_two_give_is_refused(monkeypatch, name):
    from importlib.metadata import EntryPoint

    from occlumap.stimuli import conditions

    entries = [EntryPoint(name, f"numpy:{one}", conditions.GROUP) for one in ("mean", "median")]
    monkeypatch.setattr(conditions, "entry_points", lambda group: entries)
    with pytest.raises(ArgumentError, match=f"one condition '{name}', got numpy:mean and numpy:median"):
        condition(name)


def test_colours_are_those_of_matplotlib_and_stronger_is_darker():
    grey = np.full((8, 8, 3), 200, dtype=np.uint8)
    ramp = np.linspace(0, 1, 8)[None].repeat(8, axis=0)
    painted = paint(grey, ramp, (8, 8))
    assert (np.diff(painted.astype(int).sum(axis=2), axis=1) < 0).all()
    from matplotlib import colormaps

    expected = 200 * 0.4 + np.array(colormaps["Reds"](1.0)[:3]) * 255 * 0.6
    np.testing.assert_allclose(painted[0, -1], expected, atol=1)


@pytest.mark.parametrize("kind", ["blank", "smooth", "dots", "half"])
@pytest.mark.parametrize("quality", [90, 10])
def test_a_heatmap_fits_its_own_image_better_than_others(kind, quality):
    """Scenes and photographs as a page has them, under heatmaps of every kind."""
    from skimage import data

    scenes = [draw_scene(seed, 64, bias=1).image for seed in range(6)]
    pictures = [*scenes, data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]

    def seen(pixels):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as picture:
            return coarse(np.asarray(picture))

    plain, painted = [], []
    for number, one in enumerate(pictures):
        small = enlarge(one, (64, 64))
        ink = np.random.default_rng(number).random((64, 64))
        ink = {
            "blank": np.zeros((64, 64)),
            "smooth": intensity(condition("random")(Request(small, 0, None, None, number))),
            "dots": np.where(ink > 0.9, ink, 0),
            "half": np.tile(np.linspace(0, 1, 64) > 0.5, (64, 1)).astype(float),
        }[kind]
        plain.append(seen(enlarge(one, (320, 320))))
        painted.append(seen(paint(small, ink, (320, 320))))
    away = np.array([[misfit(mine, other) for other in plain] for mine in painted])
    assert np.diag(away).max() < (MISFIT if quality == 90 else NO_FIT)
    assert (away.argmin(axis=1) == np.arange(len(pictures))).all()


def test_what_speaks_against_the_class_is_not_shown_and_an_empty_map_is_empty():
    assert not intensity(-np.ones((3, 3))).any()
    assert intensity(np.array([[1.0, -5.0]])).tolist() == [[1.0, 0.0]]


def test_the_fairness_report_counts_what_is_shown_and_points_out_unequal_ink():
    full, tenth = np.ones((10, 10)), np.zeros((10, 10))
    tenth[0] = 1
    report = fairness({"much": [full, full], "little": [tenth], "nothing": []})
    assert report == {"much": Shown(1.0, 1.0, 0.0, 2, 0), "little": Shown(0.1, 0.1, 1.0, 1, 0)}
    assert len(unfair(report)) == 1
    assert "much shows 1.000 ink, little 0.100" in unfair(report)[0]


def residual():
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.relu, self.other = nn.ReLU(), nn.ReLU()
            self.pool, self.flat, self.last = nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 4)

        def forward(self, x):
            x = self.relu(self.first(x))
            return self.last(self.flat(self.pool(self.other(self.second(x)) + x)))

    return Residual()


def product():
    """An attention of a kind: what it lets through depends on what it sees."""
    torch = pytest.importorskip("torch")
    network = build("vgg-narrow", 4)
    network.features.register_forward_hook(lambda module, given, found: found * torch.sigmoid(found))
    return network


@pytest.mark.parametrize("make", [residual, product])
@pytest.mark.parametrize("rules", RULE_SETS)
def test_a_network_whose_relevance_is_not_conserved_is_refused(make, rules):
    pytest.importorskip("captum")
    import torch

    torch.manual_seed(0)
    request = Request(an_image(), 1, Studied(make(), 32, list("abcd"), "own"), np.zeros((32, 32), dtype=bool))
    with pytest.raises(ArgumentError, match="whose relevance LRP conserves.*grad_cam"):
        heatmap("lrp", request, {"rules": rules})


def pooled(way, backwards=False):
    """A chain whose map `way` makes one number per channel of, its layers made in their order, or backwards."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            layers = {"first": nn.Conv2d(3, 8, 3), "second": nn.Conv2d(8, 8, 3), "last": nn.Linear(8, 4)}
            for name in reversed(layers) if backwards else layers:
                setattr(self, name, layers[name])
            self.relu, self.pool, self.flat = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()

        def forward(self, x):
            x = torch.nn.functional.relu(self.second(self.relu(self.first(x))))
            return self.last(way(self, torch.cat([x[:, :4], x[:, 4:]], 1)))

    torch.manual_seed(0)
    return Studied(Pooled(), 32, list("abcd"), "own")


@pytest.mark.parametrize("rules", RULE_SETS)
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("mean", lambda network, x: x.mean((2, 3))),
        ("adaptive_avg_pool2d", lambda network, x: functional().adaptive_avg_pool2d(x, 1).flatten(1)),
        ("avg_pool2d", lambda network, x: functional().avg_pool2d(x, 28).reshape(len(x), -1)),
    ],
)
def test_a_mean_between_layers_is_refused_though_its_sum_is_right(name, way, rules):
    pytest.importorskip("captum")
    request = Request(an_image(), 1, pooled(way), np.zeros((32, 32), dtype=bool))
    with pytest.raises(ArgumentError, match=rf"got {name} between its layers.*nn.AdaptiveAvgPool2d\(1\)"):
        heatmap("lrp", request, {"rules": rules})


def functional():
    import torch

    return torch.nn.functional


@pytest.mark.parametrize("rules", RULE_SETS)
def test_a_chain_is_explained_in_the_order_of_its_pass_not_that_of_its_making(rules):
    pytest.importorskip("captum")

    def by_modules(network, x):
        return network.flat(network.pool(x))

    there, back = pooled(by_modules), pooled(by_modules, backwards=True)
    back.network.load_state_dict(there.network.state_dict())
    where = np.zeros((32, 32), dtype=bool)
    found = [heatmap("lrp", Request(an_image(), 1, one, where), {"rules": rules}) for one in (there, back)]
    assert np.abs(found[0]).sum() > 0
    np.testing.assert_allclose(found[0], found[1])


def test_a_network_with_biases_and_one_relu_for_all_is_explained_and_left_as_it_was():
    pytest.importorskip("captum")
    import torch

    nn, relu = torch.nn, torch.nn.ReLU()
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        relu,
        nn.Conv2d(8, 8, 3, padding=1),
        relu,
        nn.MaxPool2d(8),
        nn.Flatten(),
    ]
    classifier = Studied(nn.Sequential(*layers, nn.Linear(128, 4)), 32, list("abcd"))
    before = {name: value.clone() for name, value in classifier.network.state_dict().items()}
    found = heatmap("lrp", Request(an_image(), 1, classifier, np.zeros((32, 32), dtype=bool)))
    assert np.abs(found).sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in classifier.network.state_dict().items())


def test_what_a_condition_writes_into_its_image_reaches_no_other(monkeypatch):
    from occlumap.stimuli import conditions

    def spoils(request):
        request.image[:], request.mask[:] = 0, True
        return request.image[..., 0]

    monkeypatch.setattr(conditions, "condition", lambda name: spoils)
    image, where = an_image(), np.zeros((32, 32), dtype=bool)
    assert not heatmap("own", Request(image, 0, None, where)).any()
    np.testing.assert_array_equal(image, an_image())
    assert not where.any()


def test_a_condition_without_a_heatmap_for_an_image_is_refused(monkeypatch):
    from occlumap.stimuli import conditions

    monkeypatch.setattr(conditions, "condition", lambda name: lambda request: None)
    request = Request(an_image(), 0, None, np.zeros((32, 32), dtype=bool))
    with pytest.raises(
        ArgumentError, match="'own' to give a heatmap, got None: only the condition none shows none"
    ):
        heatmap("own", request)


def test_complex_numbers_are_no_heatmap(monkeypatch):
    from occlumap.stimuli import conditions

    monkeypatch.setattr(conditions, "condition", lambda name: lambda request: np.full((32, 32), 1j))
    request = Request(an_image(), 0, None, np.zeros((32, 32), dtype=bool))
    with pytest.raises(ArgumentError, match="condition 'own': expected real numbers, got complex ones"):
        heatmap("own", request)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ma.masked_less(np.arange(1024.0).reshape(32, 32), 9), "a masked array; fill it"),
        ([["1"] * 32] * 32, "real numbers, got an array of <U1"),
        (np.full((32, 32), None), "real numbers, got an array of object"),
    ],
)
def test_what_is_no_array_of_numbers_is_no_heatmap(monkeypatch, given, message):
    from occlumap.stimuli import conditions

    monkeypatch.setattr(conditions, "condition", lambda name: lambda request: given)
    request = Request(an_image(), 0, None, np.zeros((32, 32), dtype=bool))
    with pytest.raises(ArgumentError, match=f"condition 'own': expected .*{message}"):
        heatmap("own", request)


def test_a_network_that_cannot_be_copied_is_told_as_such(monkeypatch):
    from occlumap.stimuli import conditions

    monkeypatch.setattr(conditions, "condition", lambda name: lambda request: request.image[..., 0])
    generator = (one for one in "ab")
    with pytest.raises(ArgumentError, match=r"network that copy.deepcopy can copy.*TypeError: cannot pickle"):
        heatmap("own", Request(an_image(), 0, generator, np.zeros((32, 32), dtype=bool)))


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_nothing_is_said_of_measurements_that_nobody_keeps(error):
    def ends(batch):
        if len(batch) > 1:
            raise error
        return np.ones((1, 2))

    request = Request(an_image(), 0, ends, np.zeros((32, 32), dtype=bool))
    with pytest.raises((ClassifierError, KeyboardInterrupt)) as caught:
        heatmap("occlusion", request, {"depth": 1})
    assert not getattr(caught.value, "__notes__", ())


def test_what_a_condition_raises_is_told_with_its_name(monkeypatch):
    from occlumap.stimuli import conditions

    def breaks(request, *, how="badly"):
        raise KeyError(how)

    monkeypatch.setattr(conditions, "condition", lambda name: breaks)
    request = Request(an_image(), 0, None, np.zeros((32, 32), dtype=bool))
    with pytest.raises(ArgumentError, match="condition 'own' with options how: well raised KeyError: 'well'"):
        heatmap("own", request, {"how": "well"})
    monkeypatch.setattr(conditions, "condition", lambda name: lambda request: sys.exit(3))
    with pytest.raises(ArgumentError, match="condition 'own' raised SystemExit: 3"):
        heatmap("own", request)
    monkeypatch.setattr(conditions, "condition", lambda name: breaks)
    with pytest.raises(
        ArgumentError, match="options of condition 'own' among how, got 'who'.*did you mean how"
    ):
        heatmap("own", request, {"who": 1})
