"""A data set and a small classifier trained on it, once for all tests of the room."""

import shutil

import pytest

from tests.stimuli.sets import built


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    from occlumap.stimuli.draw import draw_dataset

    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, train=240, val=40, size=32, bias=0.5)
    return folder


@pytest.fixture(scope="session")
def trained(drawn):
    """The folder of a narrow VGG after a few epochs: better than chance, far from good."""
    torch = pytest.importorskip("torch")
    from occlumap.stimuli.train import Training, train

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(drawn, drawn / "model", Training("vgg-narrow", 32, 6, 6, None, 2e-3, 16))
    torch.set_num_threads(threads)
    return drawn / "model"


@pytest.fixture(scope="session")
def frozen(drawn, trained):
    """A set of six tasks; not to be changed."""
    for name in ("captum", "jsonschema", "yaml"):
        pytest.importorskip(name)
    return built(drawn, "frozen")


@pytest.fixture
def copy(frozen, tmp_path):
    """The same set, to be changed."""
    shutil.copytree(frozen, tmp_path / "set")
    return tmp_path / "set"
