"""How fast the study answers to many at once: 100 simulated participants with pauses, over HTTP, on PostgreSQL.

    python benchmarks/study_load.py --database postgresql://user@127.0.0.1/empty --people 100 --think 5 --seconds 120

Serves a drawn study by gunicorn with the given database, which should be empty, and lets programs take part through the
real pages: each waits about --think seconds before it submits (half to one and a half of it), and who finishes begins
again as somebody new. With --think 0 it measures how many submissions a second the server takes at most. A latency is
of one submission: from sending the form until the next page is whole, its redirect included. Server, database and
participants share this machine, so the numbers are no better than those of a server of its own. Images are left out:
they are files, which a browser asks for once.

    ... --otree VENV/bin/otree --otree-database postgresql://user@127.0.0.1/another

measures oTree in the same run, before and after, with an app of one page of the same fields and images for each of the
14 tasks (benchmarks/otree_peer.py); oTree lives in a virtual environment of its own, with psycopg2-binary.
"""

import argparse
import json
import os
import platform
import random
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urljoin

import httpx
import otree_peer
import yaml

from occlumap.study import demo_stimuli
from occlumap.study.bots import _filled, _Page
from occlumap.study.domain.configuration import PLACEHOLDERS


def main() -> None:
    of = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    of.add_argument("--database", required=True, help="postgresql://user:password@host:port/name, empty")
    of.add_argument("--people", type=int, default=100)
    of.add_argument("--think", type=float, default=5.0, help="seconds, on average")
    of.add_argument("--seconds", type=float, default=120.0)
    of.add_argument("--workers", type=int, default=2)
    of.add_argument("--otree", type=Path, help="the program otree of another virtual environment")
    of.add_argument("--otree-database", help="for oTree, empty")
    of.add_argument("--out", type=Path, help="also write the result as JSON to this file")
    options = of.parse_args()
    how = (options.people, options.think, options.seconds)
    result: dict[str, object] = {"people": how[0], "think_seconds": how[1], "workers": options.workers}
    if options.otree:
        result["otree_before"] = of_otree(options.otree, options.otree_database, *how)
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = serve(Path(folder), options.database, port, options.workers)
        try:
            wait_for(f"http://127.0.0.1:{port}/health/", server)
            result["study"] = load(f"http://127.0.0.1:{port}/", *how)
        finally:
            stop(server)
    if options.otree:
        result["otree_after"] = of_otree(options.otree, options.otree_database, *how)
    result |= {
        "cores": os.cpu_count(),
        "load_average_at_the_end": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


def of_otree(program: Path, database: str, people: int, think: float, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = otree_peer.serve(program.absolute(), Path(folder), database, port)
        try:
            wait_for(f"http://127.0.0.1:{port}/", server)
            return load(otree_peer.session(f"http://127.0.0.1:{port}", 4 * people), people, think, seconds)
        finally:
            stop(server)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def stop(server: "subprocess.Popen[bytes]") -> None:
    os.killpg(server.pid, signal.SIGTERM)
    server.wait()


def serve(folder: Path, database: str, port: int, workers: int) -> "subprocess.Popen[bytes]":
    demo_stimuli.write(folder / "stimuli")
    values = {
        "people": {name: f"(load: {name})" for name in PLACEHOLDERS},
        "completion_url": "https://app.example/complete",
        "entries_per_minute": 10**6,
        "quota_per_cell": 10**4,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    environment = {
        **os.environ,
        "OCCLUMAP_STUDY_DATABASE": database,
        "OCCLUMAP_STUDY_SECRET": secrets.token_urlsafe(48),
        "OCCLUMAP_STUDY_HOSTS": "127.0.0.1",
        "OCCLUMAP_STUDY_HTTPS": "0",
    }
    command = [sys.executable, "-m", "occlumap", "study", "serve", str(folder / "study.yaml")]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit("error: the server has ended; is the database there, and empty?")
        try:
            if httpx.get(address, timeout=10, follow_redirects=True).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("error: the server does not come up")


def load(url: str, people: int, think: float, seconds: float) -> dict[str, object]:
    latencies: list[float] = []
    errors: list[str] = []
    finished = [0]
    turn = threading.Lock()
    began = time.perf_counter()
    end = began + seconds
    measured_from = began + min(seconds / 4, 2 * think + 1)  # not while all begin at once

    def take_part(number: int) -> None:
        chance = random.Random(number)
        time.sleep(chance.uniform(0, think))
        while time.perf_counter() < end:
            with httpx.Client(follow_redirects=True, timeout=60) as client:
                once(client, chance)

    def once(client: httpx.Client, chance: random.Random) -> None:
        try:
            response = client.get(url)
            while time.perf_counter() < end:
                page = _Page(response.text)
                if page.code or otree_peer.END in response.text:
                    with turn:
                        finished[0] += 1
                    return
                if response.status_code != 200 or page.form is None:
                    raise httpx.HTTPError(f"status {response.status_code}")
                answers = _filled(page.form, "random", chance)
                time.sleep(chance.uniform(0.5, 1.5) * think)
                sent = time.perf_counter()
                response = client.post(urljoin(str(response.url), page.form.action), data=answers)
                took = time.perf_counter() - sent
                if not response.history:  # a form that is taken leads on
                    raise httpx.HTTPError(f"not taken: status {response.status_code} at {response.url}")
                if sent >= measured_from:
                    with turn:
                        latencies.append(took)
        except httpx.HTTPError as error:
            with turn:
                errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=take_part, args=(number,)) for number in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    measured = time.perf_counter() - measured_from
    if len(latencies) < 2:
        raise SystemExit(f"error: too few submissions to measure; errors: {errors[:3]}")
    hundredths = statistics.quantiles(latencies, n=100)
    return {
        "submissions": len(latencies),
        "submissions_per_second": round(len(latencies) / measured, 1),
        "finished": finished[0],
        "errors": len(errors),
        "first_errors": errors[:3],
        "latency_ms": {f"p{at}": round(1000 * hundredths[at - 1]) for at in (50, 95, 99)},
    }


if __name__ == "__main__":
    main()
