"""The package as it is imported."""

import subprocess
import sys

import pytest

import occlumap
from occlumap.errors import (
    OcclumapError,
)


def test_importing_occlumap_imports_nothing_heavy():
    heavy = [
        "PIL",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "cv2",
        "torch",
        "click",
        "tqdm",
        "scipy",
        "skimage",
        "platformdirs",
    ]
    code = f"import sys, occlumap; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in occlumap.__all__:
        assert hasattr(occlumap, name)


def test_every_error_derives_from_one():
    from occlumap import errors

    for name, value in vars(errors).items():
        if name.endswith("Error"):
            assert issubclass(value, OcclumapError)


def test_what_the_documentation_names_is_there_after_one_import():
    names = "adapters.from_url doctor.examine errors.OcclumapError images.fit score_cache.CachedClassifier zoo.names"
    listed = ", ".join(f"callable(occlumap.{name})" for name in names.split())
    code = f"import occlumap; print([{listed}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([True] * 6)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = occlumap.nothing
