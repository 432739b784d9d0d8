"""occlumap: which parts of this image made that classifier say so?

>>> import occlumap
>>> occlumap.__version__
'0.1.0'
"""

import importlib
from typing import Any

from occlumap.explain import explain, explain_iter
from occlumap.explanation import Explanation
from occlumap.measurements import Measurements
from occlumap.regions import Region

__version__ = "0.1.0"
__all__ = ["Explanation", "Measurements", "Region", "__version__", "explain", "explain_iter", "load"]

_MODULES = ("adapters", "doctor", "errors", "images", "score_cache", "zoo")
"""Imported when they are first asked for, so that `import occlumap` stays light."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"occlumap.{name}")
    raise AttributeError(f"module 'occlumap' has no attribute {name!r}")


def load(spec: Any, **options: Any) -> Any:
    """A classifier by name, `load("efficientnet-lite0")`, or by place: `load("module:callable")`, a file, an address.

    See `occlumap.zoo.load`, which this calls.
    """
    from occlumap import zoo

    return zoo.load(spec, **options)
