"""What was measured is not lost, and a run goes on from it."""

import numpy as np
import pytest

from occlumap import explain
from occlumap.errors import (
    ArgumentError,
    ClassifierError,
    FillError,
    OcclumapWarning,
)
from occlumap.grid import Grid
from occlumap.measuring import Measurer
from tests.method.conftest import picture, smooth_classifier


def test_resuming_from_something_else_says_what_to_pass(evidence, white):
    found = explain(evidence, white, 0, depth=1, fill="constant:0", method="paper")
    with pytest.raises(ArgumentError, match="got Explanation; pass explanation.measurements"):
        explain(evidence, white, 0, depth=1, fill="constant:0", resume=found, method="paper")
    with pytest.raises(ArgumentError, match=r"got str; pass occlumap.Measurements.load\(path\)"):
        explain(evidence, white, 0, depth=1, fill="constant:0", resume="one.npz", method="paper")


def test_a_first_call_that_fails_does_not_speak_of_measurements(white):
    def broken(batch):
        raise OSError("no weights")

    with pytest.raises(ClassifierError, match="no weights") as caught:
        explain(broken, white, method="paper")
    assert caught.value.measurements is None
    assert "resume" not in str(caught.value)
    assert not hasattr(caught.value, "__notes__")


def test_a_classifier_that_fails_later_is_told_how_to_go_on(evidence, white):
    def broken(batch):
        if evidence.calls > 40:
            raise OSError("no more")
        return evidence(batch)

    with pytest.raises(ClassifierError, match="no more") as caught:
        explain(broken, white, 0, depth=2, method="paper")
    assert "explain(..., resume=error.measurements) goes on" in caught.value.__notes__[0]


@pytest.mark.parametrize("budget", [None, 500])
def test_a_run_cut_off_and_resumed_equals_one_that_was_not(budget):
    image, classifier = picture(3, 24, 24), smooth_classifier(3, (24, 24))
    calls = 0

    def breaks(batch):
        nonlocal calls
        calls += len(batch)
        if calls > 300:
            raise OSError("network")
        return classifier(batch)

    with pytest.raises(ClassifierError) as caught:
        explain(breaks, image, 0, depth=3, budget=budget, method="paper")
    resumed = explain(
        classifier, image, 0, depth=3, budget=budget, resume=caught.value.measurements, method="paper"
    )
    whole = explain(classifier, image, 0, depth=3, budget=budget, method="paper")
    np.testing.assert_array_equal(resumed.heatmap, whole.heatmap)
    assert resumed.offsets == whole.offsets
    # one call more: a known region is measured again to see that the classifier is the same
    assert resumed.provenance["calls"] == whole.provenance["calls"] - len(caught.value.measurements) + 1


def test_an_interruption_while_estimating_loses_nothing(evidence, white, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("occlumap.methods.paper", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        explain(evidence, white, 0, depth=2, method="paper")
    assert len(caught.value.measurements) == len(Grid(16, 16, 2).regions())


def test_a_resumed_run_interrupted_while_choosing_keeps_what_it_resumed_from(evidence, white, monkeypatch):
    known = explain(evidence, white, 0, depth=3, budget=300, fill="constant:0", method="paper").measurements

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("occlumap.methods.sweep", lambda wanted: interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        explain(evidence, white, 0, depth=3, budget=300, fill="constant:0", resume=known, method="paper")
    assert sorted(caught.value.measurements.perturbations.keys()) == sorted(known.perturbations.keys())


def test_an_interruption_right_after_the_last_batch_loses_nothing(evidence, white, monkeypatch):
    collected = Measurer.asked

    def interrupted(self):
        if self.calls > 1:
            raise KeyboardInterrupt
        return collected(self)

    monkeypatch.setattr(Measurer, "asked", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        explain(evidence, white, 0, depth=2, method="paper")
    assert len(caught.value.measurements) == len(Grid(16, 16, 2).regions())


def test_a_warning_that_is_made_an_error_loses_nothing(white):
    def indifferent(batch):
        return np.full((len(batch), 1), 0.5)

    with pytest.raises(OcclumapWarning, match="zero everywhere") as caught:  # pytest makes them errors
        explain(indifferent, white, 0, depth=2, method="paper")
    assert len(caught.value.measurements) == len(Grid(16, 16, 2).regions())
    assert "resume=error.measurements" in caught.value.__notes__[0]


@pytest.mark.parametrize("good_calls", [0, 1])
def test_a_run_that_ends_before_it_went_on_keeps_what_it_was_to_go_on_from(evidence, white, good_calls):
    known = explain(evidence, white, 0, depth=1, fill="constant:0", method="paper").measurements
    calls = 0

    def failing(batch):
        nonlocal calls
        calls += 1
        if calls > good_calls:
            raise OSError("gone")
        return evidence(batch)

    with pytest.raises(ClassifierError) as caught:
        explain(failing, white, 0, depth=1, fill="constant:0", resume=known, method="paper")
    assert caught.value.measurements is known


def test_a_fill_object_without_a_name_can_be_resumed(evidence, white):
    class Black:
        def prepare(self, image):
            return lambda bounds: [np.zeros((1, 3), np.uint8)] * len(bounds)

    found = explain(evidence, white, 0, depth=1, fill=Black(), method="paper")
    assert found.settings["fill"].endswith("Black")
    again = explain(evidence, white, 0, depth=1, fill=Black(), resume=found.measurements, method="paper")
    np.testing.assert_array_equal(again.heatmap, found.heatmap)


def test_a_classifier_with_a_little_noise_can_be_resumed(evidence, white):
    found = explain(evidence, white, 0, depth=2, fill="constant:0", method="paper")
    noise = iter([1.001, 0.999, 1.001, 0.999])

    def noisy(batch):
        return evidence(batch) * next(noise)

    assert (
        explain(
            noisy, white, 0, depth=2, fill="constant:0", resume=found.measurements, method="paper"
        ).provenance["calls"]
        == 2
    )
    with pytest.raises(ArgumentError, match="Start without resume"):
        explain(
            lambda batch: evidence(batch) * 1.02,
            white,
            0,
            depth=2,
            fill="constant:0",
            resume=found.measurements,
            method="paper",
        )


def test_a_fill_that_raises_keeps_what_was_measured(evidence, white):
    calls = 0

    def tired(image, mask):
        nonlocal calls
        calls += 1
        if calls > 300:
            raise ZeroDivisionError("tired")
        return image * 0

    with pytest.raises(FillError, match="tired raised ZeroDivisionError: tired") as caught:
        explain(evidence, white, 0, depth=3, fill=tired, method="paper")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(caught.value.measurements) == 288  # nine batches of 32


def test_a_resumed_result_says_what_was_known(evidence, white):
    first = explain(evidence, white, 0, depth=2, fill="constant:0", method="paper")
    again = explain(evidence, white, 0, depth=2, fill="constant:0", resume=first.measurements, method="paper")
    assert (first.provenance["resumed"], first.provenance["calls"]) == (0, 187)
    assert (again.provenance["resumed"], again.provenance["calls"]) == (186, 2)
