"""occlumap analyse: the report, a frozen plan, blinding, and the replication package."""

import hashlib
import json
import re
import zipfile

import pytest

pytest.importorskip("statsmodels")
pytest.importorskip("reportlab")
import occlumap
from occlumap.analysis import Results, figures, plan, read, report_files, wording
from occlumap.analysis import package as packages
from occlumap.analysis import report as report_module
from occlumap.analysis.document import Section, Table
from occlumap.analysis.mixed_model_results import TESTS_USABLE
from occlumap.errors import FileFormatError, OcclumapWarning
from tests.analysis.study_tables import changed, drawn
from tests.edges.command_line import run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyse")
    drawn(folder / "data")
    run("analyse", "freeze", "--out", str(folder / "plan.json"))
    run("analyse", str(folder / "data"), "--plan", str(folder / "plan.json"), "--out", str(folder / "report"))
    return folder / "report"


def test_it_writes_results_report_and_figures(report):
    names = {path.name for path in report.iterdir()}
    assert names == {
        "results.json",
        "report.html",
        "report.pdf",
        *(f"figure-{n}.svg" for n in (25, 26, 27, 28, 29)),
    }
    assert json.loads((report / "results.json").read_text())["design.participants"] == 24
    assert (report / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_run_that_is_stopped_leaves_the_earlier_set_and_a_whole_one_replaces_it(tmp_path, monkeypatch):
    first, second = ([Section("Data", [text])] for text in ("of the first", "of the second"))
    (tmp_path / "figure-28b.svg").write_text("of the first, with three classes")
    (tmp_path / "figure-mine.svg").write_text("of mine")
    (tmp_path / ".unfinished-killed").mkdir()
    report_files.write(first, {"of": 1}, tmp_path)
    (tmp_path / "figure-mine.svg").unlink()
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "report.html", "report.pdf"}

    def stopped(found, path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(report_files, "write_pdf", stopped)
        with pytest.raises(KeyboardInterrupt):
            report_files.write(second, {"of": 2}, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == {"of": 1}
    assert "of the first" in (tmp_path / "report.html").read_text()
    assert len(list(tmp_path.iterdir())) == 3
    report_files.write(second, {"of": 2}, tmp_path)
    assert "of the second" in (tmp_path / "report.html").read_text()


def test_long_words_and_letters_beyond_latin_are_written(tmp_path):
    from reportlab.pdfbase.pdfmetrics import stringWidth

    names = ("m" * 250, "ж" * 250, "грива", "Ωμέγα", "m" * 100)
    rows = [[name, *["0.123"] * 12] for name in names]
    table = Table("Codes", ["code", *["statistic"] * 12], rows, "occlumap")
    report_files.write([Section("Data", ["Грива"], [table])], {}, tmp_path)
    assert b"DejaVuSans" in (tmp_path / "report.pdf").read_bytes()
    widths = report_files._widths(table, 520, 6.5, 5)
    assert sum(widths) == pytest.approx(520)
    assert min(widths[1:]) >= stringWidth("0.123", "Helvetica", 6.5) + 5
    with pytest.warns(OcclumapWarning, match="report.pdf has no font for 耳: they stand as boxes"):
        report_files.write([Section("Data", ["耳"])], {}, tmp_path)


def test_a_pdf_that_cannot_be_made_costs_no_other_file(tmp_path, monkeypatch):
    def failing(found, path):
        raise ValueError("flowable")

    monkeypatch.setattr(report_files, "write_pdf", failing)
    (tmp_path / "report.pdf").write_text("of an earlier run")
    with pytest.warns(OcclumapWarning, match="report.pdf could not be made"):
        report_files.write([Section("Data", ["told"])], {}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "report.html"}


def test_a_second_analysis_in_a_folder_at_once_is_refused(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    drawn(tmp_path / "data")
    (tmp_path / "report").mkdir()
    with (tmp_path / "report" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = run("analyse", str(tmp_path / "data"), "--out", str(tmp_path / "report"), code=1).stderr
    assert "expected no other analysis in" in told


def test_the_report_needs_no_other_file_and_marks_what_was_planned(report):
    text = (report / "report.html").read_text()
    assert text.count("<svg") == 5
    assert "could not be made" not in text
    assert "src=" not in text
    assert "Confirmatory: in the frozen plan." in text
    assert "Exploratory: not in the frozen plan." in text
    assert "Two-way ANOVA (confirmatory)" in text
    assert "Differences (exploratory)" in text
    assert "The omnibus tests as one family (exploratory)" in text
    assert "comprehension questions (exploratory)" in text
    assert "Median confidence of those who passed" in text
    assert "read it as a size, not as a test" in text
    assert "People needed (exploratory)" in text
    assert re.search("Kruskal-Wallis of participants.{6} medians, between cells \\(confirmatory\\)", text)
    row = r"<td>(\w+)</td><td>ANOVA, heatmap</td><td>type ([^<]*)</td><td[^>]*>[^<]*</td><td>[^<]*</td><td>(\w+)</td>"
    marks = {(measure, variant): mark for measure, variant, mark in re.findall(row, text)}
    assert marks["accuracy", "2"] == marks["ratio", "2, HC3"] == "confirmatory"
    assert marks["accuracy", "3"] == marks["ratio", "2, HC4"] == "exploratory"
    row = r"<td>accuracy</td><td>pair, [^<]*none[^<]*</td><td>([^<]*)</td><td class=number>"
    assert {"Holm", "Bonferroni", "not adjusted", "Games-Howell"} < set(re.findall(row, text))
    for sentence in ("Shapiro-Wilk .*", "No difference in the cells.*", "TP: .*"):
        assert re.search(rf"<p>{sentence} \(exploratory\)</p>", text), sentence
    assert re.search(r"of the heatmap on prediction accuracy .* \(confirmatory\)</p>", text)
    frozen = json.loads((report.parent / "plan.json").read_text())
    assert frozen["sha256"] in text
    assert "The cumulative logit model shows" in text
    assert (
        "ratio.betabinomial_dispersion: a singular model" in text
    )  # the ratios are drawn without more spread
    assert "Codes an answer by kind, within each heatmap" in text
    assert "participants as the unit: no difference is shown after Holm&#x27;s correction of" in text
    assert "answers as the unit, as if independent: occlusion and LRP differ in no code" in text
    assert "paired = TRUE, correct = FALSE" in text
    assert "<th scope=col>conditional_<wbr>odds_<wbr>ratio</th>" in text
    assert (
        "heatmap1 is none, heatmap2 is lrp, scores1 is not_shown: how far the level lies from the mean"
        in text
    )
    assert "After Holm&#x27;s correction of 7 tests as one family" in text
    assert re.search(r"Accuracy of those who passed the comprehension questions: \w+ conclusion", text)
    assert re.search(r"by formula and \d+% \(standard error \d\.\d%\) by 300 simulations", text)
    for method in (
        "Signal detection",
        "Equivalence",
        "Bayes factors",
        "as one family by Holm",
        "are repeated",
    ):
        assert method in text[text.index("Accuracy, the share of right") :]
    assert "Agreement of coders is" not in text
    assert "Effect sizes of the ANOVA without White&#x27;s correction" in text
    assert re.search("<td class=number>-?[0-9.]+e-[0-9]+</td>", text)


def test_a_frozen_plan_is_not_overwritten_and_a_changed_one_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    run("analyse", "freeze", "--out", str(path))
    assert "not overwritten" in run("analyse", "freeze", "--out", str(path), code=1).stderr
    document = json.loads(path.read_text())
    document["plan"]["hypotheses"].append("and one more that fits the data")
    path.write_text(json.dumps(document))
    drawn(tmp_path / "data")
    result = run("analyse", str(tmp_path / "data"), "--plan", str(path), code=1)
    assert "it was changed" in result.stderr


def test_a_plan_may_have_no_exclusions(tmp_path):
    plan.freeze(tmp_path / "plan.json", plan.DEFAULT | {"exclusions": []})
    assert plan.read(tmp_path / "plan.json")["plan"]["exclusions"] == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "expected a plan as JSON"),
        (b"\xff\xfe{}", "in UTF-8"),
        (b"[" * 100_000, "expected a plan as JSON"),
        (b" " * 1_000_001, "more than 1,000,000 bytes"),
        (b"[1]", "got list"),
        (b"{}", "expected hypotheses in the plan"),
        (
            {"confirmatory": "accuracy"},
            "expected confirmatory in the plan as a list of texts, got 'accuracy'",
        ),
        ({"formulas": {"accuracy": 3}}, "expected formulas"),
        ({"exclusions": [""]}, "expected exclusions"),
        (
            {"confirmatory": ["accuracy.anova.type22"]},
            "got 'accuracy.anova.type22'; did you mean accuracy.anova.type2",
        ),
        ({"confirmatory": ["accuracy.anov"]}, "expected ids of results in confirmatory"),
        ({"hypotheses": ["\ud800"]}, "UTF-8"),
        ({"plan": 1, "sha256": ""}, "got one that is frozen"),
    ],
)
def test_an_odd_plan_is_not_frozen_and_told_in_words(tmp_path, content, told):
    given, out = tmp_path / "given.json", tmp_path / "plan.json"
    given.write_bytes(content if isinstance(content, bytes) else json.dumps(plan.DEFAULT | content).encode())
    assert told in run("analyse", "freeze", "--from", str(given), "--out", str(out), code=1).stderr
    assert not out.exists()


def test_a_plan_in_which_all_is_exploratory_is_frozen_and_a_key_beside_the_hash_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    plan.freeze(path, plan.DEFAULT | {"confirmatory": []})
    document = plan.read(path)
    assert document["plan"]["confirmatory"] == []
    path.write_text(json.dumps(document | {"deviations": "none"}))
    with pytest.raises(FileFormatError, match="got deviations beside them, which the hash does not cover"):
        plan.read(path)


def test_what_the_default_plan_names_is_confirmatory_in_the_report(report):
    text = (report / "report.html").read_text()
    assert re.search(r"mixed logistic model shows .* \(confirmatory\)</p>", text)
    assert re.search(r"<p>Odds ratios of a right answer.* \(confirmatory\)</p>", text)
    assert re.search(r"<p>Tukey.{6}s test shows .* the saliency-feature ratio.* \(confirmatory\)</p>", text)


def test_an_older_frozen_plan_without_a_part_is_refused_in_words(tmp_path):
    path = tmp_path / "plan.json"
    older = {key: value for key, value in plan.DEFAULT.items() if key != "confirmatory"}
    path.write_text(json.dumps({"plan": older, "sha256": plan._digest(older)}))
    drawn(tmp_path / "data")
    told = run("analyse", str(tmp_path / "data"), "--plan", str(path), code=1).stderr
    assert "expected confirmatory in the plan" in told


@pytest.mark.filterwarnings("ignore:.*could not be made")
def test_the_time_of_freezing_is_under_the_hash_and_of_an_earlier_plan_it_is_told_that_it_is_not(tmp_path):
    path = tmp_path / "plan.json"
    digest = plan.freeze(path)
    document = json.loads(path.read_text())
    assert digest == document["sha256"]
    study = read(drawn(tmp_path / "data"))

    def told(document):
        return report_module.sections(study, Results(), [], document)[0].paragraphs[0]

    assert "covers the plan and the time" in told(plan.read(path))
    document["frozen"] = "2020-01-01T00:00:00+00:00"
    path.write_text(json.dumps(document))
    with pytest.raises(FileFormatError, match="it was changed"):
        plan.read(path)
    document["sha256"] = plan._digest(document["plan"])  # as earlier versions made it
    path.write_text(json.dumps(document))
    assert "covers the plan, not the time" in told(plan.read(path))


def test_blinding_exchanges_names_and_nothing_else(tmp_path):
    study = read(drawn(tmp_path / "data"))
    hidden = plan.blinded(study, seed=1)
    orders = {tuple(plan.blinded(study, seed).participants["heatmap"]) for seed in range(40)}
    assert len(orders) == 2  # every order of three names in which none keeps its place
    assert len({tuple(plan.blinded(study, seed).participants["scores"]) for seed in range(40)}) == 2
    for seed in range(5):
        moved = plan.blinded(study, seed).participants["heatmap"].astype(str)
        assert (moved != study.participants["heatmap"].astype(str)).all()
    for _, caption, picture in figures.figures(hidden):
        assert "Blinded" in caption
        assert "Blinded" in figures.svg(picture)
    assert sorted(hidden.participants["heatmap"].value_counts()) == sorted(
        study.participants["heatmap"].value_counts()
    )
    assert "blinded" in hidden.remarks[0]


def test_the_numbers_of_low_bars_stand_above_them(tmp_path):
    def wrong(table):
        right = (table["task_id"] == "1") & (table["participant_id"].str[-1].isin(list("02468")))
        yes = right == table["outcome"].isin(["TP", "FP"])
        return table.assign(answer=yes.map({True: "yes", False: "no"}), correct=right.astype(int).astype(str))

    study = read(changed(drawn(tmp_path / "data"), tmp_path / "wrong", responses=wrong))
    _, _, picture = next(figures.figures(study))
    texts = [text for axis in picture.axes for text in axis.texts]
    assert {text.get_color() for text in texts} == {"black"}
    assert min(text.get_position()[1] for text in texts) > 0.1


def test_blinding_is_the_same_each_time(tmp_path):
    study = read(drawn(tmp_path / "data"))
    first, second = (plan.blinded(study).participants["heatmap"].tolist() for _ in range(2))
    assert first == second


def test_a_package_is_verified_and_a_changed_one_is_not(tmp_path):
    data, package, frozen = tmp_path / "data", tmp_path / "package.zip", tmp_path / "plan.json"
    drawn(data)
    (data / "bonuses.csv").write_text("private id,amount\n")
    codes = (data / "codes.csv").read_text().splitlines()
    codes = [f"{line},{f'private id {at}' if at else 'prolific_pid'}" for at, line in enumerate(codes)]
    (data / "codes.csv").write_text("\n".join(codes))
    run("analyse", "freeze", "--out", str(frozen))
    made = run("analyse", "package", str(data), "--plan", str(frozen), "--out", str(package))
    assert "does not read them: bonuses.csv\n" in made.stderr
    assert "does not read them: columns prolific_pid\n" in made.stderr
    assert "  mixed models\n" in made.stderr
    assert "warning: reliability is left out" in made.stderr
    verified = run("analyse", "verify", str(package)).stdout
    assert "verified" in verified
    assert f"plan: SHA-256 {json.loads(frozen.read_text())['sha256']}" in verified
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    tables = {f"data/0-data/{name}.csv" for name in ("participants", "responses", "codes")}
    assert files.keys() == {*tables, "plan.json", "results.json", "README.txt", "manifest.json"}
    assert files["plan.json"] == frozen.read_bytes()
    assert not any(b"private id" in content for content in files.values())
    assert b"prolific_pid" not in files["data/0-data/codes.csv"]
    told = files["README.txt"].decode()
    assert f"occlumap at version {occlumap.__version__}: pip install" in told
    name = next(name for name in files if name.endswith("participants.csv"))
    files[name] = files[name].replace(b"P001,drawn,none", b"P001,drawn,lrp")
    files["notes.txt"] = b"added"
    with zipfile.ZipFile(package, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    result = run("analyse", "verify", str(package), code=1)
    assert "not as it was packed" in result.stderr
    assert "notes.txt: not in the manifest" in result.stderr
    assert "another result" in result.stderr


def test_a_package_whose_plan_was_changed_and_packed_anew_is_not_verified(tmp_path, monkeypatch):
    data, package, frozen = drawn(tmp_path / "data"), tmp_path / "package.zip", tmp_path / "plan.json"
    plan.freeze(frozen)
    document = json.loads(frozen.read_text())
    document["plan"]["hypotheses"].append("and one more that fits the data")
    frozen.write_text(json.dumps(document))
    monkeypatch.setattr(packages, "every_result", lambda *_: Results())
    packages.write([data], {}, package, frozen)
    assert packages.verify(package) == [
        "expected the plan at plan.json as it was frozen; its SHA-256 is another: it was changed"
    ]


def test_what_is_not_usable_is_not_compared_and_other_versions_are_told(tmp_path, monkeypatch):
    data, package = drawn(tmp_path / "data"), tmp_path / "package.zip"
    packed = {"glmm.base.fixed": {"p": 0.1}, "glmm.base.lrt": {"p": 0.1}, "glmm.outcome.fixed": {"p": 0.1}}
    here = {"glmm.base.lrt": {"p": 0.2}, "glmm.outcome.fixed": {"p": 0.2}}
    monkeypatch.setattr(packages, "version", lambda name: "0.0")
    packages.write([data], packed, package)
    monkeypatch.undo()
    told = f"separation: its Wald tests are not usable{TESTS_USABLE}"
    monkeypatch.setattr(packages, "every_result", lambda *_: Results(here, cautions={"glmm.base": told}))
    assert packages.verify(package) == ["glmm.base.lrt: another result", "glmm.outcome.fixed: another result"]
    assert f"packed with occlumap 0.0, here is {occlumap.__version__}" in packages.other_versions(package)


def test_a_table_that_was_changed_is_told_as_such_though_it_cannot_be_analysed(tmp_path):
    data, package = drawn(tmp_path / "data"), tmp_path / "package.zip"
    packages.write([data], {}, package)
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["data/0-data/responses.csv"] += b"x"
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(
        FileFormatError, match=r"got data/0-data/responses.csv: not as it was packed; .*\n.*row 122"
    ):
        packages.verify(package)


@pytest.mark.parametrize(
    ("of", "one", "other", "same"),
    [
        ("accuracy.by_outcome", {"TP": {"p_vs_half": 7e-28}}, {"TP": {"p_vs_half": 9e-10}}, False),
        ("accuracy.anova.type2", {"heatmap": {"p": 7e-28}}, {"heatmap": {"p": 7e-28 * (1 + 1e-5)}}, True),
        ("accuracy.anova.type2", {"heatmap": {"p": 0.04}}, {"heatmap": {"p": 0.0401}}, False),
        ("ratio.pairs.heatmap.tukey", {"a": {"p": 3e-14}}, {"a": {"p": 0.0}}, True),
        (
            "multiplicity.family",
            {"holm": {"ratio_heatmap": 1e-12}},
            {"holm": {"ratio_heatmap": 1e-11}},
            False,
        ),
        ("accuracy.emmeans.heatmap", {"none": {"mean": 0.0}}, {"none": {"mean": 1e-17}}, True),
    ],
)
def test_small_p_values_of_a_package_are_compared_by_their_size(of, one, other, same):
    assert packages._same(one, other, packages.TOLERANCE, of) == same


def test_a_folder_whose_name_is_no_text_is_packed_and_a_package_that_fails_leaves_nothing(
    tmp_path, monkeypatch
):
    data = drawn(tmp_path / "d\udcff")
    packages.write([data], {}, tmp_path / "package.zip")
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        assert "data/0-d?/codes.csv" in archive.namelist()

    def stopped(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "writestr", stopped)
    with pytest.raises(KeyboardInterrupt):
        packages.write([data], {}, tmp_path / "other.zip")
    assert {path.name for path in tmp_path.iterdir()} == {"d\udcff", "package.zip"}


def test_deeply_nested_json_is_no_package(tmp_path):
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as archive:
        archive.writestr("results.json", "{}")
        archive.writestr("manifest.json", "[" * 100_000)
    with pytest.raises(FileFormatError, match="expected a replication package"):
        packages.verify(tmp_path / "deep.zip")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("data/x/participants.csv", "odd.zip, got data/x/participants.csv"),
        ("data/0-a/notes.txt", "odd.zip, got data/0-a/notes.txt"),
        ("data/0-a/../b.csv", "odd.zip, got data/0-a/../b.csv"),
        (None, "odd.zip, got none"),
        ("data/0-a/participants.csv", "codes.csv: not in /data/0-a"),
    ],
)
def test_a_package_with_odd_names_or_without_its_tables_is_told_with_its_own_name(tmp_path, name, told):
    package = tmp_path / "odd.zip"
    files = {} if name is None else {name: b"a"}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    with zipfile.ZipFile(package, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr("results.json", "{}")
        archive.writestr("manifest.json", json.dumps({"sha256": digests}))
    result = run("analyse", "verify", str(package), code=1)
    assert "odd.zip" in result.stderr
    assert told in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["data", "--out", "file/report"], "expected a folder to write into"),
        (
            ["package", "data", "--out", "nowhere/package.zip"],
            "can be written into for the package, got nowhere",
        ),
        (["package", "data", "--out", "file"], "file is there; nothing is overwritten"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_analysis(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    drawn(tmp_path / "data")
    (tmp_path / "file").write_text("of mine")
    result = run("analyse", *arguments, code=1)
    assert told in result.stderr
    assert "accuracy" not in result.stderr  # the first sections of the analysis
    assert (tmp_path / "file").read_text() == "of mine"


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (["data", "--published"], "expected no folder with --published", 2),
        (["power", "--person-sd", "nan"], "expected deviations from 0 to 20", 1),
        (["power", "--task-sd", "inf"], "0<=x<=20", 2),
        (["power", "--people", "2"], "x>=3", 2),
        (["power", "--people", "5000000000"], "expected up to 10,000,000 answers", 1),
        (["power", "--seed", "-1"], "x>=0", 2),
        (["power", "--shares", "1e-320,0.5"], "expected two or more shares from 0.000001", 1),
        (["frezee"], "got 'frezee'; did you mean freeze?", 2),
        (
            ["freeze", "--out", "no/such/folder/plan.json"],
            "expected a folder for the plan, got no/such/folder",
            1,
        ),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments, told, code):
    assert told in run("analyse", *arguments, code=code).stderr


def test_published_names_the_one_that_does_not_reproduce():
    result = run("analyse", "--published")
    assert "11 of 12 reproduce; not: ratio, scores" in result.stdout


def test_without_a_folder_the_command_says_what_it_wants():
    assert "expected a folder" in run("analyse", "run", code=2).stderr


def test_words_follow_the_numbers():
    rejected = wording.normality({"W": 0.964, "p": 0.0098}, "accuracy")
    assert "not approximately normal" in rejected
    assert [wording.p_value(p) for p in (0.04996, 0.05, 0.0503)] == ["p = .04996", "p = .050", "p = .0503"]
    pair = {"a - b": {"estimate": 0.43, "lower": 0.0004, "upper": 0.87, "p": 0.04962}}
    assert "1.54 (1.0004 to 2.39; p = .0496), higher" in wording.odds_ratios(pair, "a right answer")
    turned = wording.screened({"heatmap": {"p": 0.03}}, {"heatmap": {"p": 0.068}}, "Accuracy")
    assert turned.endswith("another than that of all people for heatmap (p = .030; of all p = .068).")
    assert "each conclusion is" in wording.screened(
        {"heatmap": {"p": 0.3}}, {"heatmap": {"p": 0.068}}, "Accuracy"
    )
    told = wording.family({"a": 0.04, "b": 0.001, "c": None}, {"a": 0.06, "b": 0.002, "c": None})
    assert told.endswith(
        "2 tests as one family, b is below .05; no more so is a (p = .040, corrected p = .060)."
    )
    assert [wording.tests(count) for count in (1, 24)] == ["1 test", "24 tests"]
    assert "No effect of the heatmap" in wording.effect(
        "heatmap", {"df": 2, "F": 3.067, "p": 0.051}, 90, "accuracy"
    )
    assert "has an effect" in wording.effect("heatmap", {"df": 2, "F": 12.34, "p": 1e-5}, 88, "the ratio")
