"""The container's files name what is there; they are not built here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "Dockerfile").exists(), reason="the repository is not here")


def test_the_image_copies_what_there_is_and_what_the_package_is_built_of():
    import tomllib

    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = {
        name for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE) for name in line.split()
    }
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", "src", project["readme"], *project["license-files"]} <= copied


def test_the_image_runs_a_command_that_there_is():
    from occlumap.cli.study import study

    dockerfile = (ROOT / "Dockerfile").read_text()
    entry = json.loads(re.search(r"^ENTRYPOINT (.+)$", dockerfile, re.MULTILINE)[1])
    name, *arguments = json.loads(re.search(r"^CMD (.+)$", dockerfile, re.MULTILINE)[1])
    assert entry == ["occlumap", "study"]
    context = study.commands[name].make_context(name, arguments)
    assert context.params["bind"] == "0.0.0.0:8000"


def test_compose_gives_all_that_serving_asks_for_and_publishes_on_this_machine_only():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    served = compose["services"]["study"]
    asked = {f"OCCLUMAP_STUDY_{name}" for name in ("DATABASE", "SECRET", "HOSTS")}
    assert asked <= set(served["environment"])
    assert all(port.startswith("127.0.0.1:") for port in served["ports"])
    assert "ports" not in compose["services"]["database"]
    volumes = {
        one.partition(":")[0] for service in compose["services"].values() for one in service["volumes"]
    }
    assert {one for one in volumes if not one.startswith(".")} == set(compose["volumes"])


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ("postgresql://study:secret@127.0.0.1:1/study", "OCCLUMAP_STUDY_DATABASE names to answer"),
        ("postgresql://study:secret@127.0.0.1:1", "without a name at its end"),
        ("postgresql://study:secret@127.0.0.1:port/study", "host or port cannot be read"),
        ("mysql://study:secret@127.0.0.1/study", "begins with mysql://"),
    ],
)
def test_a_database_that_cannot_be_had_is_told_in_a_line(study_folder, database, told):
    pytest.importorskip("psycopg_pool")
    environment = {
        **os.environ,
        "OCCLUMAP_STUDY_DATABASE": database,
        "OCCLUMAP_STUDY_SECRET": "secret-" * 8,
        "OCCLUMAP_STUDY_HOSTS": "study.example",
    }
    command = [sys.executable, "-m", "occlumap", "study", "serve", str(study_folder / "study.yaml")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert told in ended.stderr
    assert "secret" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "command", [["check", "study.yaml"], ["demo", "--port", "0"], ["serve", "study.yaml"]]
)
@pytest.mark.parametrize("package", ["yaml", "jsonschema"])
def test_without_the_extra_a_command_says_what_to_install(command, package, monkeypatch, tmp_path):
    from click.testing import CliRunner

    from occlumap.cli.group import occlumap

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    Path("study.yaml").write_text("title: Pets\n")
    ran = CliRunner().invoke(occlumap, ["study", *command])
    assert ran.exit_code == 1
    assert f"'{package}'" in ran.stderr
    assert "pip install '.[study]'" in ran.stderr
