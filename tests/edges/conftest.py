"""A working folder with a photograph and toy classifiers."""

import sys

import numpy as np
import pytest
from PIL import Image

from tests.edges.command_line import TOY


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a photograph and a module of toy classifiers."""
    (tmp_path / "occlumap_toy.py").write_text(TOY)
    picture = np.random.default_rng(3).integers(0, 120, (24, 20, 3), dtype=np.uint8)
    picture[6:14, 4:12] += 120
    Image.fromarray(picture).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "occlumap_toy", raising=False)
    yield tmp_path
    sys.modules.pop("occlumap_toy", None)
