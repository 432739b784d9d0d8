"""Replicas and processes: calls spread over copies give the same result, whatever becomes of a process."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from occlumap import adapters, explain
from occlumap.errors import ArgumentError, ClassifierError, ClassifierNotFoundError, ScoreError
from tests.edges.command_line import run

IMAGE = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
MODEL = """
import os, signal, time
import numpy as np

class Model:
    classes = ("dark", "bright")
    input_size = (32, 32)
    def __call__(self, batch):
        share = batch.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - share, share], axis=1)

model = Model()
def process(batch):
    return np.full((len(batch), 1), float(os.getpid()))
def slow(batch):
    if batch[0, 0, 0, 0] == 7:
        time.sleep(60)
    return batch[:, :, :, 0].mean(axis=(1, 2))[:, None]
def always_slow(batch):
    time.sleep(3)
def fatal(batch):
    if batch[0, 0, 0, 0] == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return batch[:, :, :, 0].mean(axis=(1, 2))[:, None]
def raises(batch):
    raise ValueError("no such tensor")
def ends(batch):
    raise SystemExit(3)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "spread_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return "spread_model"


def in_process(batch):
    share = batch.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - share, share], axis=1)


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_give_the_same_result_to_the_bit(module, processes):
    classifier = adapters.in_processes(f"{module}:model", processes)
    there = explain(classifier, IMAGE, target="bright", budget=120, batch_size=7)
    here = explain(in_process, IMAGE, target=1, budget=120, batch_size=7)
    np.testing.assert_array_equal(there.heatmap, here.heatmap)
    np.testing.assert_array_equal(there.measurements.scores, here.measurements.scores)
    assert (classifier.classes, classifier.input_size, classifier.replicas) == (
        ("dark", "bright"),
        (32, 32),
        processes,
    )
    assert there.provenance["classifier"] == "spread_model:Model"


def test_calls_at_once_are_answered_by_different_processes(module):
    classifier = adapters.in_processes(f"{module}:process", 2)
    seen = set()
    free = classifier._free
    one, two = free.get(), free.get()  # both at work at once
    for copy in (one, two):
        seen.add(copy(IMAGE[None])[0, 0])
        free.put(copy)
    assert len(seen) == 2
    assert os.getpid() not in seen


def test_a_callable_that_pickle_carries_is_one_too():
    classifier = adapters.in_processes(np.mean, 1, batched=False)
    with pytest.raises(ScoreError, match="shape"):  # np.mean gives no row; said as in this process
        classifier(IMAGE[None])


def test_a_call_that_takes_too_long_is_stopped_and_the_next_has_a_new_process(module):
    classifier = adapters.in_processes(f"{module}:slow", 1, call_timeout=1)
    batch = np.full((1, 4, 4, 3), 7, np.uint8)
    with pytest.raises(ClassifierError, match=r"no answer within 1 s, on a batch of shape \(1, 4, 4, 3\)"):
        classifier(batch)
    assert classifier(batch + 1).tolist() == [[8.0]]


def test_a_process_that_is_killed_says_so_and_is_replaced(module):
    classifier = adapters.in_processes(f"{module}:fatal", 1)
    batch = np.full((1, 4, 4, 3), 7, np.uint8)
    with pytest.raises(ClassifierError, match="exit code -9 .*short of memory"):
        classifier(batch)
    assert classifier(batch + 1).tolist() == [[8.0]]


def test_a_killed_process_keeps_what_was_measured(module):
    classifier = adapters.in_processes(f"{module}:model", 1)

    def progress(done, total):
        if done > 50:
            os.kill(classifier._free.queue[0]._process.pid, signal.SIGKILL)

    whole = explain(in_process, IMAGE, target=1, budget=120, batch_size=10)
    again = explain(classifier, IMAGE, target=1, budget=120, batch_size=10, progress=progress)
    np.testing.assert_array_equal(again.heatmap, whole.heatmap)  # between calls: a new process, nothing lost


def test_a_process_that_does_not_load_is_stopped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "never_loads.py").write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(ClassifierError, match=r"within 2 s, while it loaded .* Raise load_timeout$"):
        adapters.in_processes("never_loads:classify", 1, load_timeout=2)


def test_what_the_classifier_raises_comes_back_with_its_own_type(module):
    with pytest.raises(ValueError, match="no such tensor") as caught:
        adapters.in_processes(f"{module}:raises", 1)(IMAGE[None])
    assert "spread_model.py" in str(caught.value.__cause__)
    with pytest.raises(ClassifierError, match="SystemExit: 3"):
        adapters.in_processes(f"{module}:ends", 1)(IMAGE[None])
    with pytest.raises(ClassifierNotFoundError, match="no such module"):
        adapters.in_processes("nowhere_at_all:classify", 1)


def test_what_cannot_be_carried_is_refused():
    with pytest.raises(ArgumentError, match="function of a module"):
        adapters.in_processes(lambda batch: batch, 1)
    with pytest.raises(ArgumentError, match="processes"):
        adapters.in_processes("a:b", 0)
    with pytest.raises(ArgumentError, match="call_timeout"):
        adapters.in_processes("a:b", 1, call_timeout=-1)


def test_replicas_share_the_calls_and_must_be_copies():
    used: list[int] = []
    both = threading.Barrier(2, timeout=20)

    def copy(number):
        def classify(batch):
            used.append(number)
            if len(used) in (2, 3):  # after the original: two calls at once, or the barrier breaks
                both.wait()
            return in_process(batch)

        return classify

    found = explain(adapters.replicas([copy(0), copy(1)]), IMAGE, target=1, budget=120, batch_size=10)
    np.testing.assert_array_equal(
        found.heatmap, explain(in_process, IMAGE, target=1, budget=120, batch_size=10).heatmap
    )
    assert set(used) == {0, 1}
    other = adapters.binary(lambda batch: batch.mean(axis=(1, 2, 3)) / 255)
    with pytest.raises(ArgumentError, match="same classes"):
        adapters.replicas([in_process, other])
    with pytest.raises(ArgumentError, match="one classifier or more"):
        adapters.replicas([])


def test_a_time_out_in_a_thread_ends_the_run_and_keeps_what_was_measured():
    asked = []

    def classify(batch):
        asked.append(len(batch))
        if len(asked) == 4:
            time.sleep(5)
        return in_process(batch)

    with pytest.raises(
        ClassifierError, match=r"no answer within 0.5 s on a uint8 batch of shape \(10,"
    ) as caught:
        explain(classify, IMAGE, target=1, budget=120, batch_size=10, call_timeout=0.5)
    kept = caught.value.measurements
    assert len(kept) == 20
    again = explain(in_process, IMAGE, target=1, budget=120, batch_size=10, resume=kept, call_timeout=30)
    np.testing.assert_array_equal(again.heatmap, explain(in_process, IMAGE, target=1, budget=120).heatmap)
    with pytest.raises(ClassifierError, match="ValueError: gone"):
        explain(lambda batch: (_ for _ in ()).throw(ValueError("gone")), IMAGE, call_timeout=5)
    with pytest.raises(ArgumentError, match="call_timeout"):
        explain(in_process, IMAGE, call_timeout=0)


@pytest.mark.parametrize("method", ["joint", "paper", "single-scale"])
def test_a_batch_size_that_is_found_changes_no_result(method):
    sizes = []

    def classify(batch):
        sizes.append(len(batch))
        time.sleep(0.02)  # a cost for each call: larger batches pay
        return in_process(batch)

    budget = {"joint": 400}.get(method)
    found = explain(classify, IMAGE, target=1, method=method, batch_size="auto", budget=budget, workers=2)
    same = explain(in_process, IMAGE, target=1, method=method, budget=budget)
    np.testing.assert_array_equal(found.heatmap, same.heatmap)
    assert sum(sizes) == found.provenance["calls"] == same.provenance["calls"]
    assert sizes[:3] == [1, 8, 16]
    assert found.provenance["batch_size"] >= 16
    with pytest.raises(ArgumentError, match='"auto"'):
        explain(classify, IMAGE, batch_size="fast")


def test_a_found_batch_size_stops_where_memory_does():
    def classify(batch):
        time.sleep(0.02)
        if len(batch) > 20:
            raise MemoryError
        return in_process(batch)

    with pytest.warns(UserWarning, match="ran out of memory with 32 images"):
        found = explain(classify, IMAGE, target=1, batch_size="auto", budget=300)
    assert found.provenance["batch_size"] == 16


def test_the_command_line_spreads_calls_over_processes(module, tmp_path):
    from PIL import Image

    Image.fromarray(IMAGE).save(tmp_path / "photo.png")
    options = ("explain", "photo.png", "--budget", "60", "--target", "bright")
    model = ("--classifier", f"{module}:model", "--processes", "2", "--batch-size", "auto")
    assert "60 classifier calls" in run(*options, *model).stdout
    refused = run(*options, *model, "--batch-size", "many", code=1)
    assert 'whole number or "auto"' in refused.stderr
    late = ("--classifier", f"{module}:always_slow", "--processes", "1", "--call-timeout", "0.5")
    assert "no answer within 0.5 s" in run(*options, *late, code=1).stderr
    assert "no answer within 0.5 s" in run(*options, *late[:2], *late[4:], code=1).stderr


def test_an_address_with_a_hook_that_cannot_be_carried_keeps_its_secrets():
    with pytest.raises(ArgumentError, match="carried to another process") as told:
        adapters.in_processes("http://bob:hunter2pw@h/p?key=SECRETKEY99", 1, decode=lambda answer: answer)
    assert not any(secret in str(told.value) for secret in ("bob", "hunter2pw", "SECRETKEY99"))


def test_a_process_that_is_started_again_with_other_code_ends_the_run(module, tmp_path):
    """Scores of both would be mixed, and kept under the fingerprint of the first."""
    file = tmp_path / "spread_model.py"
    file.write_text(f"{MODEL}process.fingerprint = 'v1'\n")
    classifier = adapters.in_processes(f"{module}:process", 1)
    first = classifier(IMAGE[None])
    os.kill(int(first[0, 0]), signal.SIGKILL)
    assert classifier(IMAGE[None]) != first
    file.write_text(file.read_text() + "# changed\n")
    os.kill(int(classifier(IMAGE[None])[0, 0]), signal.SIGKILL)
    with pytest.raises(ClassifierError, match="its files changed since the first was loaded"):
        classifier(IMAGE[None])
