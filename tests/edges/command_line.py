"""The command line as tests call it: in this process, or in one of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from click.testing import CliRunner

import occlumap
from occlumap.cli.group import occlumap as command_line

TOY = '''
import sys
import time

import numpy as np


class Toy:
    """Class 0 scores what is bright in the middle; may be slow, may fail after some calls."""

    classes = ("lit, bright", "dark")

    def __init__(self, fail_after=None, seconds=0.0):
        self.calls, self.fail_after, self.seconds = 0, fail_after, seconds

    def __call__(self, batch):
        time.sleep(self.seconds)
        if self.fail_after is not None and self.calls >= self.fail_after:
            raise OSError("the accelerator fell off")
        self.calls += len(batch)
        if self.seconds and self.calls > 20:
            open("under_way", "w").close()
        lit = batch[:, 6:14, 4:12].mean(axis=(1, 2, 3)) / 255
        return np.stack([lit, 1 - lit], axis=1)


class Small(Toy):
    input_size = (16, 16)


good = Toy()
small = Small()
failing = Toy(fail_after=100)
slow = Toy(seconds=0.05)
nan = lambda batch: np.full((len(batch), 2), np.nan)
unnamed = lambda batch: good(batch)
digits = Toy()
digits.classes = (1, 2)
floats = Toy()
floats.classes = (1.0, 2.0)
short = Toy()
short.classes = ("lit",)
steering = Small()
steering.classes = ("lit\\x1b[2J", "dark")


def leaving(batch):
    if good.calls >= 100:
        sys.exit(3)
    return good(batch)


def hostile(batch):
    raise ValueError("clear\\x1b[2J this\\nand that")
'''


def run(*arguments, code=0):
    result = CliRunner().invoke(command_line, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.output}\n{result.exc_info}"
    return result


def explain(*arguments, classifier="occlumap_toy:good", code=0):
    """By the paper's method."""
    paper = ("--method", "paper", "--depth", 2)
    return run("explain", "photo.png", *paper, "--classifier", classifier, *arguments, code=code)


def single_scale(window):
    return run(
        *("explain", "photo.png", "--classifier", "occlumap_toy:good"),
        *("--method", "single-scale", "--window", window),
    )


def files(path):
    return sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file())


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def same(one, other):
    np.testing.assert_array_equal(one.heatmap, other.heatmap)
    np.testing.assert_array_equal(one.measurements.scores, other.measurements.scores)
    np.testing.assert_array_equal(
        one.measurements.perturbations.bounds, other.measurements.perturbations.bounds
    )
    assert (one.settings, one.offsets, one.densities) == (other.settings, other.offsets, other.densities)


def start(*arguments, **options):
    """The real program in a process of its own, as a shell would start it."""
    source = str(Path(occlumap.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "occlumap", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
        preexec_fn=_heed_signals,
        **options,
    )


def _heed_signals():
    """A test runner in the background, or under nohup, has these ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
