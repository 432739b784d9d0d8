"""The researcher's side: login, overview, export, bonuses, configuration and its faults."""

import csv
import io
import zipfile

import pytest

from tests.study.pages import client, go_to, start


@pytest.fixture
def researcher(study):
    from occlumap.study import server

    browser = client()
    password = server.researcher()
    response = browser.post("/researcher/login/", {"username": server.RESEARCHER, "password": password})
    assert response.status_code == 302
    return browser


@pytest.mark.parametrize("path", ["", "export.zip", "bonuses.csv", "preview/none/shown/1/"])
def test_without_a_login_nothing_is_shown(study, path):
    response = client().get(f"/researcher/{path}")
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/researcher/login/")


def test_wrong_passwords_lock_and_say_nothing_of_the_name(study):
    from occlumap.study import server

    server.researcher()
    browser = client()
    for name in (server.RESEARCHER, "nobody"):
        told = browser.post("/researcher/login/", {"username": name, "password": "wrong"}).content.decode()
        assert "Name or password is wrong, or the code is." in told
    for _ in range(5):
        told = browser.post(
            "/researcher/login/", {"username": server.RESEARCHER, "password": "wrong"}
        ).content.decode()
    assert "Too many tries" in told


def test_the_overview_counts_by_cell(researcher):
    go_to(start(), "end")
    go_to(start(), "task-2")
    page = researcher.get("/researcher/").content.decode()
    assert "finished: 1" in page
    assert "task-2: 1" in page


def test_the_overview_tells_times_and_leases_and_is_kept_up_to_date_if_asked(researcher):
    from datetime import timedelta

    from django.utils import timezone

    from occlumap.study.participants.models import Participant

    for minutes in (20, 30, 50):
        go_to(start(), "end")
        newest = Participant.objects.order_by("-pk").first()
        began = newest.finished_at - timedelta(minutes=minutes)
        Participant.objects.filter(pk=newest.pk).update(started_at=began)
    go_to(start(), "task-1")
    active = Participant.objects.filter(state="active")
    active.update(lease_until=timezone.now() + timedelta(minutes=7, seconds=10))
    response = researcher.get("/researcher/")
    assert "20 to 50 minutes, half of those who finished at most 30." in response.content.decode()
    assert "7 more minutes" in response.content.decode()
    assert "Refresh" not in response.headers
    assert researcher.get("/researcher/?every=30").headers["Refresh"] == "30"
    active.update(lease_until=timezone.now() - timedelta(minutes=1))
    assert "no longer" in researcher.get("/researcher/").content.decode()


def test_a_pause_lets_nobody_new_in_and_those_inside_go_on(researcher):
    inside = start()
    go_to(inside, "task-1")
    researcher.post("/researcher/pause/", {"paused": "yes"})
    new = start()
    go_to(new, "consent")
    assert "paused" in new.post("/study/", {"step": "consent", "agree": "yes"}).content.decode()
    assert "completion code" in go_to(inside, "end")
    researcher.post("/researcher/pause/", {"paused": "no"})
    assert "completion code" in go_to(new, "end")


@pytest.mark.parametrize("cell", ["none/shown", "lrp/not_shown", "occlusion/shown"])
def test_each_condition_has_a_preview(researcher, cell):
    page = researcher.get(f"/researcher/preview/{cell}/3/").content.decode()
    assert ("Heatmap of example" in page) == (not cell.startswith("none"))


def test_the_export_is_what_the_analysis_reads(researcher, study, tmp_path):
    pytest.importorskip("scipy")
    from occlumap.analysis import every_result, read

    for number in range(12):
        go_to(start(f"person-{number}"), "end")
    with zipfile.ZipFile(io.BytesIO(researcher.get("/researcher/export.zip").content)) as archive:
        archive.extractall(tmp_path)
    everything = "".join(path.read_text() for path in tmp_path.glob("*.csv"))
    assert "person-3" not in everything
    with (tmp_path / "responses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 * 14
    assert set(rows[0]) >= {"sensitive", "ignored"}
    found = read(tmp_path)
    assert every_result(found).values["design.cells"] == dict.fromkeys(study.cells, 2)
    assert any("no codes yet" in remark for remark in found.remarks)


def test_every_row_has_the_configurations_hash_and_every_column_stands_in_the_dictionary(study):
    from occlumap.study.export import tables

    go_to(start(), "end")
    found = {name: (columns, list(rows)) for name, columns, rows in tables(study)}
    _, dictionary = found.pop("data_dictionary")
    known = {(table, column) for table, columns, _ in dictionary for column in columns.split(", ")}
    for name, (columns, rows) in found.items():
        assert all(len(row) == len(columns) and row[-1] == study.sha256 for row in rows), name
        missing = [one for one in columns if not {(name, one), ("every table", one)} & known]
        assert missing == [], name
    assert {name for name, (_, rows) in found.items() if rows} == {
        "participants",
        "responses",
        "reports",
        "events",
    }


def test_text_that_a_spreadsheet_would_run_is_made_plain(study):
    from occlumap.study.export import _plain

    assert _plain("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert _plain("ears = eyes") == "ears = eyes"


def test_bonuses_are_the_sum_over_right_answers_each_time_the_same(researcher, study):
    from occlumap.study.domain.reward import RIGHT
    from occlumap.study.participants.models import Answer

    go_to(start("person"), "end")
    right = sum(
        RIGHT[study.tasks[answer.task_id]["outcome"]] == answer.answer for answer in Answer.objects.all()
    )
    first = researcher.get("/researcher/bonuses.csv").content.decode()
    assert first == f"person,{right * 0.5:.2f}\n"
    assert researcher.get("/researcher/bonuses.csv").content.decode() == first


def test_a_study_is_frozen_at_launch(study):
    from occlumap.errors import ArgumentError
    from occlumap.study.domain.configuration import make
    from occlumap.study.participants.services import prepare

    start()
    with pytest.raises(ArgumentError, match="frozen at launch"):
        prepare(make({**study.values, "title": "Another"}, study.folder))


def test_another_stimulus_set_or_text_is_another_configuration(study):
    from occlumap.study.domain.configuration import Configuration

    same = Configuration(study.values, study.folder)
    assert same.sha256 == study.sha256
    texts = {**study.values, "texts": {"consent": "Another"}}
    assert Configuration(texts, study.folder).sha256 != study.sha256
    other = Configuration(study.values, study.folder)
    other.manifest["thresholds"]["cat"] = 0.9
    assert other.sha256 != study.sha256


def test_faults_before_launch_are_named(study):
    from occlumap.study.domain.configuration import faults_before_launch, make

    assert faults_before_launch(study) == []
    people = {**study.values["people"], "ethics_number": "FILL IN: number"}
    changed = {
        **study.values,
        "people": people,
        "completion_url": "",
        "heatmaps": ["none", "grad_cam"],
        "texts": {"consent": "You get £5 plus 10p for each answer. {{ reward }}"},
    }
    found = "\n".join(faults_before_launch(make(changed, study.folder)))
    for told in (
        "people.ethics_number",
        "'£5'",
        "'10p'",
        "unknown {{ reward }}",
        "no heatmap grad_cam",
        "completion_url",
    ):
        assert told in found


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"quota_per_cel": 3}, "did you mean quota_per_cell"),
        ({"quota_per_cell": 0}, "quota_per_cell is 0"),
        ({"heatmaps": []}, "heatmaps"),
        ({"scores": ["hidden"]}, "scores"),
        ({"comprehension_rule": "ignore"}, "comprehension_rule"),
        ({"payment": {"base": "eight"}}, "payment.base"),
        ({"completion_url": "http://x"}, "completion_url"),
        ({"people": {"contct": "x"}}, "people.contct is not known.*did you mean contact"),
        (
            {"texts": {"instructions": [{"text": "x"}, {"text": 1, "for": "all"}]}},
            r"instructions\[2\].for is 'all'",
        ),
        ({"texts": "short"}, "texts is 'short', not texts by name"),
        ({"comprehension": [{"question": "Well?"}]}, r"comprehension\[1\] lacks right"),
        ({"colours": {"text": "red"}}, "colours.text is 'red', not a colour as '#rrggbb'"),
        ({"quota_per_cell": 2.0}, "quota_per_cell is 2.0"),
        ({"payment": {"base": "-1"}}, "payment.base"),
        ([1], "keys and values"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(study, values, told):
    from occlumap.errors import ArgumentError
    from occlumap.study.domain.configuration import make

    with pytest.raises(ArgumentError, match=told):
        make(values, study.folder)


def test_money_in_the_texts_comes_from_the_configuration(study):
    text = study.texts()["information"]
    assert "GBP 8.00" in text
    assert "GBP 15.00" in text
    assert "GBP 0.50" in study.texts()["instructions"][-1]


def test_defaults_and_the_demo_fit_the_schema_that_the_command_prints(study):
    import json

    import jsonschema
    from click.testing import CliRunner

    from occlumap.cli.study import study as command
    from occlumap.study.domain.configuration import DEFAULTS

    printed = json.loads(CliRunner().invoke(command, ["schema"]).output)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert set(printed["properties"]) == set(DEFAULTS)
    jsonschema.validate(DEFAULTS, printed)
    jsonschema.validate(dict(study.values), printed)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"places": 11}, "places is 11, but 6 cells of quota_per_cell 2 need 12"),
        ({"quota_per_cell": 1}, "fewer than the 2 orders"),
        (
            {"colours": {"accent": "#6699ff"}},
            "colours.accent is #6699ff on #ffffff: a contrast of 2.78, and needs 4.5",
        ),
        ({"comprehension": [{"question": "You get 10p?", "right": "no"}]}, "question 1 says '10p'"),
        (
            {"comprehension": [{"question": "x", "right": "no", "for": "heatmap"}]},
            "none:shown has no comprehension",
        ),
    ],
)
def test_what_cannot_be_met_or_seen_is_refused_before_launch(study, values, told):
    from occlumap.study.domain.configuration import faults_before_launch, make

    assert told in "; ".join(faults_before_launch(make({**study.values, **values}, study.folder)))
    assert faults_before_launch(make({**study.values, "places": 12}, study.folder)) == []


def test_a_study_has_its_own_colours(study, monkeypatch):
    monkeypatch.setitem(study.values, "colours", {**study.values["colours"], "accent": "#123456"})
    response = client().get("/colours.css")
    assert "--accent: #123456;" in response.content.decode()
    assert response.headers["Content-Type"].startswith("text/css")


def test_a_study_has_its_own_comprehension_questions_by_condition(study, tmp_path):
    from occlumap.study.domain.configuration import make, read

    yaml = """
comprehension:
- {question: "Is the sky blue?", right: yes}
- {question: "Is the roof red?", right: no, for: heatmap}
- {question: "Is 0.2 above 0.4?", right: "no", for: scores}
"""
    (tmp_path / "study.yaml").write_text(yaml)
    own = read(tmp_path / "study.yaml")
    assert own.questions("not_shown", "none") == [("q1", "Is the sky blue?", "yes")]
    assert [right for _, _, right in own.questions("shown", "lrp")] == ["yes", "no", "no"]
    assert [name for name, _, _ in own.questions("shown", "none")] == ["q1", "q2"]
    changed = make({**study.values, "comprehension": own.values["comprehension"]}, study.folder)
    assert changed.sha256 != study.sha256
