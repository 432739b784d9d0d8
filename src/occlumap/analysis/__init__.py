"""The analysis of a user study: every statistic of the text (section 6), and better ones.

>>> from occlumap.analysis import agreement
>>> agreement.cohen_kappa("aab", "aab").kappa
1.0
"""

from occlumap import agreement
from occlumap.analysis.results import Results, TestResult
from occlumap.analysis.results_by_id import every_result
from occlumap.analysis.tables import Study, TableError, read

__all__ = ["Results", "Study", "TableError", "TestResult", "agreement", "every_result", "read"]
