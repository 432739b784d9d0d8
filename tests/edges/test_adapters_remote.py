"""A remote classifier: the contract, and what happens when the server is slow, drops, lies or restarts."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import occlumap
from occlumap import adapters
from occlumap.adapters import from_url, remote
from occlumap.errors import ArgumentError, ClassifierError
from occlumap.score_cache import CachedClassifier
from tests.edges import command_line

pytest.importorskip("httpx")
SERVER = Path(__file__).with_name("faulty_server.py")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAIT", 0.01)


@pytest.fixture
def start() -> Iterator[object]:
    """start(*faults, port=0, **environment) -> (address, process)."""
    import os

    running = []

    def start(*faults: str, port: int = 0, **environment: str) -> tuple[str, subprocess.Popen[str]]:
        source = str(Path(occlumap.__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, SERVER, str(port), *faults],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": source, **environment},
        )
        running.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip(), process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def truth(batch: np.ndarray) -> np.ndarray:
    parts = [batch[:, r : r + 16, c : c + 16].mean(axis=(1, 2, 3)) / 255 for r in (0, 16) for c in (0, 16)]
    return np.stack(parts, axis=1)


@pytest.mark.parametrize("form", ["json", "multipart"])
def test_the_scores_are_those_of_the_server_in_order(start, form):
    address, _ = start()
    batch = np.random.default_rng(1).integers(0, 256, (33, 32, 32, 3), np.uint8)
    classifier = from_url(address, format=form, images_per_request=4)
    np.testing.assert_array_equal(classifier(batch), truth(batch))
    assert (classifier.requests, classifier.retries) == (9, 0)


def test_load_takes_an_address(start):
    address, _ = start()
    assert occlumap.load(address, concurrency=1)(photo()[None]).shape == (1, 4)


@pytest.mark.parametrize("fault", ["drop", "500", "429", "garbage", "short"])
def test_what_passes_is_tried_again_and_counted(start, quick, fault):
    address, _ = start(fault, "ok")
    classifier = from_url(address, concurrency=1)
    np.testing.assert_array_equal(classifier(photo()[None]), truth(photo()[None]))
    assert (classifier.requests, classifier.retries) == (2, 1)


def test_a_slow_answer_is_given_up_and_asked_for_again(start, quick):
    address, _ = start("slow", "ok")
    classifier = from_url(address, timeout=0.4)
    np.testing.assert_array_equal(classifier(photo()[None]), truth(photo()[None]))
    assert classifier.retries == 1


def test_what_does_not_pass_is_told_at_once(start, quick):
    address, _ = start("404")
    classifier = from_url(address)
    with pytest.raises(ClassifierError, match="status 200.*got 404"):
        classifier(photo()[None])
    assert classifier.requests == 1


def test_a_server_that_never_recovers_is_given_up_after_the_attempts(start, quick):
    address, _ = start("500")
    classifier = from_url(address, attempts=3)
    with pytest.raises(ClassifierError, match="last of 3 attempts"):
        classifier(photo()[None])
    assert (classifier.requests, classifier.retries) == (3, 2)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([[0.0, float("nan")]], "got nan among the scores"),
        ([[float("inf"), 0.0]], "got inf among the scores"),
        ([0.0, 0.0], r"got scores of shape \(2,\) for 1 images, the last"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(start, found, told):
    address, _ = start()
    classifier = from_url(address, attempts=1, decode=lambda response: found)
    with pytest.raises(ClassifierError, match=told) as caught:
        classifier(photo()[None])
    assert "doctor" not in str(caught.value)  # which may be what asks


def test_through_all_faults_every_region_has_one_score_and_the_right_one(start, quick):
    address, _ = start("ok", "drop", "ok", "500", "ok", "garbage", "429", "ok", "short", "ok")
    arguments = {"target": 0, "method": "paper", "depth": 2, "batch_size": 16}
    far = occlumap.explain(from_url(address, images_per_request=4, attempts=12), photo(), **arguments)
    near = occlumap.explain(truth, photo(), **arguments)
    keys = far.measurements.perturbations.keys()
    assert len(keys) == len(set(keys)) == len(near.measurements)
    np.testing.assert_array_equal(far.measurements.scores, near.measurements.scores)
    np.testing.assert_array_equal(far.heatmap, near.heatmap)


@pytest.mark.filterwarnings("ignore:importances that add up:occlumap.errors.OcclumapWarning")
def test_a_server_that_restarts_in_the_middle_costs_retries_and_nothing_else(start, quick, monkeypatch):
    monkeypatch.setattr(remote, "WAIT", 0.05)
    address, process = start()
    port = int(address.rstrip("/").rpartition(":")[2])
    classifier = from_url(address, concurrency=1, attempts=30)
    later = threading.Timer(0.5, start, kwargs={"port": port})
    seen = []

    def progress(done: int, total: int | None) -> None:
        if not seen:
            process.kill()
            process.wait()
            later.start()
        seen.append(done)

    arguments = {"target": 3, "budget": 60, "batch_size": 16}
    far = occlumap.explain(classifier, photo(), progress=progress, **arguments)
    np.testing.assert_array_equal(far.heatmap, occlumap.explain(truth, photo(), **arguments).heatmap)
    assert classifier.retries >= 1


@pytest.mark.parametrize(
    "spread",
    [
        lambda classifier: classifier,
        lambda classifier: adapters.replicas([classifier, classifier]),
        lambda classifier: CachedClassifier(classifier, "scores.sqlite3", "mine"),
        lambda classifier: adapters.in_processes(classifier, 1),
    ],
    ids=["alone", "replicas", "cached", "processes"],
)
def test_requests_and_retries_stand_in_the_provenance(start, spread, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address, _ = start("ok", "drop", "ok", "500", "ok")
    arguments = {"target": 0, "method": "paper", "depth": 2, "batch_size": 16}
    classifier = spread(from_url(address, images_per_request=16, concurrency=1))
    found = occlumap.explain(classifier, photo(), **arguments, workers=1).provenance
    answered = found["requests"] - found["retries"]
    assert answered == 13  # of 16 images, the original's of one
    assert found["retries"] > 1
    again = occlumap.explain(classifier, photo(), **arguments, workers=1).provenance
    assert again["requests"] - again["retries"] == (
        0 if isinstance(classifier, CachedClassifier) else answered
    )
    assert "retries" not in occlumap.explain(truth, photo(), **arguments).provenance


def test_the_command_line_counts_the_retries_of_its_processes(start, tmp_path, monkeypatch):
    from PIL import Image

    from tests.edges.command_line import run

    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo()).save("photo.png")
    address, _ = start("ok", "drop", "ok")
    method = ("--method", "paper", "--depth", 2, "--processes", 1)
    said = run("explain", "photo.png", "--classifier", address, *method).stdout
    (line,) = [one.strip() for one in said.splitlines() if "retries" in one]
    assert line.startswith("requests: ")
    assert line.partition(": ")[2] in run("show", "out/explanation.npz").stdout


@pytest.mark.filterwarnings("ignore:importances that add up:occlumap.errors.OcclumapWarning")
def test_the_secret_comes_from_the_environment_and_goes_into_no_result(start, monkeypatch, tmp_path):
    secret = "very-secret-indeed"
    address, _ = start(SCORING_TOKEN=secret)
    with pytest.raises(ArgumentError, match="MY_TOKEN, which is not set"):
        from_url(address, token_env="MY_TOKEN")
    with pytest.raises(ClassifierError, match="401"):
        from_url(address)(photo()[None])
    monkeypatch.setenv("MY_TOKEN", secret)
    assert "hidden" not in from_url(address.replace("http://", "http://user:hidden@")).name
    classifier = from_url(f"{address}?key=hidden", token_env="MY_TOKEN")
    found = occlumap.explain(classifier, photo(), target=0, budget=20)
    found.save(tmp_path / "found.npz")
    import zipfile

    with zipfile.ZipFile(tmp_path / "found.npz") as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert secret.encode() not in everything
    assert b"hidden" not in everything
    assert secret not in repr(classifier)


def test_the_limit_of_requests_at_once_holds_for_all_threads_together():
    most, now, lock = [0], [0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            count = len(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["images"])
            time.sleep(0.1)
            with lock:
                now[0] -= 1
            body = json.dumps({"scores": [[0.5, 0.5]] * count}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            classifier = from_url(
                f"http://127.0.0.1:{server.server_port}/", concurrency=2, images_per_request=1
            )
            batch = np.stack([photo()] * 4)
            threads = [threading.Thread(target=classifier, args=(batch,)) for _ in range(3)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
        finally:
            server.shutdown()
    assert (classifier.requests, most[0]) == (12, 2)


def test_the_secret_goes_out_beside_the_headers_of_a_hook(start, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "very-secret-indeed")
    address, _ = start(SCORING_TOKEN="very-secret-indeed")

    def encode(images):
        return {**remote._as_json(images), "headers": {"X-Version": "2"}}

    classifier = from_url(address, encode=encode, token_env="MY_TOKEN", fingerprint="v2")
    np.testing.assert_array_equal(classifier(photo()[None]), truth(photo()[None]))
    assert classifier.fingerprint == from_url(address, fingerprint="v2").fingerprint
    assert classifier.fingerprint != from_url(f"{address}?model=b", fingerprint="v2").fingerprint


@pytest.mark.parametrize("own", [{"headers": {"AUTHORIZATION": "Key abc12345"}}, {"auth": ("user", "word")}])
def test_two_authorizations_are_refused(monkeypatch, own):
    monkeypatch.setenv("MY_TOKEN", "very-secret-indeed")
    classifier = from_url("http://127.0.0.1:1/", encode=lambda images: own, token_env="MY_TOKEN")
    with pytest.raises(ClassifierError, match="either token_env or an Authorization by encode"):
        classifier(photo()[None])
    classifier = from_url("http://user@127.0.0.1:1/", encode=lambda images: own)
    with pytest.raises(ClassifierError, match="either a user in the address or an Authorization by encode"):
        classifier(photo()[None])


@pytest.mark.parametrize("given", [None, {"bodies": 3}])
def test_a_hook_that_gives_no_arguments_of_a_request_is_told(given):
    with pytest.raises(ClassifierError, match="expected encode to give keyword arguments of httpx's post"):
        from_url("http://127.0.0.1:1/", encode=lambda images: given)(photo()[None])


@pytest.fixture
def raw_server():
    """serve(answer): a server that hands each connection, its request read, to `answer`; gives the address."""
    import socket

    sockets = []

    def serve(answer):
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def run():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:  # it was closed
                    return
                with connection:
                    answer(connection, connection.recv(65536))

        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    yield serve
    for one in sockets:
        one.close()


def test_what_a_service_repeats_of_the_secrets_is_masked_whoever_tells_it(raw_server, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "very-secret-indeed")
    place = raw_server(lambda connection, request: connection.sendall(request[:4000]))
    hidden = {"params": {"key": "param-secret"}}
    for url, options in (
        (f"http://{place}/?key=query-secret", {"token_env": "MY_TOKEN"}),
        (f"http://{place}/", {"encode": lambda images: {**remote._as_json(images), **hidden}}),
        (
            f"http://{place}/",
            {"encode": lambda images: {**remote._as_json(images), "auth": ("user", "pass-secret")}},
        ),
    ):
        with pytest.raises(ClassifierError) as caught:
            from_url(url, attempts=1, **options)(photo()[None])
        assert "secret" not in str(caught.value)


def test_where_a_service_sends_us_tells_no_secret(raw_server):
    place = raw_server(
        lambda connection, request: connection.sendall(
            b"HTTP/1.1 301 No\r\nLocation: /score/the-secret/?key=the-secret\r\nContent-Length: 0\r\n\r\n"
        )
    )
    with pytest.raises(ClassifierError, match=r"got 301 to /score/.../") as caught:
        from_url(f"http://{place}/score?key=the-secret", attempts=1)(photo()[None])
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize("secret", ["KEY-SECRET\n", 'tok"en-SECRET', "tök\\en-SECRET"])
def test_a_secret_with_odd_letters_is_masked_as_python_and_json_write_it(raw_server, secret):
    def repeat(connection, request):
        sent = request.partition(b"X-Api-Key: ")[2].partition(b"\r\n")[0].decode("latin-1")
        body = json.dumps(sent).encode()
        connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    place = raw_server(repeat)
    hidden = {"headers": {"X-Api-Key": secret}}
    classifier = from_url(f"http://{place}/", encode=lambda images: {**remote._as_json(images), **hidden})
    with pytest.raises(ClassifierError) as caught:
        classifier(photo()[None])
    assert "SECRET" not in str(caught.value)
    assert classifier.requests == 1  # none passes by trying again


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"cookies": {"session": "the-SECRET"}}, "bad key the-SECRET"),
        ({"headers": {"Authorization": 'Token token="the-SECRET"'}}, "bad key the-SECRET"),
        ({"headers": {"X-Key": "the+SECRET/abc"}}, r'{"key": "the+SECRET\/abc"}'),
        ({"headers": {"X-Key": "the+SECRET/abc"}}, r'{"key": "the\u002bSECRET/abc"}'),
        ({"headers": {"X-Key": "the+SECRET/abc"}}, "<b>the&#x2B;SECRET/abc</b>"),
        ({"headers": {"X-Key": 'the"SECRET'}}, json.dumps(json.dumps({"key": 'the"SECRET'}))),
    ],
)
def test_a_secret_is_masked_in_whichever_way_a_service_writes_it(raw_server, sent, told):
    answer = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told.encode())
    place = raw_server(lambda connection, request: connection.sendall(answer))
    classifier = from_url(f"http://{place}/", encode=lambda images: {**remote._as_json(images), **sent})
    with pytest.raises(ClassifierError, match="got 401") as caught:
        classifier(photo()[None])
    assert "SECRET" not in str(caught.value)


def test_a_version_is_another_however_like_numbers_both_look():
    from occlumap.cli.options import options_of

    one, other = (options_of([f"fingerprint={text}"])["fingerprint"] for text in ("1.1", "1.10"))
    assert (one, other) == ("1.1", "1.10")


def test_headers_that_drip_in_are_given_up_in_time(raw_server):
    def drip(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            for number in range(100):
                connection.sendall(f"X-{number}: 1\r\n".encode())
                time.sleep(0.1)

    classifier = from_url(f"http://{raw_server(drip)}/", timeout=0.5, attempts=1)
    with pytest.raises(ClassifierError, match=r"ReadTimeout: no whole answer within 0.5 s"):
        classifier(photo()[None])


@pytest.mark.parametrize("scores", ["[true, false]", '["1", "2"]', f"[{'9' * 400}, 1]"])
def test_what_numpy_would_take_for_numbers_is_none(start, quick, scores):
    address, _ = start()
    classifier = from_url(address, decode=lambda response: json.loads(f"[{scores}]"), attempts=2)
    with pytest.raises(ClassifierError, match="no scores"):
        classifier(photo()[None])
    assert classifier.requests == 2


def test_hooks_speak_to_another_service(start):
    address, _ = start()

    def encode(images):
        return {"json": {"images": remote._as_json(images)["json"]["images"], "version": 2}}

    classifier = from_url(
        address, encode=encode, decode=lambda response: np.array(response.json()["scores"]) * 2
    )
    np.testing.assert_array_equal(classifier(photo()[None]), 2 * truth(photo()[None]))


@pytest.mark.parametrize(
    ("url", "options", "told"),
    [
        ("ftp://x/", {}, "http://"),
        ("http://", {}, "http://"),
        (
            "http://x:port/",
            {},
            "expected a port from 0 to 65535, or none, in the address.* got 'http://x:port/'",
        ),
        ("http://x:99999/", {}, "expected a port from 0 to 65535"),
        ("http://x/", {"format": "xml"}, "json, multipart"),
        ("http://x/", {"timeout": 0}, "timeout"),
        ("http://x/", {"attempts": 0}, "attempts"),
        ("http://x/", {"retries": 3}, "only format"),
        ("http://x/", {"encode": "x"}, "expected encode to be a function, got 'x'"),
        ("http://x/", {"decode": 3}, "expected decode to be a function"),
        ("http://me@x/", {"token_env": "PATH"}, "either a user in the address or token_env"),
        ("http://x/", {"fingerprint": 1.1}, "expected fingerprint to be a text"),
    ],
)
def test_options_that_cannot_be_are_refused(url, options, told):
    with pytest.raises(ArgumentError, match=told):
        from_url(url, **options)


HANGING = """
import time
from occlumap.adapters import from_url, remote
def encode(images):
    if len(images) > 1:
        open("under_way", "w").close()
        time.sleep(60)
    return remote._as_json(images)
classifier = from_url({!r}, encode=encode, images_per_request=2)
"""


def test_ctrl_c_ends_the_command_line_though_requests_are_under_way(start, tmp_path):
    from PIL import Image

    address, _ = start()
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    (tmp_path / "hanging.py").write_text(HANGING.format(address))
    process = command_line.start("explain", "photo.png", "--classifier", "hanging:classifier", cwd=tmp_path)
    for _ in range(600):
        if (tmp_path / "under_way").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=40)  # a request takes 60
    assert process.returncode == 130, errors


def test_requests_that_were_given_up_leave_no_connection_open():
    """A server that drips must have no more of them than the limit of requests at once, and one more that is ending."""
    import socket

    live, most = [0], [0]

    def drip(connection):
        live[0] += 1
        most[0] = max(most[0], live[0])
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            for number in range(600):
                connection.sendall(f"{'HTTP/1.1 200 OK' if not number else f'X-{number}: 1'}\r\n".encode())
                time.sleep(0.02)
        live[0] -= 1

    def serve():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        classifier = from_url(
            f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=0.4, attempts=4, concurrency=1
        )
        with pytest.raises(ClassifierError, match="no whole answer"):
            classifier(photo()[None])
        until = time.monotonic() + 5
        while live[0] and time.monotonic() < until:
            time.sleep(0.02)
        assert (live[0], classifier.requests) == (0, 4)
        assert most[0] <= 2


def test_retry_after_may_be_a_date():
    from email.utils import formatdate

    assert 7 < remote._seconds(formatdate(time.time() + 9, usegmt=True)) < 10
    assert remote._seconds("2") == 2
    assert remote._seconds("600") == remote.LONGEST_WAIT
    for none in (None, "", "soon", "nan", "-3", formatdate(time.time() - 9, usegmt=True)):
        assert remote._seconds(none) == 0


def answering(raw_server, text, status="500 No", headers=b""):
    body = text.encode() if isinstance(text, str) else text
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status.encode(), len(body), headers)
    return raw_server(lambda connection, request: connection.sendall(head + body))


def test_a_status_of_the_servers_fault_is_told_with_what_it_said(raw_server):
    place = answering(raw_server, "no model by the name the-secret\nTraceback: ...")
    with pytest.raises(ClassifierError, match=r"got status 500: 'no model by the name \.\.\.', the last"):
        from_url(f"http://{place}/?key=the-secret", attempts=1)(photo()[None])


@pytest.mark.parametrize("told", ["bad key THE-SECRET", "bad key dGhlLXNlY3JldA=="])
def test_a_secret_in_capitals_or_base64_is_masked(raw_server, told):
    place = answering(raw_server, told, "401 No")
    with pytest.raises(ClassifierError, match="got 401") as caught:
        from_url(f"http://{place}/?key=the-secret")(photo()[None])
    assert told[8:20] not in str(caught.value)


def test_an_answer_that_never_ends_is_given_up(raw_server, monkeypatch):
    import gzip

    monkeypatch.setattr(remote, "LARGEST_ANSWER", 2**20)
    packed = gzip.compress(bytes(2**24))
    place = answering(raw_server, packed, "200 OK", b"Content-Encoding: gzip\r\n")
    classifier = from_url(f"http://{place}/")
    with pytest.raises(ClassifierError, match="an answer of 1 MB at most"):
        classifier(photo()[None])
    assert classifier.requests == 1


@pytest.mark.parametrize("packed", ["gzip, gzip", "zstd", "BR", "gzip\r\nContent-Encoding: deflate"])
def test_an_answer_that_could_fill_the_memory_is_refused_unread(raw_server, packed):
    """A kilobyte packed twice may be a gigabyte, and httpx unpacks it at once."""
    place = answering(raw_server, b"no such stream", "200 OK", f"Content-Encoding: {packed}\r\n".encode())
    classifier = from_url(f"http://{place}/")
    with pytest.raises(ClassifierError, match=f"packed by {packed[:2].lower()}.*a short one could fill"):
        classifier(photo()[None])
    assert classifier.requests == 1


def test_an_answer_is_asked_for_as_it_is_and_one_of_gzip_is_read(raw_server):
    import gzip

    asked, body = [], gzip.compress(b'{"scores": [[1, 2]]}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)

    def answer(connection, request):
        asked.append(request.lower())
        connection.sendall(head + body)

    assert from_url(f"http://{raw_server(answer)}/")(photo()[None]).tolist() == [[1, 2]]
    assert b"accept-encoding: identity\r\n" in asked[0]


@pytest.mark.parametrize("given", [{"auth": "KEY-SECRET"}, {"cookies": "KEY-SECRET"}, {"params": 3}])
def test_what_httpx_refuses_of_a_hook_tells_no_secret(raw_server, given):
    with pytest.raises(ClassifierError) as caught:
        from_url(f"http://{answering(raw_server, '')}/", encode=lambda images: given, attempts=1)(
            photo()[None]
        )
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_log_of_requests_tells_no_secret(raw_server, caplog):
    hidden = {"params": {"key": "param-secret"}}
    place = answering(raw_server, '{"scores": [[1, 2]]}', "200 OK")
    with caplog.at_level("DEBUG"):
        from_url(f"http://me:pass-secret@{place}/p?key=query-secret")(photo()[None])
        from_url(f"http://{place}/p", encode=lambda images: hidden)(photo()[None])
    assert caplog.text.count(f"POST http://{place}/p ") == 2
    assert "secret" not in caplog.text


@pytest.mark.parametrize("token", ["tok-SECRET", "sk_live_SECRET", "", 3])
def test_a_secret_in_place_of_its_variables_name_is_not_told(token):
    with pytest.raises(ArgumentError, match="name of (an|the) environment variable") as caught:
        from_url("http://x/", token_env=token)
    assert "SECRET" not in str(caught.value)
