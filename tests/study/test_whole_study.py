"""The programs themselves: demo, bots and export as processes; killed, restarted, and on PostgreSQL."""

import csv
import os
import shutil
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
        stdout=subprocess.PIPE,
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
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def up(port: int, process) -> None:
    """Wait until the server answers."""
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(process.stdout.read())
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


def test_a_study_with_faults_is_not_served(tmp_path):
    from occlumap.study import demo_stimuli

    demo_stimuli.write(tmp_path / "stimuli")
    (tmp_path / "study.yaml").write_text("title: Not ready\n")
    process = study("serve", "study.yaml", folder=tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "people.ethics_number is not filled in" in output


# ---- PostgreSQL

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class Cluster:
    """A PostgreSQL of our own in a folder; a server refuses to run as root, so then another user runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        folder.mkdir()
        if self.user:
            for parent in folder.parents[:3]:
                parent.chmod(parent.stat().st_mode | 0o005)
            shutil.chown(folder, "postgres")
        self.run("initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync")

    def run(self, program: str, *arguments: object) -> None:
        command = [*self.user, str(BINARIES[0] / program), *map(str, arguments)]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self.run(
            "pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", self.folder / "data", "-w", "-m", mode, "stop")

    @property
    def address(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


@pytest.fixture
def cluster(tmp_path):
    if not BINARIES:
        pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
    if os.getuid() == 0 and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    pytest.importorskip("psycopg")
    made = Cluster(tmp_path / "cluster")
    made.start()
    yield made
    made.stop()


def test_on_postgresql_a_killed_worker_and_a_restarted_database_lose_nothing(tmp_path, cluster):
    import yaml

    from occlumap.study import demo_stimuli
    from occlumap.study.domain.configuration import PLACEHOLDERS

    folder = tmp_path / "study"
    demo_stimuli.write(folder / "stimuli")
    values = {
        "people": {name: f"(test {name})" for name in PLACEHOLDERS},
        "completion_url": "https://app.example/complete",
        "entries_per_minute": 100_000,
        "quota_per_cell": 5,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    port = free_port()
    environment = {
        "OCCLUMAP_STUDY_DATABASE": cluster.address,
        "OCCLUMAP_STUDY_SECRET": "x" * 50,
        "OCCLUMAP_STUDY_HOSTS": "127.0.0.1",
        "OCCLUMAP_STUDY_HTTPS": "0",
    }
    server = study(
        "serve",
        "study.yaml",
        "--bind",
        f"127.0.0.1:{port}",
        folder=folder,
        environment=environment,
        start_new_session=True,
    )
    try:
        up(port, server)
        bots = study(
            "bots", "--url", f"http://127.0.0.1:{port}/", "--count", 24, "--at-once", 12, folder=folder
        )
        time.sleep(3)
        children = subprocess.run(
            ["pgrep", "-P", str(server.pid)], capture_output=True, text=True
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        time.sleep(1)
        cluster.stop()
        cluster.start()
        output, _ = bots.communicate(timeout=300)
        assert output.strip() == "24 DONE"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        server.stdout.close()
    done("export", "--out", "data", "--config", "study.yaml", folder=folder, environment=environment)
    assert_whole(folder / "data", 24)
