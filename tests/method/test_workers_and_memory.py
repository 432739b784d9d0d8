"""Several workers, and memory that does not suffice: the same result, to the bit."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import occlumap
from occlumap.errors import ArgumentError, ClassifierError, FillError, OcclumapWarning
from occlumap.fills import Blur
from occlumap.perturbations import Rectangles

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
WEIGHTS = np.random.default_rng(1).normal(size=(24 * 24 * 3, 3))


def classify(batch):
    """One image after the other: the sum's order must not depend on the batch."""
    return np.array([image.reshape(-1) @ WEIGHTS for image in batch.astype(float)]) / 1e4


@pytest.mark.parametrize("method", [{"method": "paper", "depth": 2}, {"budget": 90}])
@pytest.mark.parametrize("workers", [2, 5])
@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_the_result_is_the_same_for_any_number_of_workers(method, workers):
    one = occlumap.explain(classify, IMAGE, target=0, batch_size=8, **method)
    many = occlumap.explain(classify, IMAGE, target=0, batch_size=8, workers=workers, **method)
    np.testing.assert_array_equal(one.heatmap, many.heatmap)
    np.testing.assert_array_equal(one.measurements.scores, many.measurements.scores)
    assert one.provenance["calls"] == many.provenance["calls"]


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_workers_are_under_way_at_once():
    together = threading.Barrier(2, timeout=20)
    first = threading.Event()

    def slow(batch):
        if first.is_set():
            together.wait()  # passes only when two threads are in here
        first.set()
        return classify(batch)

    occlumap.explain(
        slow, IMAGE, target=0, method="single-scale", window=12, stride=4, batch_size=4, workers=2
    )


def test_the_next_batch_is_painted_while_the_classifier_sees_one_in_the_callers_thread(monkeypatch):
    painted_ahead, painted, ours = threading.Event(), [], threading.get_ident()
    apply = Rectangles.apply

    def watched(self, image, paint):
        painted.append(len(self))
        if len(painted) > 1:
            painted_ahead.set()
        return apply(self, image, paint)

    def waiting(batch):
        assert threading.get_ident() == ours
        if len(batch) == 4:  # not the original image
            assert painted_ahead.wait(20)  # the second batch, while this is the first
        return classify(batch)

    monkeypatch.setattr(Rectangles, "apply", watched)
    occlumap.explain(waiting, IMAGE, target=0, method="single-scale", window=12, stride=4, batch_size=4)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_explanation_in_a_function_at_the_programs_end_is_whole(workers):
    code = """
import atexit, numpy as np, occlumap
image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
def late():
    found = occlumap.explain(lambda batch: batch.mean((1, 2)) / 255, image, 0, method="paper", depth=2, workers=WORKERS)
    print(found.measurements.scores.shape)
atexit.register(late)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("WORKERS", str(workers))],
        capture_output=True,
        text=True,
        check=False,
    )
    found = occlumap.explain(lambda batch: batch.mean((1, 2)) / 255, IMAGE, 0, method="paper", depth=2)
    assert ran.stdout.strip() == str(found.measurements.scores.shape), ran.stderr


def test_a_fill_of_the_users_runs_in_their_thread_and_loses_nothing_when_it_fails():
    painted, ours = [], threading.get_ident()

    class Own(Blur):  # of ours it has the name only
        def prepare_mask(self, image):
            return lambda hidden: failing(image, hidden)

    def failing(image, mask):
        assert threading.get_ident() == ours
        painted.append(mask)
        if len(painted) > 10:
            raise OSError("no colours left")
        return np.zeros_like(image)

    with pytest.raises(FillError, match="no colours left") as caught:
        occlumap.explain(
            classify, IMAGE, target=0, method="single-scale", window=12, stride=4, batch_size=4, fill=failing
        )
    assert len(caught.value.measurements) == 8  # the third batch was not whole
    painted.clear()
    with pytest.raises(FillError, match="no colours left"):
        occlumap.explain(classify, IMAGE, target=0, regions="grid", fill=Own())


def test_a_failing_worker_keeps_what_came_before():
    calls = []

    def failing(batch):
        calls.append(len(batch))
        if len(calls) > 5:
            raise OSError("gone")
        return classify(batch)

    with pytest.raises(ClassifierError, match="gone") as caught:
        occlumap.explain(failing, IMAGE, target=0, method="paper", depth=2, batch_size=8, workers=2)
    kept = caught.value.measurements
    assert 0 < len(kept) < 100
    resumed = occlumap.explain(classify, IMAGE, target=0, method="paper", depth=2, resume=kept)
    whole = occlumap.explain(classify, IMAGE, target=0, method="paper", depth=2)
    np.testing.assert_array_equal(resumed.heatmap, whole.heatmap)


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")  # one for each halving
@pytest.mark.parametrize(
    ("workers", "said"),
    [
        (1, "CUDA out of memory. Tried to allocate 2 GiB"),
        (3, "CUDA out of memory. Tried to allocate 2 GiB"),
        (1, "OOM when allocating tensor with shape[32,24,24,3] on GPU:0 by allocator GPU_0_bfc"),
        (1, "[Errno 12] Cannot allocate memory"),
        (1, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(workers, said):
    sizes = []

    def small(batch):
        if len(batch) > 5:
            raise RuntimeError(said)
        sizes.append(len(batch))
        return classify(batch)

    with pytest.warns(OcclumapWarning, match="ran out of memory with 32 images at once; going on with 16"):
        found = occlumap.explain(small, IMAGE, target=0, method="paper", depth=2, workers=workers)
    np.testing.assert_array_equal(
        found.heatmap, occlumap.explain(classify, IMAGE, target=0, method="paper", depth=2).heatmap
    )
    assert max(sizes) <= 5


def test_memory_that_does_not_suffice_for_one_image_is_told():
    def never(batch):
        raise MemoryError("no room")

    with pytest.raises(ClassifierError, match="no room"):
        occlumap.explain(never, IMAGE, target=0)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "two", True])
def test_a_number_of_workers_that_cannot_be_is_refused(workers):
    with pytest.raises(ArgumentError, match="workers"):
        occlumap.explain(classify, IMAGE, target=0, workers=workers)
