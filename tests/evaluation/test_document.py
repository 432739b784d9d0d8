import pytest

from occlumap.evaluation import document


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a|b", "`a\\|b`"),
        ("a\\|b", "`a\\\u200b\\|b`"),  # GitHub would cut the cell after two backslashes
        ("a`b``c", "``` a`b``c ```"),
        ("a\nb", "`a\\nb`"),
        ("*a* <b>", "`*a* <b>`"),
        (" ", "`?`"),
    ],
)
def test_names_are_code_that_stays_in_its_cell(name, written):
    assert document._markdown([document.Name(name)], in_table=True) == written
