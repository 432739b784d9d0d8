"""Every error and warning of occlumap; the messages live where they are raised.

Catch `OcclumapError` to catch them all. Each also derives from the built-in exception that fits, so
code that expects a `ValueError` for a wrong value goes on working.
"""


class OcclumapError(Exception):
    """Base of every error that occlumap raises on purpose."""


class ArgumentError(OcclumapError, ValueError):
    """An argument has a value that cannot be used: depth, best_k, a fill that does not exist."""


class UnknownArgumentError(ArgumentError, TypeError):
    """A keyword that the function does not have, often one from another library."""


class BudgetError(ArgumentError):
    """The budget of classifier calls is too small for a single valid heatmap."""


class ImageError(OcclumapError, ValueError):
    """What was given as an image is none, is broken, or cannot be cut as asked."""


class TargetError(OcclumapError, ValueError):
    """The class to explain does not exist or its name fits several."""


class MeasuringError(OcclumapError, RuntimeError):
    """Measuring stopped half way; what had been measured is kept.

    `measurements` holds every score that `explain` had by then (an `occlumap.Measurements`, or None when it
    had not begun to measure regions): hand it to `explain(..., resume=error.measurements)` to go on.
    """

    measurements: object = None


class ClassifierError(MeasuringError):
    """The classifier raised; its own exception is the `__cause__`."""


class ScoreError(MeasuringError):
    """The classifier gave back something that is not one row of finite scores for each image.

    `good_rows`: the checked scores (n, classes) that came before the first bad one in the same batch.
    """

    good_rows: object = None


class FillError(MeasuringError):
    """A fill of the user's raised (its own exception is the `__cause__`), or painted what no region can show."""


class ClassifierNotFoundError(OcclumapError, LookupError):
    """`occlumap.load` knows no classifier by that name, or could not import it."""


class FileFormatError(OcclumapError, ValueError):
    """A saved file is not one of ours, is damaged, or comes from a newer version."""


class StimuliError(OcclumapError, ValueError):
    """A stimulus set cannot be made as asked: too few images of an outcome, a configuration that does not fit."""


class MissingDependencyError(OcclumapError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class OcclumapWarning(UserWarning):
    """The result is valid, and there is something that its reader should know."""
