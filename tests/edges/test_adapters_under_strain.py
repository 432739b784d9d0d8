"""Adapters in threads, without memory, and with secrets: what went wrong when a stranger tried them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import occlumap
from occlumap import adapters, explain
from occlumap._addresses import without_secrets
from occlumap.cli.options import options_by_classifier
from occlumap.errors import ArgumentError, ClassifierError, OcclumapError, OcclumapWarning, ScoreError
from tests.edges.command_line import run, start

IMAGE = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
SLOW = """
import time
import numpy as np
def classify(batch):
    if len(batch) > 1:
        open("under_way", "w").close()
        time.sleep(60)
    return np.zeros((len(batch), 2)) + [0.25, 0.75]
"""


def test_a_torch_module_in_training_gives_the_same_scores_from_threads_and_stays_as_it_was():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Dropout(0.5),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(3),
    )
    network(torch.zeros(2, 3, 32, 32))
    network.train()
    network[1].eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    classifier = adapters.from_torch(network, size=32, mean=127, std=127, output="logits")
    alone = explain(classifier, IMAGE, target=1, budget=150, batch_size=8)
    spread = explain(classifier, IMAGE, target=1, budget=150, batch_size=8, workers=4)
    np.testing.assert_array_equal(alone.measurements.scores, spread.measurements.scores)
    assert [one.training for one in network] == [True, False, True, True, True]
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def write_linear(path, weights, side, **how):
    """An ONNX file that multiplies the pixels (n, 3, side, side) by weights (pixels, classes)."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
    ]
    taken = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, side, side])
    given = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", weights.shape[1]])
    graph = helper.make_graph(
        nodes, "linear", [taken], [given], [numpy_helper.from_array(weights, "weights")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path, **how)


def test_an_opencv_network_answers_several_threads(tmp_path):
    cv2 = pytest.importorskip("cv2")
    weights = np.random.default_rng(1).normal(size=(3 * 32 * 32, 5)).astype(np.float32) / 30
    write_linear(tmp_path / "linear.onnx", weights, 32)
    net = cv2.dnn.readNet(str(tmp_path / "linear.onnx"))
    classifier = adapters.from_opencv(net, size=32, mean=127, std=127, colour="RGB", output="logits")
    alone = explain(classifier, IMAGE, budget=100, batch_size=8)
    spread = explain(classifier, IMAGE, budget=100, batch_size=8, workers=4)
    np.testing.assert_array_equal(alone.heatmap, spread.heatmap)


@pytest.mark.parametrize("location", ["m.data", "sub/w.bin", "é" * 80])
def test_weights_outside_an_onnx_file_are_in_its_fingerprint(tmp_path, location):
    pytest.importorskip("onnxruntime")
    (tmp_path / "sub").mkdir()
    path, prints = tmp_path / "m.onnx", []
    for scale in (1, 2):
        (tmp_path / location).unlink(missing_ok=True)
        weights = np.full((3 * 4 * 4, 2), scale, np.float32)
        write_linear(path, weights, 4, save_as_external_data=True, location=location, size_threshold=0)
        about = {"size": 4, "layout": "NCHW", "colour": "RGB", "mean": 0, "std": 1, "output": "logits"}
        prints.append((path.read_bytes(), adapters.from_onnx(path, **about).fingerprint))
    assert prints[0][0] == prints[1][0]
    assert prints[0][1] != prints[1][1]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        Exception("OpenCV: error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
        Exception("[ONNXRuntimeError] : Failed to allocate memory for requested buffer of size 9"),
    ],
)
def test_every_frameworks_word_for_no_memory_lowers_the_batch(error):
    def classify(batch):
        if len(batch) > 10:
            raise error
        return np.stack([batch.mean(axis=(1, 2, 3)), -batch.mean(axis=(1, 2, 3))], axis=1)

    with pytest.warns(OcclumapWarning, match="ran out of memory"):
        found = explain(classify, IMAGE, target=0, budget=70)
    assert found.provenance["calls"] == 70


def test_one_column_of_logits_is_refused():
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16, 1))
    classifier = adapters.from_torch(network, size=4, mean=0, std=255, output="logits")
    with pytest.raises(ScoreError, match="two classes or more"):
        classifier(np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(ArgumentError, match=r"a Sequential of torch; make one of it with .*from_torch"):
        occlumap.load(network)


@pytest.mark.parametrize("classes", ["names.txt", 5])
def test_one_text_is_no_list_of_classes(classes):
    with pytest.raises(ArgumentError, match="classes as a list"):
        adapters.binary(lambda batch: batch[:, 0, 0, 0], classes=classes)
    with pytest.raises(ArgumentError, match="classes as a list"):
        occlumap.load("http://127.0.0.1:1/", classes=classes)


def test_secrets_stay_out_of_errors_and_labels(monkeypatch):
    address = "https://me:PASSWORD@host.example/score?key=QUERY"
    assert without_secrets(address) == "https://host.example/score"
    for wrong in ("htp://me:PASSWORD@host/", "http://me:PASSWORD@/x", "http://me:PASSWORD@[bad/"):
        with pytest.raises(OcclumapError) as caught:
            adapters.from_url(wrong)
        assert "PASSWORD" not in str(caught.value)
    monkeypatch.setenv("OCCLUMAP_TEST_TOKEN", "SECRET\n")
    with pytest.raises(ArgumentError, match="the end of a line") as caught:
        occlumap.load(address.replace("me:PASSWORD@", ""), token_env="OCCLUMAP_TEST_TOKEN")
    assert "SECRET" not in str(caught.value)
    with pytest.raises(ArgumentError, match="either a user in the address or token_env") as caught:
        occlumap.load(address, token_env="OCCLUMAP_TEST_TOKEN")
    assert "PASSWORD" not in str(caught.value)
    with pytest.raises(ArgumentError, match="token_env"):
        occlumap.load("https://host.example/score", token_env="")


class Raw:
    """A server of raw answers: sends one piece after another, and waits between."""

    def __init__(self, pieces, wait=0.0, echo=False):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://me:PASSWORD@127.0.0.1:{self.socket.getsockname()[1]}/?key=QUERY"
        self.pieces, self.wait, self.echo = pieces, wait, echo
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        with client, contextlib.suppress(OSError):  # whoever asked may have left
            got = client.recv(1 << 20)
            if self.echo:
                body = got.split(b"\r\n\r\n")[0]
                client.sendall(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            for piece in self.pieces:
                client.sendall(piece)
                time.sleep(self.wait)


def test_an_answer_that_drips_is_over_when_its_time_is():
    server = Raw([b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", *[b"x"] * 400], wait=0.1)
    classifier = adapters.from_url(server.url, timeout=0.5, attempts=1)
    before = time.monotonic()
    with pytest.raises(ClassifierError, match=r"ReadTimeout.*no whole answer within 0\.5 s") as caught:
        classifier(IMAGE[None])
    assert time.monotonic() - before < 30  # it would drip for 40
    assert "PASSWORD" not in str(caught.value)
    server.socket.close()


def test_each_secret_of_what_was_sent_is_masked_by_itself():
    httpx = pytest.importorskip("httpx")
    url = "http://ANNA:P%20W@host/score?key=TOP%2FSECRET&other=QUIET&v=2"
    headers = {"Authorization": "Basic QU5OQTpQIFc=", "X-Api-Key": "HEADER"}
    said = "2 keys: TOP/SECRET TOP%2FSECRET QUIET HEADER of ANNA P%20W P W QU5OQTpQIFc= from host"
    answer = httpx.Response(401, text=said, request=httpx.Request("POST", url, headers=headers))
    hushed = adapters.from_url(url)._hushed(answer.text, answer.request)
    assert hushed == "2 keys: ... ... ... ... of ... ... ... ... from host"


def test_a_call_that_is_interrupted_waits_for_no_request_and_tries_none_again(monkeypatch):
    monkeypatch.setattr(adapters.remote, "WAIT", 0.01)
    server = Raw([b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"])

    def encode(images):
        if images.max() == 0:  # the other is being tried again
            while classifier.retries < 2:
                time.sleep(0.01)
            raise KeyboardInterrupt
        return {"content": b""}

    classifier = adapters.from_url(
        server.url, images_per_request=1, attempts=10, concurrency=2, encode=encode
    )
    with pytest.raises(KeyboardInterrupt):
        classifier(np.stack([IMAGE * 0, IMAGE]))
    assert classifier.retries < 9
    server.socket.close()


def test_a_server_that_repeats_our_secret_does_not_bring_it_into_the_error(monkeypatch):
    monkeypatch.setenv("OCCLUMAP_TEST_TOKEN", "SECRET-TOKEN")
    server = Raw([], echo=True)
    url = server.url.replace("me:PASSWORD@", "")  # one request has one Authorization
    classifier = adapters.from_url(url, token_env="OCCLUMAP_TEST_TOKEN", attempts=1)
    with pytest.raises(ClassifierError, match="got 401") as caught:
        classifier(IMAGE[None])
    assert "SECRET-TOKEN" not in str(caught.value)
    assert "QUERY" not in str(caught.value)
    server.socket.close()


def test_a_body_that_does_not_unpack_is_tried_again():
    server = Raw([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"])
    classifier = adapters.from_url(server.url, attempts=2)
    with pytest.raises(ClassifierError, match=r"DecodingError.*the last of 2 attempts"):
        classifier(IMAGE[None])
    assert classifier.retries == 1
    server.socket.close()


def test_the_reference_server_has_help():
    script = Path(occlumap.__file__).parents[2] / "examples/scoring_server.py"
    if not script.exists():
        pytest.skip("the examples are not there")
    environment = {**os.environ, "PYTHONPATH": str(Path(occlumap.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script), "--help"], env=environment, capture_output=True, text=True, check=True
    )
    assert "usage: scoring_server.py" in done.stdout


def test_the_reference_server_serves_a_plain_function(tmp_path):
    (tmp_path / "plain.py").write_text("def classify(batch):\n    return batch.mean(axis=(1, 2))\n")
    script = Path(occlumap.__file__).parents[2] / "examples/scoring_server.py"
    if not script.exists():
        pytest.skip("the examples are not there")
    source = str(Path(occlumap.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, str(script), "plain:classify", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        np.testing.assert_allclose(adapters.from_url(address)(IMAGE[None]), IMAGE[None].mean(axis=(1, 2)))
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("spread", [("--workers", "2"), ("--processes", "2")])
def test_ctrl_c_ends_at_once_though_calls_are_under_way(tmp_path, spread):
    from PIL import Image

    Image.fromarray(IMAGE).save(tmp_path / "photo.png")
    (tmp_path / "slow_one.py").write_text(SLOW)
    process = start("explain", "photo.png", "--classifier", "slow_one:classify", *spread, cwd=tmp_path)
    for _ in range(600):
        if (tmp_path / "under_way").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=40)  # a call takes 60
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def test_ctrl_c_reaches_no_process_that_is_only_starting(tmp_path):
    from PIL import Image

    Image.fromarray(IMAGE).save(tmp_path / "photo.png")
    (tmp_path / "slow_one.py").write_text(SLOW)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, time\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    open('starting', 'w').close()\n"
        "    time.sleep(60)\n"
    )
    source = str(Path(occlumap.__file__).parents[1])
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "occlumap", "explain", "photo.png"),
            *("--classifier", "slow_one:classify", "--processes", "2"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{source}"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for _ in range(600):
        if (tmp_path / "starting").exists():
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, errors = process.communicate(timeout=40)
    assert (process.returncode, errors) == (130, "stopped\n")


def test_options_of_several_classifiers_name_theirs():
    names = ("my_model:one", "http://host/score?key=a", "my_model:one:deep")
    options = [
        "my_model:one:batched=false",
        "http://host/score?key=a:token_env=T",
        "my_model:one:deep:size=3",
    ]
    assert options_by_classifier(names, options) == {
        "my_model:one": ["batched=false"],
        "http://host/score?key=a": ["token_env=T"],
        "my_model:one:deep": ["size=3"],
    }
    assert options_by_classifier(names[:1], ["batched=false", options[0]]) == {
        names[0]: ["batched=false"] * 2
    }
    refused = run(
        *("benchmark", "--photos", "photos", "--classifier", "a:b", "--classifier", "c:d"),
        *("--classifier-option", "batched=false"),
        code=2,
    )
    assert "NAME:KEY=VALUE" in refused.stderr


def test_options_of_the_command_line_are_what_they_say(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(IMAGE).save("photo.png")
    Path("one_image.py").write_text("def classify(image):\n    return [image.mean(), 1.0]\n")
    done = run(
        "classify", "photo.png", "--classifier", "one_image:classify", "--classifier-option", "batched=False"
    )
    assert "class" in done.stdout
    for option in ("spec=x", "url=x", "two words=1"):
        refused = run(
            "classify",
            "photo.png",
            "--classifier",
            "one_image:classify",
            "--classifier-option",
            option,
            code=2,
        )
        assert "KEY=VALUE" in refused.stderr


@pytest.mark.parametrize(
    "arguments", [{}, {"batch_size": "auto"}, {"workers": 2}, {"method": "paper", "depth": 2}]
)
def test_a_batch_that_was_changed_before_the_memory_was_full_is_painted_anew(arguments):
    def classify(batch, most=3):
        batch[...] = batch[..., ::-1].copy()
        if len(batch) > most:
            raise MemoryError
        return batch.mean(axis=(1, 2)) @ [[0, 1], [0, 2], [1, 3]]

    options = {"target": 0, "budget": 300 if "depth" in arguments else 60, **arguments}
    with pytest.warns(OcclumapWarning, match="ran out of memory"):
        found = explain(classify, IMAGE, **options)
    plain = explain(lambda batch: classify(batch, 999), IMAGE, **options)
    np.testing.assert_array_equal(found.measurements.scores, plain.measurements.scores)
