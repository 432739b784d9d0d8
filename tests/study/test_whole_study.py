"""The programs themselves: demo, bots and export as processes; killed, restarted, and on PostgreSQL."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import occlumap

pytest.importorskip("django")
pytest.importorskip("httpx")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(occlumap.__file__).parents[1])}


def study(*arguments: object, folder: Path, **options):
    environment = {**ENVIRONMENT, **options.pop("environment", {})}
    command = [sys.executable, "-m", "occlumap", "study", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=folder,
        text=True,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.STDOUT,
        env=environment,
        **options,
    )


def done(*arguments: object, folder: Path, **options) -> str:
    process = study(*arguments, folder=folder, **options)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def free_port() -> int:
    """A port below those that clients get: one of them might take it while a server is away for a moment."""
    import random

    while True:
        port = random.randint(12_000, 30_000)
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def up(port: int, process) -> None:
    """Wait until the server answers."""
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(process.stdout.read() if process.stdout else "the server has ended")
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server does not come up")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_whole(folder: Path, finished: int) -> None:
    """Everybody who finished has each of the 14 tasks once, at positions 1 to 14; cells differ by one at most."""
    people, answers = rows(folder / "participants.csv"), rows(folder / "responses.csv")
    assert len(people) == finished
    for person in people:
        own = [row for row in answers if row["participant_id"] == person["participant_id"]]
        assert sorted(int(row["position"]) for row in own) == list(range(1, 15))
        assert len({row["task_id"] for row in own}) == 14
    cells = [f"{person['heatmap']}:{person['scores']}" for person in people]
    counts = [cells.count(cell) for cell in set(cells)]
    assert len(counts) == 6
    assert max(counts) - min(counts) <= 1


def test_demo_bots_and_export_with_the_server_killed_in_between(tmp_path):
    port = free_port()
    server = study("demo", "--port", port, folder=tmp_path)
    try:
        up(port, server)
        bots = study("bots", "--url", f"http://127.0.0.1:{port}/", "--count", 18, folder=tmp_path)
        database = tmp_path / "occlumap-study/study.sqlite3"
        import sqlite3

        for _ in range(300):  # until some answers are in
            with sqlite3.connect(database) as connection:
                (count,) = connection.execute("select count(*) from participants_answer").fetchone()
            if count > 20:
                break
            time.sleep(0.05)
        server.kill()
        server.wait()
        server.stdout.close()
        server = study("demo", "--port", port, folder=tmp_path)
        up(port, server)
        output, _ = bots.communicate(timeout=300)
        assert output.strip() == "18 DONE"
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.stdout.close()
    done("export", "--out", "data", folder=tmp_path)
    assert_whole(tmp_path / "data", 18)


def test_what_was_erased_stands_in_no_file_of_a_demo_that_runs(tmp_path):
    import httpx

    from tests.study.pages import answers_for

    port = free_port()
    server = study("demo", "--port", port, folder=tmp_path)
    try:
        up(port, server)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=60) as browser:
            page = browser.get("/?PROLIFIC_PID=zebra1&STUDY_ID=s&SESSION_ID=zebra2").text
            page = browser.post("/", data=answers_for(page)).text
            while "Photo 2 of 14" not in page:
                page = browser.post("/study/", data=answers_for(page) | {"sensitive": "zebra stripes"}).text
            page = browser.get("/study/withdraw/").text
            assert browser.post("/study/withdraw/", data=answers_for(page)).status_code == 200
        for _ in range(100):  # the answer may be here before the server is done
            files = sorted((tmp_path / "occlumap-study").glob("study.sqlite3*"))
            told = [path.name for path in files if path.exists() and b"zebra" in path.read_bytes()]
            if not told:
                break
            time.sleep(0.1)
        assert not told
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_django_finds_nothing_to_warn_of_before_deployment(tmp_path):
    environment = {
        **ENVIRONMENT,
        "DJANGO_SETTINGS_MODULE": "occlumap.study.settings",
        "OCCLUMAP_STUDY_SECRET": "kq3#vP9zL0wYt7RmX2sB8nD5hJ1fG6cAeU4iO-TzQyW_EkVxNp",
        "OCCLUMAP_STUDY_DATABASE": str(tmp_path / "x.sqlite3"),
    }
    command = [sys.executable, "-m", "django", "check", "--deploy", "--fail-level", "WARNING"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    command = [sys.executable, "-m", "django", "makemigrations", "--check", "--dry-run"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_without_a_database_named_none_is_made_where_one_happens_to_be(tmp_path):
    environment = {
        **ENVIRONMENT,
        "DJANGO_SETTINGS_MODULE": "occlumap.study.settings",
        "OCCLUMAP_STUDY_SECRET": "secret-" * 8,
    }
    environment.pop("OCCLUMAP_STUDY_DATABASE", None)
    command = [sys.executable, "-m", "django", "makemigrations", "--check"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode != 0
    assert "OCCLUMAP_STUDY_DATABASE" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_said_with_what_to_do(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = study("demo", "--port", taken.getsockname()[1], folder=tmp_path)
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "any other: --port 0" in output
    assert not (tmp_path / "occlumap-study").exists()  # no login was made that nobody saw


@pytest.mark.parametrize(("content", "told"), [(None, "found none"), (b"no database" * 99, "not a database")])
def test_a_database_that_is_none_is_told_in_a_line_and_not_made(tmp_path, content, told):
    from occlumap.study import demo_stimuli

    demo_stimuli.write(tmp_path / "stimuli")
    (tmp_path / "study.yaml").write_text("title: A study\n")
    database = tmp_path / "study.sqlite3"
    if content is not None:
        database.write_bytes(content)
    process = study(
        *("export", "--config", "study.yaml", "--out", "data"),
        folder=tmp_path,
        environment={"OCCLUMAP_STUDY_DATABASE": str(database)},
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told in output
    assert len(output.splitlines()) == 1
    assert database.exists() == (content is not None)
    assert not (tmp_path / "data").exists()


def test_a_start_on_a_port_that_is_taken_changes_no_study(tmp_path):
    import yaml

    from occlumap.study import demo_stimuli
    from occlumap.study.domain import configuration

    demo_stimuli.write(tmp_path / "stimuli")
    people = {name: f"(test {name})" for name in configuration.PLACEHOLDERS}
    values = {"title": "A study", "people": people, "completion_url": "https://app.example/complete"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    environment = {
        "OCCLUMAP_STUDY_DATABASE": str(tmp_path / "study.sqlite3"),
        "OCCLUMAP_STUDY_SECRET": "secret-" * 8,
        "OCCLUMAP_STUDY_HOSTS": "127.0.0.1",
    }
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        process = study("serve", "study.yaml", "--bind", bind, folder=tmp_path, environment=environment)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "expected a free port" in output
    assert not (tmp_path / "study.sqlite3").exists()


def test_a_study_with_faults_is_not_served(tmp_path):
    from occlumap.study import demo_stimuli

    demo_stimuli.write(tmp_path / "stimuli")
    (tmp_path / "study.yaml").write_text("title: Not ready\n")
    process = study("serve", "study.yaml", folder=tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "people.ethics_number is not filled in" in output


def test_the_demos_stimuli_are_those_that_its_manifest_names(tmp_path):
    import json

    from occlumap.study import demo_stimuli

    manifest = json.loads(demo_stimuli.write(tmp_path).read_text())
    named = {one["image"] for task in manifest["tasks"] for one in (task, *task["examples"])}
    named |= {
        name for task in manifest["tasks"] for one in task["examples"] for name in one["heatmaps"].values()
    }
    assert {f"images/{file.name}" for file in (tmp_path / "images").iterdir()} == named
