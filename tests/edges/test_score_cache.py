"""The cache of scores on disk: what it saves, and that it never gives a wrong score."""

import contextlib
import sqlite3
import sys

import numpy as np
import pytest

import occlumap
from occlumap import score_cache
from occlumap.classifiers import score
from occlumap.errors import ArgumentError, OcclumapWarning, ScoreError
from occlumap.score_cache import CachedClassifier

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)


class Counting:
    """Class 0 scores the mean of red; counts what it is asked."""

    fingerprint, name, classes = "weights 1", "counting", ("red", "green", "blue")

    def __init__(self):
        self.images = 0

    def __call__(self, batch):
        self.images += len(batch)
        return batch.mean(axis=(1, 2)) / 255


def test_another_depth_asks_only_for_what_is_new(tmp_path):
    arguments = {"target": 0, "method": "paper"}
    inner = Counting()
    cached = CachedClassifier(inner, tmp_path / "scores.sqlite3")
    found = occlumap.explain(cached, IMAGE, depth=2, **arguments)
    before = inner.images
    again = occlumap.explain(cached, IMAGE, depth=2, **arguments)
    assert inner.images == before
    np.testing.assert_array_equal(found.heatmap, again.heatmap)
    deeper = occlumap.explain(cached, IMAGE, depth=3, **arguments)
    plain = Counting()
    np.testing.assert_array_equal(
        deeper.heatmap, occlumap.explain(plain, IMAGE, depth=3, **arguments).heatmap
    )
    assert inner.images - before < plain.images


def test_another_fingerprint_or_name_shares_nothing(tmp_path):
    one, other = Counting(), Counting()
    other.fingerprint = "weights 2"
    for inner in (one, other):
        CachedClassifier(inner, tmp_path / "scores.sqlite3")(IMAGE[None])
    assert (one.images, other.images) == (1, 1)


@pytest.mark.filterwarnings("ignore:importances that add up:occlumap.errors.OcclumapWarning")
def test_what_was_known_stands_in_the_provenance(tmp_path):
    cached = CachedClassifier(Counting(), tmp_path / "scores.sqlite3")
    known = [occlumap.explain(cached, IMAGE, 0, budget=20).provenance["cached"] for _ in range(2)]
    assert known == [0, 20]
    assert "cached" not in occlumap.explain(Counting(), IMAGE, 0, budget=20).provenance


@pytest.mark.parametrize("row", [["0.5", "0.5"], [0.5 + 1j, 0.5], [2e38, 0.5]])
def test_what_is_refused_when_it_is_asked_is_not_taken_from_the_file(tmp_path, row):
    def odd(batch):
        return [row] * len(batch)

    odd.fingerprint = "odd 1"
    for _ in range(3):
        with pytest.raises(ScoreError):
            occlumap.explain(CachedClassifier(odd, tmp_path / "scores.sqlite3"), IMAGE, 0, budget=20)


def test_a_file_whose_rows_never_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(score_cache, "LONGEST", 0.2)
    with contextlib.closing(sqlite3.connect(tmp_path / "scores.sqlite3")) as connection, connection:
        connection.execute(
            "create view scores as with recursive n(key, row) as "
            "(select x'00', x'00' union all select key, row from n) select * from n where row = x'01'"
        )
    with pytest.warns(OcclumapWarning, match="cannot be used"):
        assert CachedClassifier(Counting(), tmp_path / "scores.sqlite3")(IMAGE[None]).shape == (1, 3)


def test_the_same_words_in_two_projects_share_nothing(tmp_path, monkeypatch):
    import importlib

    rows = []
    for number in (1, 2):
        folder = tmp_path / f"project{number}"
        folder.mkdir()
        (folder / "my_cached_model.py").write_text(
            f"def classify(batch): return batch.mean(axis=(1, 2)) / {number}\nclassify.fingerprint = 'v1'\n"
        )
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            patch.delitem(sys.modules, "my_cached_model", raising=False)
            importlib.invalidate_caches()
            classify = importlib.import_module("my_cached_model").classify
            rows.append(CachedClassifier(classify, tmp_path / "scores.sqlite3")(IMAGE[None]))
            again = CachedClassifier(classify, tmp_path / "scores.sqlite3")
            np.testing.assert_array_equal(again(IMAGE[None]), rows[-1])
            assert again.reused == 1
    np.testing.assert_allclose(rows[0], rows[1] * 2)


def test_a_fingerprint_that_is_a_function_is_told(tmp_path):
    inner = Counting()
    inner.fingerprint = lambda: "weights 1"
    with pytest.raises(ArgumentError, match="make it an attribute"):
        CachedClassifier(inner, tmp_path / "scores.sqlite3")


def test_names_and_size_are_those_of_the_classifier(tmp_path):
    cached = CachedClassifier(Counting(), tmp_path / "scores.sqlite3")
    assert cached.classes == ("red", "green", "blue")
    assert not hasattr(cached, "input_size")


def test_without_a_fingerprint_there_is_no_cache(tmp_path):
    with pytest.raises(ArgumentError, match="fingerprint"):
        CachedClassifier(lambda batch: batch.mean(axis=(1, 2)), tmp_path / "scores.sqlite3")
    CachedClassifier(lambda batch: batch.mean(axis=(1, 2)), tmp_path / "scores.sqlite3", fingerprint="mine")


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_damaged_file_is_not_used(tmp_path, content):
    path = tmp_path / "scores.sqlite3"
    path.write_bytes(content)
    inner = Counting()
    cached = CachedClassifier(inner, path)
    if content:
        with pytest.warns(OcclumapWarning, match="going on without"):
            rows = cached(IMAGE[None])
    else:
        rows = cached(IMAGE[None])
    np.testing.assert_array_equal(rows, Counting()(IMAGE[None]))


@pytest.mark.parametrize("named", [True, False])
def test_rows_of_another_number_of_classes_are_told_and_not_used(tmp_path, named):
    path = tmp_path / "scores.sqlite3"
    batch = np.stack([IMAGE, IMAGE[::-1]])
    CachedClassifier(Counting(), path)(batch)

    class Two(Counting):
        classes = ("red", "green") if named else None

        def __call__(self, batch):
            return super().__call__(batch)[:, :2]

    cached = CachedClassifier(Two(), path)
    with pytest.warns(OcclumapWarning, match="has 3 scores of an image for counting, which gives 2"):
        rows = cached(batch)
    np.testing.assert_array_equal(rows, Two()(batch))
    again = CachedClassifier(Two(), path)
    np.testing.assert_array_equal(again(batch), rows)  # replaced
    assert (again.asked, again.reused) == (
        0 if named else 1,
        2,
    )  # how many columns there are is asked for, and counted


@pytest.mark.filterwarnings("ignore:the cache of scores:occlumap.errors.OcclumapWarning")
@pytest.mark.parametrize("row", [b"", b"abc", np.array([np.nan, 1, 1]).tobytes(), np.array([1.0]).tobytes()])
def test_a_row_that_was_tampered_with_gives_no_wrong_width_or_number(tmp_path, row):
    path = tmp_path / "scores.sqlite3"
    cached = CachedClassifier(Counting(), path)
    batch = np.stack([IMAGE, IMAGE[::-1], IMAGE // 2])
    cached(batch)
    with sqlite3.connect(path) as connection:
        connection.execute("update scores set row = ? where key = (select min(key) from scores)", (row,))
    connection.close()
    np.testing.assert_array_equal(CachedClassifier(Counting(), path)(batch), Counting()(batch))


def test_what_the_classifier_refuses_is_not_kept(tmp_path):
    inner = Counting()
    cached = CachedClassifier(
        lambda batch: np.full((len(batch), 2), np.nan), tmp_path / "s.sqlite3", fingerprint="x"
    )
    assert np.isnan(cached(IMAGE[None])).all()
    cached._classifier = inner
    assert np.isfinite(cached(IMAGE[None])).all()


def test_threads_share_it(tmp_path):
    cached = CachedClassifier(Counting(), tmp_path / "scores.sqlite3")
    arguments = {"target": 0, "method": "paper", "depth": 2, "batch_size": 8}
    one = occlumap.explain(cached, IMAGE, workers=4, **arguments)
    np.testing.assert_array_equal(one.heatmap, occlumap.explain(Counting(), IMAGE, **arguments).heatmap)


def test_a_classifier_that_changes_its_batch_keeps_no_wrong_score(tmp_path):
    def classify(batch):
        batch[...] = batch[..., ::-1].copy()
        return batch.mean(axis=(1, 2)) / 255

    other = IMAGE // 2
    CachedClassifier(classify, tmp_path / "scores.sqlite3", "1")(IMAGE[None].copy())
    for _ in range(2):
        both = CachedClassifier(classify, tmp_path / "scores.sqlite3", "1")(np.stack([other, IMAGE]))
        np.testing.assert_allclose(both, np.stack([other, IMAGE])[..., ::-1].mean(axis=(1, 2)) / 255)


def test_copies_behind_it_are_all_asked_at_once(tmp_path):
    copies = [Counting(), Counting()]
    cached = CachedClassifier(occlumap.adapters.replicas(copies), tmp_path / "scores.sqlite3")
    occlumap.explain(cached, IMAGE, target=0, budget=100, batch_size=4)
    assert cached.replicas == 2
    assert cached.asked == sum(one.images for one in copies) == 100


WRAPPED = {
    "adapter": "adapters.one_at_a_time(lambda image: scores(image[None])[0])",
    "partial": "functools.partial(lambda times, batch: scores(batch) * times, 1)",
    "of another module": "Held(scores)",
    "service": "adapters.from_url('http://127.0.0.1:9/', decode=lambda answer: scores(answer))",
}


@pytest.mark.parametrize("made", WRAPPED.values(), ids=WRAPPED.keys())
@pytest.mark.parametrize("changed", ["occlumap_my_model.py", "occlumap_my_helper.py"])
def test_a_classifier_whose_module_or_helper_changed_shares_nothing(tmp_path, monkeypatch, made, changed):
    import importlib

    names = ("occlumap_my_model", "occlumap_my_helper")
    (tmp_path / "occlumap_my_model.py").write_text(
        "import functools\nfrom occlumap import adapters\nfrom occlumap_my_helper import Held, mean\n"
        f"def scores(batch): return mean(batch) * 0.5\nclassifier = {made}\nclassifier.fingerprint = 'v1'\n"
    )
    (tmp_path / "occlumap_my_helper.py").write_text(
        "class Held:\n    def __init__(self, f): self.f = f\n    def __call__(self, batch): return self.f(batch)\n"
        "def mean(batch): return batch.mean(axis=(1, 2)) / 255\n"
    )
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files that change within a second
    monkeypatch.syspath_prepend(str(tmp_path))

    def fingerprint():
        for name in names:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        classifier = occlumap.load("occlumap_my_model:classifier")
        return CachedClassifier(classifier, tmp_path / "scores.sqlite3").fingerprint

    try:
        first = fingerprint()
        assert fingerprint() == first
        text = (tmp_path / changed).read_text()
        (tmp_path / changed).write_text(text + "# changed\n")
        assert fingerprint() != first
    finally:
        for name in names:
            sys.modules.pop(name, None)


def test_a_module_that_is_installed_is_in_the_key(tmp_path, monkeypatch):
    import importlib

    package = tmp_path / "site-packages" / "occlumap_installed_model"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def classify(batch): return batch.mean(axis=(1, 2))\n")
    monkeypatch.syspath_prepend(str(package.parent))
    classify = importlib.import_module("occlumap_installed_model").classify
    classify.fingerprint = "v1"
    try:
        marks = []
        for line in ("", "# changed\n"):
            with (package / "__init__.py").open("a") as file:
                file.write(line)
            adapted = occlumap.adapters.one_at_a_time(classify)
            marks.append(CachedClassifier(adapted, tmp_path / "scores.sqlite3").fingerprint)
        assert marks[0] != marks[1]
    finally:
        del sys.modules["occlumap_installed_model"]


def test_an_object_that_has_every_attribute_is_taken(tmp_path):
    from unittest.mock import MagicMock

    anything = MagicMock(fingerprint="v1", classes=None)
    assert CachedClassifier(anything, tmp_path / "scores.sqlite3").fingerprint.startswith("v1 ")


def test_the_fingerprint_of_a_file_is_enough():
    """What it is called from changes no score of an ONNX graph, or of a service that has a version."""
    from occlumap._fingerprints import Complete, of_classifier

    inner = Counting()
    inner.fingerprint = Complete("hash")
    assert of_classifier(inner) == "hash"
    service = occlumap.adapters.from_url("http://127.0.0.1:9/", fingerprint="v1")
    assert of_classifier(service) == service.fingerprint


def test_adapters_are_told_by_what_they_wrap_and_what_they_are_given(tmp_path):
    class One:
        fingerprint, name = "weights 1", "one"

        def __call__(self, batch):
            return batch.mean(axis=(1, 2, 3)) / 255

    class Embedding(One):
        def __call__(self, batch):
            return batch.mean(axis=(1, 2)) + 1

    class Detector(One):
        def __call__(self, batch):
            return [([[0, 0, 9, 9]], [[0.5, 0.5]])] * len(batch)

    adapters = occlumap.adapters
    made = [
        adapters.binary(One()),
        adapters.regression(One()),
        adapters.one_at_a_time(One()),
        adapters.similarity(Embedding(), IMAGE),
        adapters.similarity(Embedding(), IMAGE // 2),
        adapters.box_score(Detector(), (0, 0, 5, 5), 0),
        adapters.box_score(Detector(), (0, 0, 5, 5), 1),
        adapters.box_score(Detector(), (0, 0, 5, 6), 1),
    ]
    assert len({CachedClassifier(one, tmp_path / "scores.sqlite3").fingerprint for one in made}) == len(made)
    assert not hasattr(adapters.binary(lambda batch: batch.mean(axis=(1, 2, 3))), "fingerprint")


def test_adapters_keep_the_replicas_of_what_they_wrap():
    adapters = occlumap.adapters
    two = adapters.replicas([lambda batch: batch.mean(axis=(1, 2, 3)) / 255] * 2)
    assert adapters.binary(two).replicas == adapters.regression(two).replicas == 2


def test_a_module_that_is_saved_while_it_loads_keeps_no_score(tmp_path, monkeypatch):
    """What runs is the old code; the key would be of the new."""
    file = tmp_path / "occlumap_saved_meanwhile.py"
    text = "def classify(batch): return batch.mean(axis=(1, 2)) / 255\nclassify.fingerprint = 'v1'\n"
    file.write_text(f"from pathlib import Path\nPath(__file__).write_text('')\n{text}")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "scores.sqlite3"
    try:
        classify = occlumap.load("occlumap_saved_meanwhile:classify")
        with pytest.warns(OcclumapWarning, match="occlumap_saved_meanwhile.py was written after its import"):
            cached = CachedClassifier(classify, path)
        for _ in range(2):
            np.testing.assert_array_equal(cached(IMAGE[None]), classify(IMAGE[None]))
        assert (cached.asked, path.exists()) == (2, False)
        file.write_text(text)
        del sys.modules["occlumap_saved_meanwhile"]
        CachedClassifier(occlumap.load("occlumap_saved_meanwhile:classify"), path)(IMAGE[None])
        assert path.exists()
    finally:
        del sys.modules["occlumap_saved_meanwhile"]


def test_a_fingerprint_that_wraps_copied_is_not_the_wrappers(tmp_path):
    import functools

    inner = Counting()
    inner.fingerprint = "weights 1"

    @functools.wraps(inner, assigned=())
    def negative(batch):
        return 1 - inner(batch)

    path = tmp_path / "scores.sqlite3"
    CachedClassifier(inner, path)(IMAGE[None])
    with pytest.warns(OcclumapWarning, match="functools.wraps copies it"):
        cached = CachedClassifier(negative, path)
    np.testing.assert_array_equal(cached(IMAGE[None]), negative(IMAGE[None]))
    assert not hasattr(occlumap.adapters.regression(negative), "fingerprint")
    negative.fingerprint = "negative 1"
    assert CachedClassifier(negative, path).fingerprint.startswith("negative 1 ")


class NeedsGrad:
    def __array__(self, *about, **more):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


@pytest.mark.parametrize("rows", [NeedsGrad(), [[1.0, 2.0], [1.0]]])
@pytest.mark.parametrize("known", [False, True])
def test_what_is_no_array_is_told_as_without_the_cache(tmp_path, rows, known):
    class Odd(Counting):
        def __call__(self, batch):
            return rows

    batch = np.stack([IMAGE, IMAGE // 2])
    if known:
        CachedClassifier(Counting(), tmp_path / "scores.sqlite3")(batch[:1])
    cached = CachedClassifier(Odd(), tmp_path / "scores.sqlite3")
    with pytest.raises(ScoreError, match=r"return a NumPy array \(for a tensor: .detach"):
        score(cached, batch)


def test_a_classifier_that_answers_for_one_image_only_is_not_filled_up(tmp_path):
    class One(Counting):
        def __call__(self, batch):
            return super().__call__(batch)[:1]

    batch = np.stack([IMAGE, IMAGE // 2, IMAGE // 3])
    CachedClassifier(Counting(), tmp_path / "scores.sqlite3")(batch[:1])
    with pytest.raises(ScoreError, match=r"expected scores of shape \(3, classes\), got \(1, 3\)"):
        score(CachedClassifier(One(), tmp_path / "scores.sqlite3"), batch)
