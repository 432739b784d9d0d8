"""Tables of a study: what is read, what is refused and how it is named, and how exports are merged."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("statsmodels")
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from occlumap.analysis import TableError, every_result, linear_models, measures, read
from occlumap.analysis.results_by_id import SECTIONS
from occlumap.errors import ArgumentError
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
        (
            "participants",
            set_cell(0, "source", ""),
            r"participants\.csv, row 2, column source: .* empty cell",
        ),
        ("responses", set_cell(4, "task_id", ""), r"responses\.csv, row 6, column task_id: .* empty cell"),
        ("codes", set_cell(0, "code", "NA"), r"codes\.csv, row 2, column code: .* empty cell"),
        ("responses", lambda t: t[:0], r"responses\.csv: has no rows"),
        ("responses", lambda t: t.assign(answer="", correct=""), r"every answer is missing"),
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
    values = every_result(study, sections=("accuracy", "saliency-feature ratio")).values
    assert values["ratio.descriptives.overall"]["n"] == 23
    assert values["accuracy.descriptives.overall"]["n"] == 24


def test_an_export_that_is_not_coded_changes_no_count_of_codes_and_is_told_once(data, tmp_path):
    other = changed(
        drawn(tmp_path / "other", seed=1),
        tmp_path / "uncoded",
        codes=lambda t: t[:0],
        participants=lambda t: t.assign(participant_id="Q" + t["participant_id"]),
        responses=lambda t: t.assign(participant_id="Q" + t["participant_id"]),
    )
    alone, both = read(data), read([data, other])
    told = [remark for remark in both.remarks if remark.startswith("codes.csv")]
    assert len(told) == 1
    assert "nobody of the 24 participants" in told[0]
    assert not any("column participant_id" in remark for remark in both.remarks)
    sections = ("design", "saliency-feature ratio", "codes")
    found, expected = (every_result(study, sections=sections).values for study in (both, alone))
    assert found["design.participants"] == 48
    assert found["design.cells_features"] == expected["design.cells_features"]
    for name, value in expected.items():
        if not name.startswith("design"):
            assert found[name] == value, name


def test_one_without_codes_among_coded_ones_is_told_in_full(data, tmp_path):
    study = read(changed(data, tmp_path / "some", codes=lambda t: t[t["participant_id"] != "P002"]))
    (told,) = [remark for remark in study.remarks if "'P002'" in remark]
    assert "left out of the saliency-feature ratio" in told
    assert "counted in percentages and counts of codes as one who mentioned nothing" in told
    assert "excluded_from_features = 1" in told


def test_a_participant_who_answered_nothing_is_named(data, tmp_path):
    def emptied(table):
        table.loc[table["participant_id"] == "P002", ["answer", "correct", "confidence"]] = ""
        return table

    study = read(changed(data, tmp_path / "some", responses=emptied))
    assert any("every answer of 'P002' is missing" in remark for remark in study.remarks)


def test_one_outcome_only_is_told_and_the_rest_is_there(tmp_path):
    study = read(drawn(tmp_path / "one", outcomes="TTTT"))
    results = every_result(study, sections=("accuracy", "mixed models"))
    assert any("only 'TP'" in remark for remark in study.remarks)
    assert "one only" in results.problems["glmm.outcome"]
    assert "one kind only" in results.problems["accuracy.signal_detection"]
    assert "accuracy.anova.type2" in results.values


def all_right(table):
    yes = table["outcome"].isin(["TP", "FP"])
    return table.assign(answer=yes.map({True: "yes", False: "no"}), correct="1")


def two_of_three(table):
    """Everybody's codes: two saliency features and a general attribute, so that each ratio is 2 / 3."""
    kinds = {"ears": "saliency", "legs": "saliency", "colour": "general"}
    people = sorted(set(table["participant_id"]))
    rows = [[one, "1", code, group] for one in people for code, group in kinds.items()]
    return pd.DataFrame(rows, columns=table.columns)


@pytest.mark.parametrize(
    ("change", "section", "name", "told"),
    [
        ({"codes": lambda t: t.assign(group="saliency")}, "saliency-feature ratio", "ratio", "same, 1"),
        ({"codes": two_of_three}, "saliency-feature ratio", "ratio", "same, 0.667"),
        ({"responses": lambda t: t.assign(confidence="3")}, "confidence", "confidence", "same, 3"),
        ({"responses": all_right}, "mixed models", "glmm", "one kind only"),
    ],
)
def test_a_measure_that_does_not_vary_is_left_out_as_a_whole_and_told_once(
    data, tmp_path, change, section, name, told
):
    found = every_result(read(changed(data, tmp_path / "same", **change)), sections=(section,))
    assert not found.values
    assert list(found.problems) == [name]
    assert told in found.problems[name]


def test_separation_is_told_with_its_cell_and_its_wald_results_as_not_usable(data, tmp_path):
    from occlumap.analysis import report

    def cell_right(table):
        own = table["participant_id"].between("P013", "P016")
        return table.where(~own, all_right(table))

    study = read(changed(data, tmp_path / "cell", responses=cell_right))
    found = every_result(study, sections=("design", "accuracy", "mixed models"))
    assert "all answers of lrp:shown are of one kind" in found.cautions["glmm.base"]
    assert "in lrp:shown" in found.problems["logit.cluster"]
    assert "in lrp:shown" in found.problems["accuracy.quasibinomial.type2"]
    sections = {section.title: section for section in report.sections(study, found)}
    assert any("Wald tests, pairs" in text for text in sections["Beyond the text"].paragraphs)
    assert not any("Odds ratios of a right" in text for text in sections["Beyond the text"].paragraphs)
    assert any("not usable" in table.title for table in sections["Beyond the text"].tables)


def test_ratings_that_do_not_overlap_between_cells_are_told_with_the_cells(data, tmp_path):
    def apart(table):
        high = table["participant_id"].between("P009", "P016")
        half = table["confidence"].isin(["1", "3"])
        table["confidence"] = np.where(high, np.where(half, "3", "4"), np.where(half, "1", "2"))
        return table

    found = every_result(read(changed(data, tmp_path / "apart", responses=apart)), sections=("confidence",))
    for name in ("confidence.clm", "confidence.clmm"):
        assert "no cell has ratings below and above 2" in found.cautions[name]
        assert "all of lrp:not_shown, lrp:shown from it: separation" in found.cautions[name]
    assert "confidence.clmm.lrt" in found.values
    assert found.cautions["confidence.clmm"].endswith("its likelihood-ratio tests are")
    assert not found.cautions["confidence.clm"].endswith("its likelihood-ratio tests are")


def test_a_random_deviation_that_runs_off_is_told_and_no_test_of_that_model_is_worded(data, tmp_path):
    from occlumap.analysis import report

    def yes(table):
        right = table["outcome"].isin(["TP", "FP"]).map({True: "1", False: "0"})
        return table.assign(answer="yes", correct=right)

    study = read(changed(data, tmp_path / "yes", responses=yes))
    found = every_result(study, sections=("design", "mixed models"))
    assert "the standard deviation of tasks" in found.cautions["glmm.base"]
    assert not found.cautions["glmm.base"].endswith("its likelihood-ratio tests are")
    told = next(one for one in report.sections(study, found) if one.title == "Beyond the text").paragraphs
    assert any("The mixed logistic model: the standard deviation" in text for text in told)
    assert any(
        text.startswith("Standard deviations on the logit scale (not usable, as told)") for text in told
    )
    methods = report.sections(study, found)[-1].paragraphs[0]
    assert "logistic mixed model" not in methods
    assert "Confidence" not in methods
    assert not any("logistic model shows" in text for text in told)


@pytest.mark.parametrize(
    ("columns", "section", "key"),
    [
        (["confidence"], "confidence", "confidence.counts_by_cell"),
        (["answer", "correct"], "accuracy", "accuracy.descriptives.cell"),
    ],
)
def test_a_cell_that_missing_values_empty_is_named(data, tmp_path, columns, section, key):
    from occlumap.analysis import report

    def emptied(table):
        table.loc[table["participant_id"].between("P013", "P016"), columns] = ""
        return table

    study = read(changed(data, tmp_path / "emptied", responses=emptied))
    found = every_result(study, sections=("design", section))
    assert f"{key}.lrp:shown" in found.problems
    name = "confidence.clmm" if section == "confidence" else "accuracy"
    assert "expected rows in every cell of the design, got none in lrp:shown" in found.problems[name]
    if section == "confidence":
        told = next(one for one in report.sections(study, found) if one.title == "Confidence").paragraphs
        assert any("Nobody of lrp:shown has a rating: the comparison is without." in text for text in told)
        assert "between the 5 cells" in report.sections(study, found)[-1].paragraphs[0]


def test_accuracy_that_does_not_vary_has_no_test_of_itself_nor_of_those_who_passed(data, tmp_path):
    study = read(changed(data, tmp_path / "right", responses=all_right))
    found = every_result(study, sections=("accuracy", "confidence", "saliency-feature ratio", "multiplicity"))
    assert "nothing varies" in found.problems["accuracy"]
    told = [name for name in found.values if name.startswith("accuracy.")]
    assert all(name.split(".")[1] in ("boxplot", *DESCRIBED) for name in told)
    assert found.values["accuracy.by_outcome"]["TP"]["participant_p_vs_half"] is None
    assert "accuracy" in found.problems["multiplicity.family.accuracy"]
    assert "accuracy_heatmap" not in found.values["multiplicity.family"]["raw"]


DESCRIBED = ("by_outcome", "by_outcome_heatmap", "signal_detection", "signal_detection_intervals")


def test_an_accuracy_that_differs_between_cells_only_is_not_tested_against_rounding(data, tmp_path):
    def by_cell(table):
        right = table["participant_id"].between("P009", "P012") | (table["task_id"] != "1")
        right &= table["task_id"] != "2"
        yes = right == table["outcome"].isin(["TP", "FP"])
        return table.assign(answer=yes.map({True: "yes", False: "no"}), correct=right.astype(int).astype(str))

    study = read(changed(data, tmp_path / "cells", responses=by_cell))
    found = every_result(study, sections=("accuracy",))
    assert "nothing varies within the cells" in found.problems["accuracy"]
    assert not any(name.startswith(("accuracy.anova", "accuracy.screened")) for name in found.values)


def test_a_result_that_cannot_be_had_costs_no_other(data, tmp_path):
    def lrp_same(table):
        same = of_lrp(table) & (table["group"] == "general")
        table.loc[same, "code"] = "other " + table["code"]
        return table.assign(group=table["group"].mask(same, "saliency"))

    study = read(changed(data, tmp_path / "lrp", codes=lrp_same))
    found = every_result(study, sections=("saliency-feature ratio",))
    assert "nothing varies in lrp" in found.problems["ratio.welch.heatmap"]
    assert "in lrp:not_shown, lrp:shown: no maximum" in found.problems["ratio.betabinomial"]
    assert "ratio.betabinomial_pairs" not in found.problems
    assert {"ratio.kruskal.cell", "ratio.effects.cohens_d", "ratio.games_howell"} < found.values.keys()
    assert "ratio" not in found.problems


def test_a_section_that_there_is_none_of_is_refused(data):
    with pytest.raises(ArgumentError, match=r"expected sections among design, .*, got acuracy"):
        every_result(read(data), sections=("acuracy",))


def test_equal_differences_of_kinds_are_ties(data, tmp_path):
    """Of 10 answers 3 and 1, 6 and 4: both differ by 0.2, which 0.3 - 0.1 and 0.6 - 0.4 in floats do not."""
    from scipy import stats

    from occlumap.analysis import code_kinds

    study = read(data)
    people = sorted(study.participants["participant_id"])
    first = study.responses[study.responses["task_id"] == "1"]
    tasks = [str(one) for one in range(1, 11)]
    responses = pd.concat([first.assign(task_id=task) for task in tasks])
    random = np.random.default_rng(0)
    counts = {one: random.integers(0, 11, 2).tolist() for one in people}
    rows = [
        [one, task, f"{kind}{task}", kind]
        for one in people
        for kind, count in zip(("saliency", "general"), counts[one], strict=True)
        for task in tasks[:count]
    ]
    codes = pd.DataFrame(rows, columns=study.codes.columns)
    found = dict(code_kinds.kind_results(replace(study, responses=responses, codes=codes)))
    of_heatmap = dict(zip(study.participants["participant_id"], study.participants["heatmap"], strict=True))
    for heatmap, row in found["kinds_within"].items():
        whole = [counts[one][0] - counts[one][1] for one in people if of_heatmap[one] == heatmap]
        assert row["p"] == stats.wilcoxon(whole).pvalue


def test_exports_are_merged_and_keep_their_source(data, tmp_path):
    other = changed(
        drawn(tmp_path / "other", seed=1),
        tmp_path / "renamed",
        participants=lambda t: t.assign(source="second"),
    )
    study = read([data, other])
    assert not any("count twice" in remark for remark in study.remarks)
    assert len(study.participants) == 48
    assert set(study.participants["source"]) == {"drawn", "second"}
    assert study.participants["participant_id"].is_unique
    assert len(study.responses) == 240


def test_nobody_counts_twice(data, tmp_path):
    with pytest.raises(TableError, match=r"the folder .*data twice"):
        read([data, data / ".." / "data"])
    with pytest.raises(
        TableError,
        match="24 of source 'drawn' in .*data stand here again.*'P001'.*give the later export only",
    ):
        read([data, changed(data, tmp_path / "copy")])
    some = changed(
        data, tmp_path / "some", participants=lambda t: t.assign(source=["other"] * 23 + ["drawn"])
    )
    with pytest.raises(TableError, match="1 of source .*: 'P024'; .*take their rows out"):
        read([data, some])


def test_an_earlier_export_beside_the_final_one_is_refused(data, tmp_path):
    early = changed(data, tmp_path / "early", responses=lambda t: t[t["task_id"] != "5"])
    told = "24 of source 'drawn' in .*early stand here again.*give each study a source of its own"
    with pytest.raises(TableError, match=told):
        read([early, data])
    other = changed(early, tmp_path / "other", participants=lambda t: t.assign(source="other"))
    assert "24 of source 'drawn' have the ids and the answers, or a part" in read([other, data]).remarks[0]


def test_who_finished_beside_the_quota_counts_and_is_told(data, tmp_path):
    def beside(table):
        return table.assign(over_quota=["1", *["0"] * 22, ""])

    study = read(changed(data, tmp_path / "beside", participants=beside))
    assert "1 of the 24 participants finished beside the quota ('P001')" in study.remarks[0]
    assert len(study.participants) == 24
    with pytest.raises(TableError, match=r"participants\.csv, row 2, column over_quota: .* got '2'"):
        read(changed(data, tmp_path / "odd", participants=lambda t: t.assign(over_quota="2")))
    (data / "double_coding.csv").write_text("segment_id,participant_id,task_id,coder_a,coder_b,coder_c\n")
    found = every_result(read(data), sections=("agreement of coders",))
    assert found.problems["reliability"].startswith("double_coding.csv has no rows")


def test_people_of_another_source_with_the_same_ids_and_answers_are_told(data, tmp_path):
    copy = changed(data, tmp_path / "copy", participants=lambda t: t.assign(source="copy"))
    told = read([data, copy]).remarks[0]
    assert (
        "24 of source 'copy' have the ids and the answers, or a part of them, of people of source 'drawn'"
        in told
    )
    assert "they count twice" in told


def test_merged_studies_do_not_give_one_name_to_different_tasks_or_kinds_of_codes(data, tmp_path):
    later = drawn(tmp_path / "later", seed=1, outcomes="PTPPN")
    other = changed(
        later,
        tmp_path / "other",
        codes=lambda t: t.assign(group=t["group"].where(t["code"] != "ears", "general")),
        participants=lambda t: t.assign(source="later"),
    )
    with pytest.raises(TableError, match="task 1 has several; rename it") as caught:
        read([data, other])
    assert "'ears' is both saliency and general; rename it" in str(caught.value)


def test_a_coders_code_without_a_group_is_told(data, tmp_path):
    folder = changed(data, tmp_path / "coded")
    (folder / "double_coding.csv").write_text(
        "segment_id,participant_id,task_id,coder_a,coder_b\n1,P001,1,ears,fur\n2,P001,2,pose,pose\n"
    )
    assert any("'fur'" in remark and "agreement on groups" in remark for remark in read(folder).remarks)


def test_equal_ids_of_other_people_are_told_apart_by_the_folder(data, tmp_path):
    later = drawn(tmp_path / "other" / "later", seed=1)
    study = read([data, changed(later, tmp_path / "later", participants=lambda t: t.assign(source="later"))])
    assert not any("count twice" in remark for remark in study.remarks)
    assert len(study.participants) == 48
    assert {"P001", "later:P001"} <= set(study.codes["participant_id"])


def test_three_studies_in_folders_of_one_name_are_merged(tmp_path):
    folders = [
        changed(
            drawn(tmp_path / f"drawn{seed}", seed=seed),
            tmp_path / f"{seed}" / "data",
            participants=lambda t, seed=seed: t.assign(source=f"study{seed}"),
        )
        for seed in range(3)
    ]
    people = read(folders).participants
    assert len(people) == people["participant_id"].nunique() == 72
    assert {"P001", "data:P001", "3:data:P001"} <= set(people["participant_id"])


def test_the_same_people_by_other_ids_are_told(data, tmp_path):
    def renamed(table):
        return table.assign(participant_id="x-" + table["participant_id"])

    tables = dict.fromkeys(("responses", "codes"), renamed)
    copy = changed(data, tmp_path / "copy", participants=lambda t: renamed(t).assign(source="copy"), **tables)
    told = read([data, copy]).remarks[0]
    assert "24 participants gave the same answers, task by task, as people of other ids" in told
    assert "'x-P001' as 'P001'" in told


def test_a_fault_of_one_of_several_folders_names_it(data, tmp_path):
    other = changed(data, tmp_path / "other", participants=lambda t: t.drop(columns="source"))
    with pytest.raises(TableError, match=r"other, participants\.csv: expected columns source"):
        read([data, other])


def test_ratings_of_missing_answers_are_not_counted_as_missing_ratings(data, tmp_path):
    def emptied(table):
        table.loc[[3, 4], "confidence"] = ""
        table.loc[3, ["answer", "correct"]] = ""
        return table

    remarks = read(changed(data, tmp_path / "gaps", responses=emptied)).remarks
    assert "responses.csv, column confidence: 1 answer has no rating; it is left out of confidence" in remarks


def test_one_participant_a_cell_is_told_as_the_reason(tmp_path):
    found = every_result(read(drawn(tmp_path / "few", per_cell=1)), sections=("accuracy",))
    assert found.problems["accuracy"].startswith("no cell has more than one participant")


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
    from occlumap.analysis import report, report_files

    study = read(
        changed(data, tmp_path / "none", participants=lambda t: t.assign(excluded_from_features="1"))
    )
    results = every_result(study, sections=set(SECTIONS) - {"mixed models", "power"})
    assert "not excluded" in results.problems["ratio"]
    report_files.write_html(report.sections(study, results), tmp_path / "report.html")
    assert "Left out: ratio" in (tmp_path / "report.html").read_text()


def test_an_empty_cell_of_the_ratio_says_that_the_model_is_singular(data, tmp_path):
    def one_cell_out(table):
        inside = (table["heatmap"] == "lrp") & (table["scores"] == "shown")
        return table.assign(excluded_from_features=inside.astype(int).astype(str))

    study = read(changed(data, tmp_path / "cell", participants=one_cell_out))
    results = every_result(
        study, sections=("accuracy", "confidence", "saliency-feature ratio", "multiplicity")
    )
    assert "singular" in results.problems["ratio"]
    assert "all are excluded" in results.problems["ratio.descriptives.cell.lrp:shown"]
    assert "ratio.white.type2.hc3 could not be had" in results.problems["multiplicity.family.ratio"]
    family = results.values["multiplicity.family"]
    assert set(family["raw"]) == {
        *(f"accuracy_{one}" for one in ("heatmap", "scores", "interaction")),
        "confidence",
    }
    assert family["bonferroni"]["confidence"] == min(1, 4 * family["raw"]["confidence"])
    assert "got none in lrp:shown: a singular model" in results.problems["ratio.betabinomial"]
    assert not any(name.startswith("ratio.betabinomial") for name in results.values)


def test_every_class_has_its_figure(data, tmp_path):
    from occlumap.analysis import figures

    def third(table):
        return table.assign(image_class=table["image_class"].where(table["task_id"] != "1", "dog"))

    study = read(changed(data, tmp_path / "three", responses=third))
    captions = {name: caption for name, caption, _ in figures.figures(study)}
    assert "horse" in captions["figure-28b"]


def test_two_conditions_are_enough(data, tmp_path):
    two = set(pd.read_csv(data / "participants.csv").query("heatmap != 'lrp'")["participant_id"])
    tables = dict.fromkeys(("participants", "responses", "codes"), lambda t: t[t["participant_id"].isin(two)])
    study = read(changed(data, tmp_path / "two", **tables))
    assert any("nobody has 'lrp'" in remark for remark in study.remarks)
    results = every_result(study, sections=("accuracy", "confidence", "codes"))
    assert "heatmap lrp" in results.problems["accuracy.tost.occlusion_vs_lrp.0.05"]
    assert "no answers with lrp (missing: codes.occlusion_vs_lrp, codes.occ" in results.problems["codes"]
    assert {"codes.percent", "codes.kinds_within"} < results.values.keys()
    values = results.values
    assert set(values["confidence.clmm.pairs.heatmap.tukey"]) == {"none - occlusion"}
    assert set(values["accuracy.pairs.heatmap.tukey"]) == {"none - occlusion"}
    assert values["accuracy.anova.type2"]["heatmap"]["df"] == 1


def test_codes_of_an_answer_that_is_not_there_are_told(data, tmp_path):
    from occlumap.analysis import figures

    study = read(changed(data, tmp_path / "lost", codes=set_cell(0, "task_id", "99")))
    assert any("P001, task 99" in remark for remark in study.remarks)
    captions = {name: caption for name, caption, _ in figures.figures(study)}
    assert f" 1 of the {len(study.codes)} codes are of no answer" in captions["figure-27"]


def test_codes_of_no_answer_at_all_are_told_with_the_tasks(data, tmp_path):
    study = read(changed(data, tmp_path / "lost", codes=lambda t: t.assign(task_id="task-" + t["task_id"])))
    found = every_result(study, sections=("codes",))
    assert "codes.csv has the tasks 'task-1', " in found.problems["codes"]
    assert "responses.csv '1', '2', '3', '4', '5'" in found.problems["codes"]


def test_spaces_round_a_columns_name_are_not_of_it(data, tmp_path):
    other = changed(data, tmp_path / "other", responses=lambda t: t.rename(columns=lambda name: f" {name} "))
    pd.testing.assert_frame_equal(read(other).responses, read(data).responses)


def test_other_separators_are_told(data, tmp_path):
    path = changed(data, tmp_path / "other") / "codes.csv"
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(TableError, match=r"codes\.csv: expected columns .*separated by commas, got .*;"):
        read(path.parent)


def test_a_byte_order_mark_other_line_ends_and_blank_lines_change_nothing(data, tmp_path):
    other = changed(data, tmp_path / "other")
    for path in other.glob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    pd.testing.assert_frame_equal(read(other).responses, read(data).responses)
    pd.testing.assert_frame_equal(read(other).participants, read(data).participants)


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"responses": lambda t: t.assign(confidence="3")}, "all values are the same"),
        ({"codes": lambda t: t.assign(group="saliency", code="x" + t["code"])}, "all values are the same"),
        ({"codes": lambda t: t.assign(code=t["code"].replace("ears", "<i>$e_{a}^$</i>"))}, "&lt;i&gt;"),
        ({"codes": lambda t: t.assign(code=t["code"].replace("ears", "e" * 130))}, f"{'e' * 27}..."),
    ],
)
def test_a_report_is_written_of_what_does_not_vary_and_of_odd_names(data, tmp_path, tables, told):
    from occlumap.analysis import report, report_files

    study = read(changed(data, tmp_path / "odd", **tables))
    found = every_result(study, sections=set(SECTIONS) - {"mixed models", "power"})
    report_files.write_html(report.sections(study, found), tmp_path / "report.html")
    assert told in (tmp_path / "report.html").read_text()


def test_ratios_that_vary_no_more_than_chance_make_a_singular_model_that_says_so(data):
    results = every_result(read(data), sections=("saliency-feature ratio",))
    assert "vary no more than chance" in results.problems["ratio.betabinomial.phi"]
    assert "phi" not in results.values["ratio.betabinomial"]
    assert "no chi-square distribution" in results.problems["ratio.betabinomial_dispersion"]
    assert "ratio.betabinomial_dispersion" not in results.values


def test_without_more_spread_than_chance_the_beta_binomial_model_is_the_binomial_one(data):
    study = read(data)
    table = measures.ratio(study)
    matrix = linear_models.design(table, ("heatmap", "scores", "heatmap:scores")).matrix
    counts = table[["saliency", "codes"]].to_numpy(float)
    expected = GLM(np.c_[counts[:, 0], counts[:, 1] - counts[:, 0]], matrix, family=Binomial()).fit(tol=1e-12)
    found = every_result(study, sections=("saliency-feature ratio",)).values["ratio.betabinomial"]
    rows = list(found["fixed"].values())
    assert [row["estimate"] for row in rows] == pytest.approx(expected.params, rel=1e-6, abs=1e-9)
    assert [row["se"] for row in rows] == pytest.approx(expected.bse, rel=1e-6)
    assert found["logLik"] == pytest.approx(expected.llf, rel=1e-9)


def test_thresholds_are_named_by_the_ratings_that_were_given(data, tmp_path):
    study = read(
        changed(
            data,
            tmp_path / "high",
            responses=lambda t: t.assign(confidence=t["confidence"].replace("1", "2")),
        )
    )
    values = every_result(study, sections=("confidence",)).values
    assert {"2|3", "3|4"} < set(values["confidence.clm"])


def emptied(where, **columns):
    """responses.csv with the answers of the rows that `where(table)` tells left out."""

    def change(table):
        table.loc[where(table), list(columns) or ["answer", "correct", "confidence"]] = ""
        return table

    return change


def of_lrp(table):
    return table["participant_id"].between("P009", "P016")


GAPS = {
    "ratings": (emptied(lambda t: t.index >= 0, confidence=""), "confidence", ["confidence"]),
    "ratings but of one heatmap": (
        emptied(lambda t: t["participant_id"] > "P008", confidence=""),
        "confidence",
        ["confidence.kruskal.heatmap", "confidence.clm"],
    ),
    "answers of a heatmap": (
        emptied(of_lrp),
        "accuracy",
        ["accuracy.descriptives.heatmap.lrp", "accuracy.signal_detection.lrp"],
    ),
    "answers of an outcome": (
        emptied(lambda t: t["outcome"] == "FP"),
        "accuracy",
        ["accuracy.by_outcome.FP"],
    ),
    "answers of an outcome but one person's": (
        emptied(lambda t: (t["outcome"] == "FP") & (t["participant_id"] != "P001")),
        "accuracy",
        [],
    ),
    "answers of a heatmap to what the system does not recognise": (
        emptied(lambda t: of_lrp(t) & (t["outcome"] == "FN")),
        "accuracy",
        ["accuracy.signal_detection.lrp"],
    ),
    "answers of a class": (
        emptied(lambda t: t["image_class"] == "horse"),
        "codes",
        ["codes.percent.horse"],
    ),
}
MADE = {
    "accuracy": {"accuracy.anova.type2", "accuracy.by_outcome", "accuracy.signal_detection_intervals"},
    "codes": {"codes.percent", "codes.kinds_within"},
}


@pytest.mark.parametrize(("change", "section", "left_out"), GAPS.values(), ids=GAPS)
def test_what_was_never_answered_is_left_out_and_told_and_the_report_is_written(
    data, tmp_path, change, section, left_out
):
    from occlumap.analysis import report, report_files

    study = read(changed(data, tmp_path / "gaps", responses=change))
    found = every_result(study, sections=("design", section))
    assert set(left_out) <= found.problems.keys()
    assert MADE.get(section, set()) <= found.values.keys()
    sections = report.sections(study, found)
    assert {"figure-25", "figure-27", "figure-29"} <= {name for one in sections for name, *_ in one.figures}
    report_files.write_html(sections, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert all(f"Left out: {name}: " in text for name in left_out)


def test_a_cell_of_one_participant_has_no_hc3_and_costs_nothing_else(data, tmp_path):
    alone = dict.fromkeys(
        ("participants", "responses", "codes"),
        lambda t: t[~t["participant_id"].isin(["P010", "P011", "P012"])],
    )
    found = every_result(
        read(changed(data, tmp_path / "alone", **alone)), sections=("saliency-feature ratio",)
    )
    assert "ratio" not in found.problems
    assert found.values["ratio.white.type2.hc3"]["heatmap"]["p"] is None
    assert found.values["ratio.pairs.heatmap_hc3.bonferroni"]["none - lrp"]["p"] is None
    assert found.values["ratio.white.type2.hc1"]["heatmap"]["p"] > 0
    assert "ratio.effects.cohens_d" in found.values


@pytest.mark.filterwarnings("ignore:.*could not be made")
def test_a_part_of_the_report_that_cannot_be_made_says_so_and_costs_no_other(data):
    from occlumap.analysis import report

    study = read(data)
    nothing = every_result(study, sections=())
    data_part, accuracy, *_, methods = report.sections(study, nothing)
    assert "Data: the rest could not be made (KeyError: 'design.participants')" in data_part.paragraphs[0]
    assert accuracy.figures
    assert len(methods.tables) == 2
