"""occlumap benchmark, as a person types it."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

CLASSIFIER = """
import numpy as np

def classify(batch):
    light = batch.reshape(len(batch), 4, -1).astype(np.float64).mean(axis=2) + 1
    return light / light.sum(axis=1, keepdims=True)
"""


@pytest.fixture
def place(tmp_path):
    """A folder with a classifier and four photographs of four classes."""
    (tmp_path / "mine.py").write_text(CLASSIFIER)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,class_index"]
    for number in range(4):
        pixels = rng.integers(0, 100, (32, 32, 3), np.uint8)
        pixels[8 * number : 8 * number + 8] = 220
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
        lines.append(f"{number}.png,{number}")
    (tmp_path / "photos" / "photos.csv").write_text("\n".join(lines))
    return tmp_path


def occlumap(place, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "occlumap", "benchmark", "--photos", "photos", *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_writes_rows_and_report(place):
    arguments = [
        "--classifier",
        "mine:classify",
        "--methods",
        "rise, single_scale,random",
        "--budgets",
        "20,40",
    ]
    done = occlumap(place, *arguments, "--size", "16", "--steps", "4", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for name in ("report.html", "report.md", "summary.csv", "pairs.csv"):
        assert f"out/{name}" in done.stdout
        assert (place / "out" / name).stat().st_size
    rows = (place / "out" / "rows.csv").read_text()
    assert "0.png,mine:classify,rise,40,40," in rows
    report = (place / "out" / "report.md").read_text()
    assert "single_scale" in report
    assert "occlumap benchmark --photos photos --classifier mine:classify" in report


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--methods", "rize"], 1, "did you mean rise"),
        (["--methods", ","], 1, "a method or more"),
        (["--budgets", "many"], 2, "whole numbers"),
        (["--budgets", "1,000"], 2, "none within"),
        (["--budgets", "0"], 1, "budget"),
        (["--crops", "left"], 1, "centre, off-centre"),
        (["--table", "none.csv"], 1, "expected a CSV table"),
        (["--limit", "0"], 2, "limit"),
        (["--classifier", "nobody"], 1, "efficientnet-lite0"),
        (["--out", "mine.py"], 1, "expected a folder"),
    ],
)
def test_mistakes_are_told_in_one_line(place, arguments, code, message):
    done = occlumap(place, "--classifier", "mine:classify", *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_quick_takes_eight_photographs_that_are_right(place):
    table = place / "photos" / "photos.csv"
    first = [f"wrong{number}.png,{number}" for number in range(3)]
    then = [f"right{number}.png,{number % 4}" for number in range(10)]
    for line in (*first, *then):
        name, target = line.split(",")
        (place / "photos" / name).write_bytes(
            (place / "photos" / f"{(int(target) + name.startswith('wrong')) % 4}.png").read_bytes()
        )
    table.write_text("\n".join(["file,class_index", *first, *then]))
    arguments = ["--classifier", "mine:classify", "--methods", "random", "--size", "16", "--quick"]
    for more, photographs in (
        (["--out", "quick"], [f"right{number}.png" for number in range(8)]),
        (["--out", "limited", "--limit", "5"], ["right0.png", "right1.png"]),
    ):
        done = occlumap(place, *arguments, *more)
        assert done.returncode == 0, done.stderr
        rows = (place / more[1] / "rows.csv").read_text().splitlines()[1:]
        assert sorted({row.partition(",")[0] for row in rows}) == photographs


def test_who_is_refused_is_not_told_that_the_same_command_goes_on(place):
    arguments = [
        "--classifier",
        "mine:classify",
        "--methods",
        "random",
        "--size",
        "16",
        "--out",
        "out",
        "--steps",
    ]
    assert occlumap(place, *arguments, "4").returncode == 0
    refused = occlumap(place, *arguments, "5")
    assert refused.returncode == 1
    assert "steps as in the run" in refused.stderr
    assert "goes on" not in refused.stderr
    (place / "mine.py").write_text(CLASSIFIER.replace("return light", "return 1 / 0"))
    failed = occlumap(place, *arguments, "4")
    assert failed.returncode == 1
    assert "the same command goes on from there" in failed.stderr
    unseen = occlumap(place, *arguments, "4", "--again", "random")
    assert "the same command goes on from there" in unseen.stderr  # nothing is taken out yet
    (place / "mine.py").write_text(CLASSIFIER.replace("return light", "assert len(batch) == 1; return light"))
    began = occlumap(place, *arguments, "4", "--methods", "random,centre", "--again", "random")
    assert "the same command without --again goes on from there" in began.stderr
