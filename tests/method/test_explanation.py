"""Explanation: saved, loaded, its trees, and files that are not what they say."""

import contextlib
import os
import zipfile

import numpy as np
import pytest

from occlumap import Explanation, Measurements, explain
from occlumap.errors import (
    ArgumentError,
    FileFormatError,
)
from occlumap.pyramid import Pruning
from tests.method.conftest import picture, smooth_classifier


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
@pytest.mark.parametrize(
    "method", [{"depth": 2}, {"method": "single-scale"}, {"depth": 2, "selection": "vote"}]
)
def test_save_and_load_lose_nothing(tmp_path, method):
    image, classifier = picture(4, 18, 21), smooth_classifier(4, (18, 21))
    before = explain(classifier, image, 2, **{"method": "paper", **method})
    before.save(tmp_path / "one.npz")
    after = Explanation.load(tmp_path / "one.npz")
    for name in ("heatmap", "image"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    for name in (
        "target",
        "target_name",
        "original_score",
        "settings",
        "offsets",
        "densities",
        "provenance",
        "warnings",
        "frame",
    ):
        assert getattr(after, name) == getattr(before, name), name
    np.testing.assert_array_equal(after.measurements.scores, before.measurements.scores)
    if method.get("method") != "single-scale":
        assert after.trees() == before.trees()
    after.save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_trees_are_of_the_chosen_offsets_and_make_the_heatmap(evidence, white):
    explanation = explain(evidence, white, 0, depth=2, fill="constant:0", best_k=3, method="paper")
    trees = explanation.trees()
    assert [tree.density for tree in trees] == list(explanation.densities)
    total = np.zeros((16, 16))
    for tree in trees:
        for leaf in tree.leaves():
            total[leaf.region.slices] += leaf.importance
    np.testing.assert_array_equal((total / 3).astype(np.float32), explanation.heatmap)


def test_damaged_and_hostile_files_are_refused(tmp_path, evidence, white):
    import io
    import pickle

    explanation = explain(evidence, white, 0, depth=1, fill="constant:0", method="paper")
    path = tmp_path / "one.npz"
    explanation.save(path)
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(FileFormatError):
            Explanation.load(path)
    path.write_bytes(whole)

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("code in the file ran",))

    def replaced(name, data):
        target = tmp_path / "changed.npz"
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
            for entry in old.namelist():
                new.writestr(entry, data if entry == name else old.read(entry))
        return target

    hostile = io.BytesIO()
    np.save(hostile, np.array([Bomb()], dtype=object), allow_pickle=True)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}
    )
    for name, data in [
        ("heatmap.npy", hostile.getvalue()),
        ("heatmap.npy", huge.getvalue()),
        ("heatmap.npy", pickle.dumps(Bomb())),
        ("perturbation_starts.npy", b""),
        ("occlumap-explanation.json", b"{}"),
        ("occlumap-explanation.json", b"[1"),
    ]:
        with pytest.raises(FileFormatError):
            Explanation.load(replaced(name, data))
    with pytest.raises(FileFormatError, match="no such file"):
        Explanation.load(tmp_path / "none.npz")

    def changed(old, new):
        with zipfile.ZipFile(path) as archive:
            text = archive.read("occlumap-explanation.json").decode()
        assert old in text
        return replaced("occlumap-explanation.json", text.replace(old, new, 1).encode())

    for old, new, message in [
        ("\n   16,", "\n   Infinity,", "Infinity is no number of JSON"),
        ('"target": 0', '"target": 1e999', "cannot be interpreted as an integer"),
        ('"target": 0', '"target": 0.5', "cannot be interpreted as an integer"),
        ('"original_score": 1.0', '"original_score": 1e999', "original score that was measured, 1.0"),
        ('"original_score": 1.0', '"original_score": 0.5', "original score that was measured, 1.0, got 0.5"),
        ('"densities": [', '"densities": [1.5,', "one density for each of"),
        ('"densities": [', '"densities": [1e999, 1, 1, 1], "d": [', "densities of its offsets' trees"),
        ('"densities": [', '"densities": [1, 1, 1, 1], "d": [', "densities of its offsets' trees"),
        ('"offsets": [', '"offsets": [[9, 9], [9, 9], [9, 9], [9, 9]], "o": [', "offsets of depth 1"),
        (
            '"offsets": [',
            '"offsets": [], "densities": [], "o": [',
            "one density for each of|offsets of depth 1",
        ),
        ('"frame": null', '"frame": [16, 16, 0, 17, 0, 16]', "a part of 16 x 16 pixels"),
        ('"frame": null', '"frame": [16, 16]', "parts are missing or wrong"),
        ('"image_notes": []', '"image_notes": 5', "list of notes on the image, got 5"),
        ('"calls": ', '"calls": 1e999, "c": ', "parts are missing or wrong"),
        ('"seed": 0', '"seed": NaN', "NaN is no number of JSON"),
        ('"original_score": 1.0', '"original_score": NaN', "NaN is no number of JSON"),
        ('"original_score": 1.0', f'"original_score": {10**400}', "parts are missing or wrong"),
        ('"depth": 1', '"depth": 2', "measurements of all cells of its offsets"),
    ]:
        with pytest.raises(FileFormatError, match=message):
            Explanation.load(changed(old, new))


def test_no_damaged_byte_is_anything_but_a_file_format_error(tmp_path, evidence, white):
    path = tmp_path / "one.npz"
    explain(evidence, white, 0, depth=2, fill="constant:0", method="paper").measurements.save(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(FileFormatError):
            Measurements.load(path)


def test_a_folder_that_is_not_there_is_named_as_it_was_asked_for(tmp_path, evidence, white):
    explanation = explain(evidence, white, 0, depth=1, fill="constant:0", method="paper")
    with pytest.raises(FileNotFoundError) as caught:
        explanation.save(tmp_path / "none" / "one.npz")
    assert caught.value.filename == str(tmp_path / "none" / "one.npz")


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_explanations_of_several_targets_share_nothing_that_can_be_changed(evidence, white):
    one, other = explain(
        evidence, white, ["lit", 1], depth=2, fill="constant:0", threshold=0.01, method="paper"
    )
    one.image[:] = 0
    one.settings["depth"] = 7
    one.provenance["versions"]["numpy"] = "0"
    assert (other.image == 255).all()
    assert other.settings["depth"] == 2
    assert other.provenance["versions"]["numpy"] == np.__version__


@pytest.mark.filterwarnings("ignore::occlumap.errors.OcclumapWarning")
def test_a_threshold_is_stored_as_it_is_used(evidence, white):
    threshold = np.float32(0.1)  # prints as 0.1, and is a little more
    settings = explain(
        evidence, white, 0, depth=1, threshold=threshold, fill="constant:0", method="paper"
    ).settings
    assert settings["threshold"] == float(threshold) != 0.1
    assert type(settings["threshold"]) is float  # JSON holds it
    assert Pruning(threshold=threshold).least_importance(1.0) == float(threshold)


def test_settings_that_do_not_give_the_trees_are_a_damaged_file(tmp_path, evidence, white):
    found = explain(
        evidence, white, 0, depth=2, fill="constant:0", offsets="none", threshold=0.3, method="paper"
    )
    altered = {"depth": 1, "threshold": 2.0}
    for name, value in altered.items():
        before = found.settings[name]
        found.settings[name] = value
        found.save(tmp_path / "one.npz")
        with pytest.raises(FileFormatError, match="densities of its offsets' trees"):
            Explanation.load(tmp_path / "one.npz")
        found.settings[name] = before


@pytest.mark.parametrize("path", [None, 5, __import__("io").BytesIO()])
def test_what_is_no_path_is_an_error(evidence, white, path):
    found = explain(evidence, white, 0, depth=1, fill="constant:0", method="paper")
    with pytest.raises(ArgumentError, match="expected the path of a file, got (NoneType|int|BytesIO)"):
        found.save(path)
    if not hasattr(path, "read"):
        with pytest.raises(ArgumentError, match="expected the path of a file, got (NoneType|int)"):
            Explanation.load(path)


def test_a_full_disk_names_the_file(tmp_path, evidence, white, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("occlumap._archive.os.replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        explain(evidence, white, 0, depth=1, fill="constant:0", method="paper").save(tmp_path / "one.npz")
    assert caught.value.filename == str(tmp_path / "one.npz")
    assert list(tmp_path.iterdir()) == []


def test_saving_leaves_the_umask_alone_and_keeps_to_it(tmp_path, evidence, white, monkeypatch):
    """The umask belongs to all threads: to read it, it has to be changed."""
    found = explain(evidence, white, 0, depth=1, fill="constant:0", method="paper")
    umask = os.umask(0o027)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
            found.save(tmp_path / "one.npz")
    finally:
        os.umask(umask)
    if os.name == "posix":
        assert (tmp_path / "one.npz").stat().st_mode & 0o777 == 0o640


def test_a_file_with_another_image_is_refused(tmp_path, evidence, white):
    found = explain(evidence, white, 0, depth=1, fill="constant:0", method="paper")
    found.image[0, 0] = 7
    found.save(tmp_path / "one.npz")
    with pytest.raises(FileFormatError, match="expected the image that was measured"):
        Explanation.load(tmp_path / "one.npz")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': (",
        "{'descr': (), 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1000000000000000000000000000000)}",
        "{'descr': '|S0', 'fortran_order': False, 'shape': (100000000000000000000,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
        "{[]:1}",
    ],
)
def test_a_hostile_array_header_is_a_file_format_error(tmp_path, evidence, white, header):
    path, hostile = tmp_path / "good.npz", tmp_path / "hostile.npz"
    explain(evidence, white, 0, depth=1, fill="constant:0", method="paper").save(path)
    text = header.encode()
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(hostile, "w") as bad:
        for name in good.namelist():
            data = good.read(name)
            if name == "heatmap.npy":
                data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(4)
            bad.writestr(name, data)
    with pytest.raises(FileFormatError):
        Explanation.load(hostile)


@pytest.mark.parametrize("name", [".", ""])
def test_a_folder_is_no_file_to_save_to(tmp_path, monkeypatch, evidence, white, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError, match="name of a file"):
        explain(evidence, white, 0, depth=1, fill="constant:0", method="paper").save(name)
