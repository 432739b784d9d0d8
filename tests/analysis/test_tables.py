"""Tables of a study: what is read, what is refused and how it is named, and how exports are merged."""

import pandas as pd
import pytest

pytest.importorskip("scipy")
from occlumap.analysis import TableError, every_result, read
from tests.analysis.study_tables import changed, drawn


@pytest.fixture
def data(tmp_path):
    return drawn(tmp_path / "data")


def set_cell(row, column, value):
    def change(table):
        table.loc[row, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        (
            "participants",
            set_cell(0, "heatmap", "gradcam"),
            r"participants\.csv, row 2, column heatmap.*'gradcam'",
        ),
        ("participants", set_cell(3, "scores", ""), r"participants\.csv, row 5, column scores"),
        (
            "participants",
            set_cell(1, "participant_id", "P001"),
            r"row 3, column participant_id: P001 stands twice",
        ),
        ("participants", lambda t: t.drop(columns="source"), r"participants\.csv: expected columns source"),
        ("participants", lambda t: t[t["heatmap"] + t["scores"] != "lrpshown"], r"participants\.csv"),
        ("responses", set_cell(7, "outcome", "XX"), r"responses\.csv, row 9, column outcome"),
        ("responses", set_cell(7, "confidence", "5"), r"responses\.csv, row 9, column confidence"),
        ("responses", set_cell(0, "correct", ""), r"responses\.csv, row 2, columns answer and correct"),
        (
            "responses",
            lambda t: pd.concat([t, t[:1]]),
            r"responses\.csv, row 122, column task_id: P001, 1 stands twice",
        ),
        ("responses", lambda t: t[t["participant_id"] != "P003"], r"'P003' has no row in responses\.csv"),
        ("codes", set_cell(0, "group", "other"), r"codes\.csv, row 2, column group"),
        ("codes", set_cell(0, "participant_id", "P999"), r"codes\.csv, row 2, column participant_id: 'P999'"),
    ],
)
def test_a_fault_is_named_by_table_row_and_column(data, tmp_path, table, change, told):
    with pytest.raises(TableError, match=told):
        read(changed(data, tmp_path / "bad", **{table: change}))


def test_an_answer_that_cannot_be_right_is_named(data, tmp_path):
    def flip(table):
        table.loc[0, "correct"] = str(1 - int(table.loc[0, "correct"]))
        return table

    with pytest.raises(TableError, match=r"responses\.csv, row 2, column correct"):
        read(changed(data, tmp_path / "bad", responses=flip))


def test_an_empty_cell_is_named(data, tmp_path):
    def moved(table):
        table.loc[(table["heatmap"] == "lrp") & (table["scores"] == "shown"), "scores"] = "not_shown"
        return table

    with pytest.raises(TableError, match="no participant in the cell lrp:shown"):
        read(changed(data, tmp_path / "bad", participants=moved))


def test_a_missing_table_is_named(data):
    (data / "codes.csv").unlink()
    with pytest.raises(TableError, match=r"codes\.csv: not in"):
        read(data)


def test_a_participant_without_codes_is_told_and_left_out_of_the_ratio(data, tmp_path):
    study = read(changed(data, tmp_path / "some", codes=lambda t: t[t["participant_id"] != "P002"]))
    assert any("'P002'" in remark for remark in study.remarks)
    values = every_result(study).values
    assert values["ratio.descriptives.overall"]["n"] == 23
    assert values["accuracy.descriptives.overall"]["n"] == 24


def test_one_outcome_only_is_told_and_the_rest_is_there(tmp_path):
    study = read(drawn(tmp_path / "one", outcomes="TTTT"))
    results = every_result(study)
    assert any("only 'TP'" in remark for remark in study.remarks)
    assert "one only" in results.problems["glmm.outcome"]
    assert "one kind only" in results.problems["accuracy.signal_detection"]
    assert "accuracy.anova.type2" in results.values


def test_without_variation_a_model_says_so(data, tmp_path):
    def all_right(table):
        yes = table["outcome"].isin(["TP", "FP"])
        return table.assign(answer=yes.map({True: "yes", False: "no"}), correct="1")

    results = every_result(read(changed(data, tmp_path / "right", responses=all_right)))
    assert "one kind only" in results.problems["glmm.base"]


def test_exports_are_merged_and_keep_their_source(data, tmp_path):
    other = changed(
        drawn(tmp_path / "other", seed=1),
        tmp_path / "renamed",
        participants=lambda t: t.assign(source="second"),
    )
    study = read([data, other])
    assert len(study.participants) == 48
    assert set(study.participants["source"]) == {"drawn", "second"}
    assert study.participants["participant_id"].is_unique
    assert len(study.responses) == 240
    with pytest.raises(TableError, match="twice"):
        read([data, data, data])


def test_gaps_and_whole_numbers_as_other_programs_write_them_are_read(data, tmp_path):
    def rewritten(table):
        correct = pd.to_numeric(table["correct"]).map("{:.1f}".format)
        table = table.assign(correct=correct, confidence=table["confidence"] + ".0")
        table.loc[3, ["answer", "correct", "confidence"]] = "NaN"
        return table

    def emptied(table):
        table.loc[3, ["answer", "correct", "confidence"]] = ""
        return table

    found = read(changed(data, tmp_path / "found", responses=rewritten))
    expected = read(changed(data, tmp_path / "expected", responses=emptied))
    pd.testing.assert_frame_equal(found.responses, expected.responses)


def test_when_all_are_excluded_the_report_is_written_all_the_same(data, tmp_path):
    from occlumap.analysis import report

    study = read(
        changed(data, tmp_path / "none", participants=lambda t: t.assign(excluded_from_features="1"))
    )
    results = every_result(study)
    assert "not excluded" in results.problems["ratio"]
    report.write_html(report.sections(study, results), tmp_path / "report.html")
    assert "Left out: ratio" in (tmp_path / "report.html").read_text()


def test_an_empty_cell_of_the_ratio_says_that_the_model_is_singular(data, tmp_path):
    def one_cell_out(table):
        inside = (table["heatmap"] == "lrp") & (table["scores"] == "shown")
        return table.assign(excluded_from_features=inside.astype(int).astype(str))

    results = every_result(read(changed(data, tmp_path / "cell", participants=one_cell_out)))
    assert "singular" in results.problems["ratio"]
    assert "ratio.white.type2.hc3" in results.problems["multiplicity"]


def test_two_conditions_are_enough(data, tmp_path):
    two = set(pd.read_csv(data / "participants.csv").query("heatmap != 'lrp'")["participant_id"])
    tables = dict.fromkeys(("participants", "responses", "codes"), lambda t: t[t["participant_id"].isin(two)])
    values = every_result(read(changed(data, tmp_path / "two", **tables))).values
    assert set(values["accuracy.pairs.heatmap.tukey"]) == {"none - occlusion"}
    assert values["accuracy.anova.type2"]["heatmap"]["df"] == 1
