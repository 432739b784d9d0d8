"""Contrast of a study's colours, as the WCAG reckon it."""

from collections.abc import Mapping

DEFAULTS = {
    "text": "#1a1a1a",
    "background": "#ffffff",
    "accent": "#0b4f9e",
    "border": "#767676",
    "right": "#00684a",
    "wrong": "#a3001b",
    "focus": "#b35900",
}
"""Of pages: text, its ground, links and buttons (whose text has the ground's colour) and score bars, lines, the edge of
examples that the system got right or wrong, and what has the focus."""

_LEAST = {"text": 4.5, "accent": 4.5, "border": 3.0, "right": 3.0, "wrong": 3.0, "focus": 3.0}
"""Against `background`: 4.5 for text (WCAG 1.4.3), 3 for lines and edges (1.4.11)."""


def contrast(one: str, other: str) -> float:
    """The contrast of two colours "#rrggbb", from 1 to 21 (WCAG 2.2).

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def faults(colours: Mapping[str, str]) -> list[str]:
    """Which of the colours cannot be told well enough from the background, or from each other."""
    ground, right, wrong = colours["background"], colours["right"], colours["wrong"]
    same = [f"colours.right and colours.wrong are both {right}"] if right.lower() == wrong.lower() else []
    return same + [
        f"colours.{name} is {colours[name]} on {ground}: a contrast of {contrast(colours[name], ground):.2f}, "
        f"and needs {least}"
        for name, least in _LEAST.items()
        if contrast(colours[name], ground) < least
    ]


def style_sheet(colours: Mapping[str, str]) -> str:
    """The colours for the pages' style sheet."""
    return ":root { " + " ".join(f"--{name}: {colours[name]};" for name in DEFAULTS) + " }\n"
