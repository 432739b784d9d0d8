import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared():
    """The folder of photographs and models beside the checkout, or a skip."""
    place = Path(os.environ.get("OCCLUMAP_SHARED", Path(__file__).parents[2] / "shared"))
    if not (place / "data" / "photos" / "photos.csv").exists():
        pytest.skip(f"needs the photographs and models of ../shared/data, not found at {place}")
    return place


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """The embedded classifier, its graph kept in a cache of the test run's own."""
    import occlumap

    os.environ["OCCLUMAP_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    try:
        yield occlumap.load("efficientnet-lite0")
    finally:
        del os.environ["OCCLUMAP_CACHE"]
