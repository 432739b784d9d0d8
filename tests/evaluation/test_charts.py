import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("scipy")
pytest.importorskip("statsmodels")
pytest.importorskip("matplotlib")

from occlumap.evaluation import charts


def test_the_names_beside_the_curves_lie_apart():
    found = charts._apart([0.0, 0.5, 0.5, 0.51, 0.99, 1.0], 0.1)
    assert found == sorted(found)
    assert min(np.diff(found)) >= 0.1 - 1e-12
    assert max(found) <= 1
