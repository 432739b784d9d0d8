"""What is public stands in the documentation."""

import inspect
from pathlib import Path

import pytest

import occlumap
from occlumap import errors, evaluation
from occlumap.evaluation.methods import METHODS
from occlumap.evaluation.protocol import DIRECTIONS, METRICS

ROOT = Path(__file__).parents[1]
TEXT = "\n".join(page.read_text() for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.endswith(("Error", "Warning"))])
def test_every_error_is_documented(name):
    assert name in TEXT


@pytest.mark.parametrize("name", [name for name in occlumap.__all__ if not name.startswith("_")])
def test_every_public_name_is_documented(name):
    assert name in TEXT


@pytest.mark.parametrize(
    "name", [name for name in inspect.signature(occlumap.explain).parameters if name != "unknown"]
)
def test_every_argument_of_explain_is_documented(name):
    assert name in TEXT + inspect.getdoc(occlumap.explain)


@pytest.mark.parametrize("name", [*evaluation.__all__, *METHODS, *METRICS, *DIRECTIONS])
def test_every_metric_and_method_of_the_benchmark_is_documented(name):
    assert name in TEXT


def test_links_between_pages_lead_somewhere():
    import re

    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
