"""The researcher's side: login, overview, export, bonuses, configuration and its faults."""

import csv
import io
import json
import threading
import zipfile

import pytest

from occlumap.errors import ArgumentError, FileFormatError
from tests.study.pages import answers_for, client, go_to, start


@pytest.fixture
def researcher(study):
    from occlumap.study import server

    browser = client()
    password = server.researcher()
    response = browser.post("/researcher/login/", {"username": server.RESEARCHER, "password": password})
    assert response.status_code == 302
    return browser


@pytest.mark.parametrize("path", ["", "export.zip", "bonuses.csv", "preview/none/shown/task-1/"])
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


def test_a_name_that_no_database_can_be_asked_for_is_a_wrong_one(study):
    from django.contrib.auth import get_user_model

    get_user_model().objects.create_user("a\x00b", password="right", is_staff=True)  # SQLite keeps it
    response = client().post("/researcher/login/", {"username": "a\x00b", "password": "right"})
    assert response.status_code == 401


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
    inside, new = start("inside"), start("new")
    go_to(inside, "task-1")
    go_to(new, "consent")
    researcher.post("/researcher/pause/", {"paused": "yes"})
    late = client()
    late.get("/?PROLIFIC_PID=late")
    response = late.post("/")
    assert (response.status_code, "The study is paused" in response.content.decode()) == (503, True)
    assert start("inside").get("/study/").status_code == 200
    assert "paused" in new.post("/study/", {"step": "consent", "agree": "yes"}).content.decode()
    assert "completion code" in go_to(inside, "end")
    researcher.post("/researcher/pause/", {"paused": "no"})
    assert "completion code" in go_to(new, "end")
    assert late.post("/").status_code == 302


@pytest.mark.parametrize("cell", ["none/shown", "lrp/not_shown", "occlusion/shown"])
def test_each_condition_has_a_preview_of_every_page(researcher, study, cell):
    from occlumap.study.participants.models import Answer, Event, Participant

    address, seen = f"/researcher/preview/{cell}/eligibility/", []
    for _ in range(40):
        page = researcher.get(address).content.decode()
        seen.append(address.split("/")[-2])
        if seen[-1] == "end":
            break
        address = researcher.post(address, {"step": seen[-1]}).headers["Location"]
    heatmaps = not cell.startswith("none")
    assert seen[:3] == ["eligibility", "information", "consent"]
    assert seen[-17:] == ["comprehension", *(f"task-{number}" for number in range(1, 15)), "report", "end"]
    assert len([name for name in seen if name.startswith("instructions-")]) == len(
        study.own_pages(cell.split("/")[1], cell.split("/")[0])
    )
    assert "Your completion code" in page
    task = researcher.get(f"/researcher/preview/{cell}/task-3/").content.decode()
    report = researcher.get(f"/researcher/preview/{cell}/report/").content.decode()
    assert ("Heatmap of example" in task) == ("were the heatmaps" in report) == heatmaps
    assert researcher.get(f"/researcher/preview/{cell}/nonsense/").status_code == 404
    assert not any(table.objects.exists() for table in (Participant, Answer, Event))


@pytest.mark.parametrize("heatmap", ["none", "lrp"])
@pytest.mark.parametrize("scores", ["shown", "not_shown"])
def test_instructions_show_examples_of_the_set_as_their_condition_does(researcher, study, heatmap, scores):
    address = f"/researcher/preview/{heatmap}/{scores}"
    count = len(study.own_pages(scores, heatmap))
    pages = [researcher.get(f"{address}/instructions-{one}/").content.decode() for one in range(1, count + 1)]
    shown, everything = [page.count("Example photo") for page in pages], "".join(pages)
    assert shown == [0, 3, *([3] if scores == "shown" else []), *([2] if heatmap == "lrp" else []), 3, 1]
    assert everything.count("Heatmap of example") == (2 + 3 + 1 if heatmap == "lrp" else 0)
    assert everything.count('<svg class="score"') == (3 + 3 + 1 if scores == "shown" else 0)
    assert ("heatmap" in everything.lower()) == (heatmap == "lrp")  # who sees none does not read of any
    assert everything.count("<textarea") == 2
    assert "[[" not in everything
    task_images = {task["image"] for task in study.tasks.values()}
    assert not any(image in everything for image in task_images)


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

    from django.contrib.auth import get_user_model

    from occlumap.study import export
    from occlumap.study.coding import services

    services.prepare()
    coders = [get_user_model().objects.create_user(name).pk for name in ("one", "other")]
    for answer in services.answers()[:10]:
        for coder, codes in zip(coders, (["ears", "tail"], ["ears", "eyes"]), strict=True):
            services.code(answer.pk, coder, codes)
    export.write(study, tmp_path)
    values = every_result(read(tmp_path), sections={"agreement of coders"}).values
    assert (values["reliability.code.cohen_ab"]["n"], values["reliability.code.cohen_ab"]["agreement"]) == (
        20,
        0.5,
    )


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
    assert _plain("-1+HYPERLINK(1)") == "'-1+HYPERLINK(1)"
    assert _plain("-cmd|' /C calc'!A0")[0] == "'"
    assert _plain("ears = eyes") == "ears = eyes"
    assert _plain("- ears\n- tail (long)") == "- ears\n- tail (long)"


def test_the_self_report_is_made_plain_too(study):
    from occlumap.study.export import tables

    browser = start()
    browser.post("/study/", {**answers_for(go_to(browser, "report")), "learned": "=1+1"})
    (rows,) = [list(rows) for name, _, rows in tables(study) if name == "reports"]
    assert "'=1+1" in rows[0]


def test_the_self_report_records_how_somebody_sees_colours(study):
    from occlumap.study.export import tables

    browser = start()
    sent = answers_for(go_to(browser, "report"))
    for wrong in ("", "red"):
        assert browser.post("/study/", {**sent, "colour_vision": wrong}).status_code == 422
    assert browser.post("/study/", {**sent, "colour_vision": "deficient"}).status_code == 302
    (found,) = [
        dict(zip(columns, *rows, strict=True)) for name, columns, rows in tables(study) if name == "reports"
    ]
    assert found["colour_vision"] == "deficient"


def test_an_export_while_people_go_on_is_of_one_moment(study, tmp_path, monkeypatch):
    from django.db import connection

    from occlumap.study import export

    go_to(start(), "end")
    late = start()
    last = answers_for(go_to(late, "report"))

    def finish():
        late.post("/study/", last)
        connection.close()

    goes_on = threading.Thread(target=finish)
    write = export._write

    def write_slowly(file, columns, rows):
        write(file, columns, rows)
        if not goes_on.ident:  # after the first table somebody finishes, or waits for the export
            goes_on.start()
            goes_on.join(timeout=2)

    monkeypatch.setattr(export, "_write", write_slowly)
    export.write(study, tmp_path)
    goes_on.join()
    read = {
        name: (tmp_path / f"{name}.csv").read_text().splitlines() for name in ("participants", "responses")
    }
    assert (len(read["participants"]), len(read["responses"])) == (1 + 1, 1 + 14)
    export.write(study, tmp_path)
    assert len((tmp_path / "participants.csv").read_text().splitlines()) == 1 + 2
    assert not list(tmp_path.glob("*.part"))


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


def test_a_row_of_the_bonuses_is_one_payment_whatever_the_id_holds(researcher, study):
    from occlumap.study.participants.models import Identity

    go_to(start("person"), "end")
    Identity.objects.update(submission="=se\nvictim,999.00")  # as an older version took it
    page = researcher.get("/researcher/bonuses.csv").content.decode()
    ((payee, amount),) = csv.reader(io.StringIO(page))
    assert payee == "'=se\nvictim,999.00"
    assert float(amount) <= 7


def test_a_study_is_frozen_at_launch(study):
    from occlumap.study.domain.configuration import make
    from occlumap.study.participants.services import prepare

    start()
    with pytest.raises(ArgumentError, match="frozen at launch"):
        prepare(make({**study.values, "title": "Another"}, study.folder))


def test_what_was_launched_is_served_whatever_the_file_says_since(study):
    from occlumap.study import configured
    from occlumap.study.participants.services import prepare

    file = study.folder / "study.yaml"
    prepare(study)
    before = file.read_text()
    file.write_text(before.replace("A study", "Another study"))
    configured._thawed.cache_clear()  # as in a worker that was started again
    try:
        assert "<title>A study</title>" in client().get("/").content.decode()
        assert configured.configuration().sha256 == study.sha256
    finally:
        file.write_text(before)


def test_another_image_than_the_launched_one_is_told(study, tmp_path):
    import shutil

    from occlumap.study.domain.configuration import Configuration
    from occlumap.study.participants.services import prepare

    prepare(study)
    start()
    shutil.copytree(study.folder / "stimuli", tmp_path / "stimuli")
    prepare(Configuration(study.values, tmp_path))
    first = next(iter(study.images))
    (tmp_path / "stimuli" / first).write_bytes(b"another")
    with pytest.raises(ArgumentError, match=f"{first} is not what it was"):
        prepare(Configuration(study.values, tmp_path))


@pytest.mark.parametrize("command", [["export", "--out", "data"], ["researcher", "ann"]])
def test_a_command_refuses_what_was_not_launched_and_makes_nothing(study, tmp_path, monkeypatch, command):
    import os

    import yaml
    from click.testing import CliRunner

    from occlumap.cli.group import occlumap as main
    from occlumap.study.participants.services import prepare

    monkeypatch.chdir(tmp_path)
    for name, value in os.environ.items():  # what the command sets
        if name.startswith("OCCLUMAP_STUDY_"):
            monkeypatch.setenv(name, value)
    prepare(study)
    start()
    values = {**study.values, "version": "2", "stimuli": str(study.folder / "stimuli/manifest.json")}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    ran = CliRunner().invoke(main, ["study", *command, "--config", "study.yaml"])
    assert ran.exit_code == 1
    assert "expected the configuration with which this study was launched" in ran.output
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_somebody_is_withdrawn_by_a_command_and_only_once(study, tmp_path, monkeypatch):
    import os

    from click.testing import CliRunner

    from occlumap.cli.group import occlumap as main
    from occlumap.study.participants.models import Answer, Identity, Participant
    from occlumap.study.participants.services import prepare, withdrawal

    for name, value in os.environ.items():  # what the command sets
        if name.startswith("OCCLUMAP_STUDY_"):
            monkeypatch.setenv(name, value)
    prepare(study)
    go_to(start("by-mail"), "task-2")
    command = ["study", "withdraw", "by-mail", "--config", str(study.folder / "study.yaml")]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert not Answer.objects.exists()
    assert not Identity.objects.exists()
    assert Participant.objects.get().state == "withdrawn"
    assert withdrawal({"person": "by-mail"})
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 1
    assert "expected the id of somebody who takes part" in again.output
    forgotten = CliRunner().invoke(main, ["study", "forget-bonuses", "--config", command[-1]])
    assert forgotten.output == "forgotten: 0 of those who withdrew and were owed a bonus\n"


def test_a_folder_that_cannot_be_made_is_named(study, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from occlumap.cli import study as command

    monkeypatch.setattr(command, "_opened", lambda *_: study)
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    ran = CliRunner().invoke(command.study, ["export", "--out", str(out)])
    assert ran.exit_code != 0
    assert repr(str(out)) in str(ran.exception)


def test_an_export_that_fails_leaves_no_parts(study, tmp_path):
    from occlumap.study import export
    from occlumap.study.participants.models import Answer

    go_to(start(), "end")
    Answer.objects.filter(position=3).update(task_id="gone")
    with pytest.raises(KeyError):
        export.write(study, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_exported_of_people_who_finished_another_configuration(researcher, study, tmp_path):
    from occlumap.study import export
    from occlumap.study.participants.models import Participant

    go_to(start("ann"), "end")
    Participant.objects.update(config_sha256="of an earlier one")
    with pytest.raises(ArgumentError, match="expected people who finished this configuration"):
        export.write(study, tmp_path)
    for path in ("export.zip", "bonuses.csv"):
        response = researcher.get(f"/researcher/{path}")
        assert response.status_code == 409
        assert "of an earlie" in response.content.decode()


def test_a_start_of_another_configuration_is_followed_until_somebody_takes_part(study, monkeypatch):
    from occlumap.study import configured
    from occlumap.study.domain.configuration import make
    from occlumap.study.participants import services, views
    from occlumap.study.participants.models import Participant

    services.prepare(study)
    browser = client()
    assert "<title>A study</title>" in browser.get("/").content.decode()
    other = make({**study.values, "title": "Another"}, study.folder)
    services.prepare(other)
    try:
        with monkeypatch.context() as late:  # what was read a moment before the other was started
            late.setattr(views, "configuration", lambda: study)
            assert browser.post("/").headers["Location"] == "/"
        assert not Participant.objects.exists()
        with pytest.raises(services.ReplacedError):
            services.start(study, {})
        assert "<title>Another</title>" in browser.get("/").content.decode()
        browser.post("/")
        assert Participant.objects.get().config_sha256 == configured.configuration().sha256 == other.sha256
        with pytest.raises(ArgumentError, match="frozen at launch"):
            services.prepare(study)
    finally:
        Participant.objects.all().delete()
        services.prepare(study)


def test_an_image_that_was_swapped_since_launch_is_not_shown_and_nothing_is_exported(
    researcher, study, caplog
):
    name, path = next(iter(study.images.items()))
    before = path.read_bytes()
    path.write_bytes(b"another")
    try:
        response = researcher.get(f"/stimuli/{name}")
        assert response.status_code == 503
        assert "is not the image with which the study was launched" in caplog.text
        for out in ("export.zip", "bonuses.csv"):
            response = researcher.get(f"/researcher/{out}")
            assert response.status_code == 409
            assert f"{name} is not what it was" in response.content.decode()
    finally:
        path.write_bytes(before)
    response = researcher.get(f"/stimuli/{name}")
    assert b"".join(response.streaming_content) == before
    response.close()


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a" * 151])
def test_a_name_that_no_login_can_have_is_refused(study, name):
    from occlumap.study import server

    with pytest.raises(ArgumentError, match="expected a name of 1 to 150 characters"):
        server.researcher(name)


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
    from occlumap.study.domain import launch
    from occlumap.study.domain.configuration import make

    assert launch.faults(study) == []
    people = {**study.values["people"], "ethics_number": "FILL IN: number"}
    changed = {
        **study.values,
        "people": people,
        "completion_url": "",
        "heatmaps": ["none", "grad_cam"],
        "texts": {"consent": "You get £5 plus 10p for each answer. {{ reward }}"},
    }
    found = "\n".join(launch.faults(make(changed, study.folder)))
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
    from occlumap.study.domain.configuration import make

    with pytest.raises(ArgumentError, match=told):
        make(values, study.folder)


def test_money_in_the_texts_comes_from_the_configuration(study):
    text = study.texts()["information"]
    assert "GBP 8.00" in text
    assert "GBP 15.00" in text
    assert "GBP 0.50" in study.texts()["instructions"][-2]


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
        ({"texts": {"instructions": [{"text": "x", "for": "heatmap"}]}}, "none:shown has no instructions"),
        ({"texts": {"instructions": [{"text": "{{ photo_TN }}"}]}}, "no example of the stimulus set is TN"),
        ({"texts": {"consent": "{{ photo_TP }}"}}, "the text consent has an unknown {{ photo_TP }}"),
        ({"texts": {"consent": " "}}, "the text consent is empty"),
        ({"texts": {"consent": "At most 15 pounds"}}, "the text consent says '15 pounds'"),
        ({"texts": {"consent": "At most five pounds"}}, "the text consent says 'five pounds'"),
        ({"texts": {"consent": "At most fifty\npence"}}, "the text consent says 'fifty\\npence'"),
        ({"texts": {"consent": "36 questions"}}, "says '36 questions', and there are 14: write {{ tasks }}"),
        ({"texts": {"consent": "thirty-six\nnew photos"}}, "says 'thirty-six new photos', and there are 14"),
        ({"texts": {"consent": "Ask [INSERT NAME HERE]"}}, "the text consent says 'INSERT NAME HERE'"),
        ({"texts": {"consent": "Ask { contact }"}}, "the text consent has a brace"),
        ({"texts": {"consent": "I get 8.60 for this study"}}, "the text consent says 'get 8.60'"),
        ({"texts": {"information": "We pay."}}, "the text information does not say {{ base }}"),
        (
            {"codes": {"completed": "X", "no_consent": "X"}},
            "codes.completed is 'X', that of no_consent too: who is to be paid could not be told",
        ),
        (
            {"codes": {"over_quota": "X", "no_consent": "X"}},
            "codes.no_consent is 'X', that of over_quota too: who is to be paid could not be told",
        ),
        (
            {"codes": {"screened_out": "X", "no_consent": "X"}},
            "codes.no_consent is 'X', that of screened_out too: who is to be paid could not be told",
        ),
        ({"colours": {"right": "#a3001B"}}, "colours.right and colours.wrong are both #a3001B"),
        ({"texts": {"consent": "Up to a maximum of 8.6."}}, "the text consent says 'maximum of 8.6'"),
        ({"codes": {"completed": " "}}, "codes.completed is empty"),
        ({"completion_url": "https://app.example/?cc=ABC"}, "completion_url has a code in it"),
        ({"completion_url": "https://app.example/#end"}, "completion_url is 'https://app.example/#end'"),
        ({"signed_links": {"keys": "keys.json", "audience": "us"}}, "signed_links.keys is 'keys.json'"),
        ({"signed_links": {"keys": "https://x.example", "audience": "us"}}, "signed_links.study_id is empty"),
        ({"texts": {"consent": "That is eight quid"}}, "the text consent says 'eight quid'"),
    ],
)
def test_what_cannot_be_met_or_seen_is_refused_before_launch(study, values, told):
    from occlumap.study.domain import launch
    from occlumap.study.domain.configuration import make

    assert told in "; ".join(launch.faults(make({**study.values, **values}, study.folder)))
    assert launch.faults(make({**study.values, "places": 12}, study.folder)) == []


def test_ends_that_pay_alike_may_share_a_code(study):
    from occlumap.study.domain import launch
    from occlumap.study.domain.configuration import make

    codes = {"over_quota": "X", "screened_out": "X"}
    assert launch.faults(make({**study.values, "codes": codes}, study.folder)) == []


def test_the_check_says_what_links_that_are_not_signed_mean(study, study_folder):
    import yaml
    from click.testing import CliRunner

    from occlumap.cli.study import study as command

    signed = {"keys": "https://keys.example/jwks.json", "audience": "us", "study_id": "s1"}
    for more, noted in (({}, True), ({"signed_links": signed}, False)):
        path = study_folder / "noted.yaml"
        path.write_text(yaml.safe_dump({**study.values, **more}))
        told = CliRunner().invoke(command, ["check", str(path)])
        assert told.exit_code == 0, told.output
        assert ("whoever knows or makes up a PROLIFIC_PID enters as that person" in told.output) == noted


@pytest.mark.parametrize("keys", [[], "abc", {}, [{"kty": "oct"}], [{"kty": "RSA", "n": "-", "e": "AQAB"}]])
def test_a_file_of_keys_by_which_nobody_could_come_in_is_refused_before_launch(study, keys):
    from occlumap.study.domain import launch
    from occlumap.study.domain.configuration import make

    (study.folder / "none.json").write_text(json.dumps({"keys": keys}))
    signed = {"keys": "none.json", "audience": "us", "study_id": "s1"}
    told = "; ".join(launch.faults(make({**study.values, "signed_links": signed}, study.folder)))
    assert "a file without a key that can be used" in told


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "FILL IN: who",
            "fill in",
            "FILL-IN: institution",
            "(demo: your contact)",
            "TODO",
            "<mail>",
        ),
        *("TBC", "UKRI (TBC)", "[your contact]", "INSERT NAME HERE", "placeholder", "Your name", "2026-XXX"),
        *("to be confirmed", "Ada (to be announced)", "n/a", "NA", "XX", "Lorem ipsum"),
    ],
)
def test_a_place_that_is_not_filled_in_is_refused_before_launch(study, value):
    from occlumap.study.domain import launch
    from occlumap.study.domain.configuration import make

    changed = {**study.values, "people": {**study.values["people"], "contact": value}}
    assert launch.faults(make(changed, study.folder)) == ["people.contact is not filled in"]


@pytest.mark.parametrize("said", ["twelve tasks", "7 trials", "12 questions", "13 photos"])
def test_a_number_that_is_of_something_else_is_refused(study, said):
    from occlumap.study.domain import launch
    from occlumap.study.domain.configuration import make

    (told,) = launch.faults(make({**study.values, "title": f"A study of {said}"}, study.folder))
    assert told == f"the text title says {said!r}, and there are 14: write {{{{ tasks }}}}"


@pytest.mark.parametrize("value", ["Toda Fillinger <t@uni.example>", "[Dr] Insertini", "University of Here"])
def test_a_place_that_is_filled_in_is_taken(study, value):
    from occlumap.study.domain import launch
    from occlumap.study.domain.configuration import make

    own = "14 tasks, 7 tasks for each class, 7 photos of each class, 12 example photos, one photo at a time."
    own += (
        " Two questions for each. There are 14 tasks for each of you, 14 tasks each, each with 12 examples."
    )
    values = {"people": {**study.values["people"], "contact": value}, "texts": {"consent": own}}
    assert launch.faults(make({**study.values, **values}, study.folder)) == []


def test_a_key_that_stands_twice_is_refused(tmp_path):
    from occlumap.study.domain.configuration import read

    (tmp_path / "study.yaml").write_text("title: One\npayment: {base: 8, base: 5}\n")
    with pytest.raises(FileFormatError, match="'base' again in line 2"):
        read(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"payment": {"base": "1e400"}}, "payment.base"),
        ({"payment": {"per_correct": 0.333}}, "payment.per_correct"),
        ({"seed": 10**30}, "seed"),
        ({"lease_minutes": 10**18}, "lease_minutes"),
    ],
)
def test_numbers_that_pages_or_the_database_cannot_hold_are_refused(study, values, told):
    from occlumap.study.domain.configuration import make

    with pytest.raises(ArgumentError, match=told):
        make(values, study.folder)


def changed_set(study, change):
    """The study with its stimulus set's manifest changed."""
    import copy
    import json

    from occlumap.study.domain.configuration import make

    manifest = copy.deepcopy(study.manifest)
    for number, task in enumerate(manifest["tasks"], start=1):
        task["id"] = str(number)
    change(manifest["tasks"], manifest["thresholds"])
    (study.folder / "stimuli/changed.json").write_text(json.dumps(manifest))
    return make({**study.values, "stimuli": "stimuli/changed.json"}, study.folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tasks, limits: tasks.clear(), "lacks tasks"),
        (lambda tasks, limits: limits.pop("cat"), "the threshold of cat is None"),
        (lambda tasks, limits: tasks[1].update(id="1"), "the id '1' is there twice"),
        (lambda tasks, limits: tasks[0].update(id="a/b"), "the id of task 1 is 'a/b'"),
        (lambda tasks, limits: tasks[0].update(outcome="tp"), "the outcome of task 1 is 'tp'"),
        (lambda tasks, limits: tasks[0]["examples"].clear(), "task 1 lacks examples"),
        (lambda tasks, limits: tasks[0]["examples"][2].pop("image"), "example 3 of task 1 names None"),
        (lambda tasks, limits: tasks[0]["examples"][0].update(scores={}), "example 1 of task 1 has no score"),
        (lambda tasks, limits: tasks[0].update(image="/etc/passwd"), "task 1 names '/etc/passwd'"),
        (lambda tasks, limits: tasks[0].update(image="../study.yaml"), "task 1 names '../study.yaml'"),
    ],
)
def test_a_stimulus_set_that_pages_cannot_be_made_of_is_refused_with_the_place(study, change, told):
    with pytest.raises(FileFormatError, match=told):
        changed_set(study, change).tasks  # noqa: B018 - it is read when it is asked for


def give_away(tasks, limits):
    tasks[3]["examples"][0]["image"] = tasks[0]["image"]


def belie(tasks, limits):
    tasks[0]["examples"][0]["scores"] = {"cat": 0.01}


def repeat(tasks, limits):
    tasks[1]["image"] = tasks[0]["image"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (give_away, "the image of task 1 is an example too, which gives its outcome away"),
        (repeat, "tasks 1 and 2 have the same image"),
        (belie, "an example of task 1 is TP, but its score 0.01 is not above the threshold 0.4"),
    ],
)
def test_a_stimulus_set_that_gives_a_task_away_is_refused_before_launch(study, change, told):
    from occlumap.study.domain import launch

    assert launch.faults(changed_set(study, change)) == [told]


def test_a_tasks_image_is_known_among_examples_by_its_bytes(study):
    import shutil

    from occlumap.study.domain import launch

    copy = study.folder / "stimuli/images/copy.png"
    shutil.copy(study.folder / "stimuli" / study.manifest["tasks"][0]["image"], copy)
    found = changed_set(study, lambda tasks, _: tasks[3]["examples"][0].update(image="images/copy.png"))
    assert launch.faults(found) == ["the image of task 1 is an example too, which gives its outcome away"]


@pytest.mark.parametrize("ending", ["exif", "xmp", "text", "comment"])
def test_an_image_that_carries_words_is_refused_before_launch(study, tmp_path, ending):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from occlumap.study.domain import launch

    picture, path = Image.new("RGB", (4, 4)), tmp_path / "picture"
    exif, text = Image.Exif(), PngInfo()
    exif[0x010E] = "TP score 0.83"
    text.add(b"tEXt", b"dpi\0TP score 0.83", after_idat=True)
    {
        "exif": lambda: picture.save(path, "JPEG", exif=exif),
        "xmp": lambda: picture.save(path, "WEBP", xmp=b"TP score 0.83"),
        "text": lambda: picture.save(path, "PNG", pnginfo=text),
        "comment": lambda: picture.save(path, "GIF", comment=b"TP score 0.83"),
    }[ending]()
    assert launch._carried(path)
    picture.save(path, "JPEG", icc_profile=b"a profile", progressive=True, dpi=(72, 72))
    assert launch._carried(path) == []


def test_an_image_that_changed_since_the_set_was_frozen_is_refused_before_launch(study):
    from occlumap.study.domain import launch

    files = dict(study.images_sha256)
    name = next(iter(files))
    frozen = changed_set(study, lambda tasks, limits: None)
    frozen.manifest["files"] = files
    before = launch.faults(frozen)
    frozen.manifest["files"] = {**files, name: "0" * 64}
    assert [one for one in launch.faults(frozen) if one not in before] == [
        f"the image {name} is not the one of the manifest (`files`): it has changed since the set was frozen"
    ]


def test_the_icon_that_browsers_ask_for_is_no_error(study):
    assert client().get("/favicon.ico").status_code == 204


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
