"""occlumap show: describes and draws a result."""

import sys
from pathlib import Path

import pytest
from PIL import Image

import occlumap
from tests.edges.command_line import explain, is_png, run, single_scale, start


@pytest.mark.parametrize("where", ["out", "out/explanation.npz"])
def test_show_describes_a_result(folder, where):
    explain("--target", "lit")
    shown = run("show", where).stdout
    for part in (
        "lit, bright (class 0)",
        "method       paper",
        "depth 2",
        "fill neighbours",
        "most important leaves",
    ):
        assert part in shown


def test_show_lists_the_most_important_region_first(folder):
    explain("--offsets", "none")
    lines = run("show", "out").stdout.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("importance")) + 1 :]
    importances = [float(line.split()[0]) for line in table]
    leaves = occlumap.Explanation.load("out/explanation.npz").trees()[0].leaves()
    assert importances == pytest.approx(
        sorted((leaf.importance for leaf in leaves), reverse=True)[:10], rel=1e-3
    )


def test_show_describes_windows(folder):
    single_scale("8")
    assert "most important windows" in run("show", "out").stdout


@pytest.mark.parametrize("plot", ["overlay", "side-by-side", "contour", "signed", "tree", "scales"])
def test_show_draws_every_plot(folder, plot):
    explain()
    run("show", "out", "--plot", plot, "--photo", "photo.png", "--out", f"pictures/{plot}.png")
    assert is_png(folder / "pictures" / f"{plot}.png")


def test_show_notices_another_photograph(folder):
    run("explain", "photo.png", "--classifier", "occlumap_toy:small", "--method", "paper", "--depth", "2")
    Image.new("RGB", (20, 24)).save("other.png")
    assert "does not look like" in run("show", "out", "--photo", "other.png", "--out", "a.png").stderr
    Image.new("RGB", (30, 24)).save("other.png")
    assert "24 x 20 pixels" in run("show", "out", "--photo", "other.png", "--out", "a.png", code=1).stderr


@pytest.mark.parametrize("name", ["no.npz", "photo.png", "."])
def test_show_says_what_is_no_result(folder, name):
    assert run("show", name, code=1).stderr.startswith("error: ")


def test_show_lets_no_file_steer_the_terminal(folder):
    occlumap.explain(
        occlumap.load("occlumap_toy:steering"), "photo.png", target=0, depth=2, method="paper"
    ).save("hostile.npz")
    assert "\x1b" not in run("show", "hostile.npz").stdout


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_that_goes_away_costs_no_picture(folder):
    explain()
    process = start("show", "out", "--out", "picture.png")
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=60)
    assert stderr == ""
    assert is_png(folder / "picture.png")


def test_show_names_the_folders_of_several_targets(folder):
    explain("--target", "0", "--target", "1")
    assert f"results in {Path('out/0-lit')}, {Path('out/1-dark')}" in run("show", "out", code=1).stderr
