"""occlumap: which parts of this image made that classifier say so?

>>> import occlumap
>>> occlumap.__version__
'0.1.0'
"""

from typing import Any

from occlumap.explain import explain, explain_iter
from occlumap.explanation import Explanation
from occlumap.measurements import Measurements
from occlumap.regions import Region

__version__ = "0.1.0"
__all__ = ["Explanation", "Measurements", "Region", "__version__", "explain", "explain_iter", "load"]


def load(spec: Any, **options: Any) -> Any:
    """A classifier by name, `load("efficientnet-lite0")`, or by place: `load("module:callable")`, a file, an address.

    See `occlumap.zoo.load`, which this calls.
    """
    from occlumap import zoo

    return zoo.load(spec, **options)
