"""The cache folder: whole files, checked each time, and never in the way."""

import hashlib
import multiprocessing
from pathlib import Path

import pytest

from occlumap.errors import OcclumapWarning
from occlumap.zoo import cache

DATA = b"what the builder makes" * 100  # less than a write buffer
SHA256 = hashlib.sha256(DATA).hexdigest()


class Builder:
    def __init__(self, data: bytes = DATA) -> None:
        self.data, self.calls = data, 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.data


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, not there yet."""
    monkeypatch.setenv("OCCLUMAP_CACHE", str(tmp_path / "cache" / "occlumap"))
    return tmp_path / "cache" / "occlumap"


def test_a_file_is_built_once_and_then_read(folder: Path):
    build = Builder()
    assert cache.fetch("file", SHA256, build) == DATA
    assert cache.fetch("file", SHA256, build) == DATA
    assert build.calls == 1
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize("other", [b"", DATA[:-1], DATA + b"x", b"X" + DATA[1:]])
def test_a_file_that_was_altered_is_built_anew_with_a_warning(folder: Path, other: bytes):
    cache.fetch("file", SHA256, Builder())
    (folder / "file").write_bytes(other)
    with pytest.warns(OcclumapWarning, match="altered"):
        assert cache.fetch("file", SHA256, Builder()) == DATA
    assert (folder / "file").read_bytes() == DATA


def test_what_is_built_with_another_hash_is_used_but_not_kept(folder: Path):
    assert cache.fetch("file", SHA256, Builder(b"of another version")) == b"of another version"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_a_warning(folder: Path):
    folder.parent.write_bytes(b"a file where a folder should be")
    with pytest.warns(OcclumapWarning, match="OCCLUMAP_CACHE"):
        assert cache.fetch("file", SHA256, Builder()) == DATA


def test_a_file_that_cannot_be_replaced_is_a_warning_and_nothing_stays_behind(folder: Path):
    (folder / "file").mkdir(parents=True)
    with pytest.warns(OcclumapWarning, match="OCCLUMAP_CACHE"):
        assert cache.fetch("file", SHA256, Builder()) == DATA
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_replacement_refused_because_another_process_was_first_is_fine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def refused(path: Path, target: Path) -> None:
        Path(target).write_bytes(DATA)
        raise PermissionError("in use")

    monkeypatch.setattr(Path, "replace", refused)
    assert cache.fetch("file", SHA256, Builder()) == DATA


def _fetch(_: int) -> bytes:
    return cache.fetch("file", SHA256, Builder())


def test_processes_that_build_at_once_all_get_the_file(folder: Path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_fetch, range(8), chunksize=1) == [DATA] * 8
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_reader_never_sees_part_of_a_file(folder: Path):
    def build() -> bytes:
        folder.mkdir(parents=True)
        return DATA

    seen = []
    real = Path.replace

    def watched(path: Path, target: Path) -> Path:
        seen.append((path.read_bytes() == DATA, path.parent == folder, Path(target).exists()))
        return real(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", watched)
        cache.fetch("file", SHA256, build)
    assert seen == [(True, True, False)]


def test_without_the_variable_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch):
    platformdirs = pytest.importorskip("platformdirs")
    monkeypatch.setenv("OCCLUMAP_CACHE", "")
    assert cache.folder() == Path(platformdirs.user_cache_dir("occlumap", appauthor=False))


def test_a_home_folder_in_the_variable_is_understood(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OCCLUMAP_CACHE", "~/some/where")
    assert cache.folder() == Path.home() / "some" / "where"
