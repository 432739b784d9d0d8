"""A study on SQLite for the tests of one process: Django is set up once, tables are emptied before each test."""

import os
import shutil
from pathlib import Path

import pytest

pytest.importorskip("django")
pytest.importorskip("nh3")


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import yaml

    from occlumap.study import demo_stimuli, server
    from occlumap.study.domain import configuration

    folder = tmp_path_factory.mktemp("study")
    demo_stimuli.write(folder / "stimuli")
    people = {name: f"(test {name})" for name in configuration.PLACEHOLDERS}
    values = {"title": "A study", "people": people, "quota_per_cell": 2, "entries_per_minute": 100_000}
    values["completion_url"] = "https://app.example/complete"
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    server.set_up(
        folder / "study.yaml",
        str(folder / "db.sqlite3"),
        "secret-" * 8,
        https=False,
        hosts="testserver,127.0.0.1",
    )
    server.migrate(configuration.read(folder / "study.yaml"))
    return folder


@pytest.fixture
def study(study_folder: Path):
    """The configuration, with an empty database."""
    from django.contrib.auth import get_user_model
    from django.contrib.sessions.models import Session

    from occlumap.study.configured import configuration
    from occlumap.study.participants.models import OwedBonus, Participant, StudyState, Tally, Withdrawal

    for table in (Participant, Withdrawal, OwedBonus):
        table.objects.all().delete()
    Session.objects.all().delete()
    get_user_model().objects.all().delete()
    StudyState.objects.update(paused=False)
    Tally.objects.all().delete()
    return configuration()


@pytest.fixture(scope="module")
def address(study_folder):
    from occlumap.study import server

    running, _ = server.serve(0)
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def browser():
    """Chromium; its driver runs a loop in this thread, which Django would otherwise take for asynchronous code."""
    pytest.importorskip("playwright.sync_api")
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
