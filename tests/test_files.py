from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from scalespace import files
from scalespace.data import Samples, write_samples
from scalespace.errors import InputError
from scalespace.figures.grids import save_gif, save_grid
from scalespace.files import (
    atomic,
    locked,
    read_json,
    read_text,
    write_bytes,
    write_json,
    write_text,
)
from scalespace.training.checkpoint import save_tensors

BIG = np.random.default_rng(0).random((50, 28, 28), dtype=np.float32)

WRITERS: dict[str, Callable[[Path], None]] = {
    "a.bin": lambda path: write_bytes(path, bytes(100_000)),
    "a.txt": lambda path: write_text(path, "x" * 100_000),
    "a.json": lambda path: write_json(path, list(range(30_000))),
    "a.npz": lambda path: write_samples(path, Samples(BIG, np.zeros(50, dtype=np.int64))),
    "a.safetensors": lambda path: save_tensors(path, {"x": torch.zeros(100_000)}, {}),
    "a.png": lambda path: save_grid(path, BIG, 10),
    "a.gif": lambda path: save_gif(path, [BIG, BIG], 10),
}
every_writer = pytest.mark.parametrize(("name", "write"), WRITERS.items())


@contextmanager
def full_disk(size: int = 4096) -> Iterator[None]:
    """No file may grow beyond `size`: the system refuses, whatever library writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@every_writer
def test_writes_and_leaves_nothing_beside(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / "new" / "folder" / name)
    assert names(tmp_path / "new" / "folder") == [name]
    content = (tmp_path / "new" / "folder" / name).read_bytes()
    write(tmp_path / "new" / "folder" / name)
    assert (tmp_path / "new" / "folder" / name).read_bytes() == content


@every_writer
def test_a_full_disk_keeps_the_old_file(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"old")
    with full_disk(), pytest.raises(InputError, match=f"cannot write .*{name}"):
        write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"old"
    assert names(tmp_path) == [name]


@every_writer
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end(
    name: str,
    call: str,
    write: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(InputError, match="No space left on device"):
        write(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"old"
    assert names(tmp_path) == [name]


@every_writer
def test_a_file_in_the_folders_place(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "file" / name)
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "file" / "deeper" / name)
    assert (tmp_path / "file").read_text() == "here"


@every_writer
def test_a_folder_in_the_files_place(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / name)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_whatever_stops_a_writer(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write() -> None:
        with atomic(path) as aside:
            aside.write_text("half")
            assert (aside.suffix, aside.parent) == (".txt", tmp_path)
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_the_target_is_whole_or_old_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with atomic(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{'a': 1}", b"nul", b'{"a": 1}}', b"[" * 100_000, b"\xff\xfe", b"1" * 10_000],
)
def test_what_is_no_json(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"the thing .*file.json is not"):
        read_json(path, "the thing")


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True], "ü": "ß"}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    (tmp_path / "marked.json").write_text(text, encoding="utf-8-sig")
    assert read_json(tmp_path / "marked.json") == value


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the thing not found: .*none"):
        read_text(tmp_path / "none", "the thing")
    with pytest.raises(InputError, match="cannot read the thing"):
        read_text(tmp_path, "the thing")
    with pytest.raises(InputError, match="the thing not found: a\0b"):
        read_text("a\0b", "the thing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1e999]", "the number 1e999 is beyond"),
        ("[-1e999]", "beyond what can be computed with"),
        ("9" * 400, "a number of 400 digits"),
        ("9" * 5000, "a number of 5000 digits"),
        ("[" * 100_000, "not valid JSON: it is nested too deeply"),
        ("{", "not valid JSON"),
        ('{"a": NaN}', "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
    ],
)
def test_json_that_is_none_or_cannot_be_computed_with(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_json(tmp_path / "file.json")
    assert len(str(caught.value)) < 300


# A lock on a folder


def taken(folder: Path) -> str:
    """What is said to who wants a lock that another one has."""
    with pytest.raises(InputError) as caught, locked(folder, "study"):
        raise AssertionError("it let two in")
    return str(caught.value)


def test_a_lock_keeps_others_out_as_long_as_it_lasts(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with locked(folder, "study"):
        assert taken(folder) == (
            f"{folder}: another process works on this study (pid {os.getpid()}): wait for it, or "
            "choose another --out"
        )
        with locked(tmp_path / "another", "study"):
            pass
        assert "another process" in taken(folder)  # to be refused takes nothing from who has it
    with locked(folder, "study"):
        pass
    with pytest.raises(ValueError, match="what happened"), locked(folder, "study"):
        raise ValueError("what happened")
    with locked(folder, "study"):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    script = "import pathlib, sys, time\nfrom scalespace.files import locked\n"
    script += "with locked(pathlib.Path(sys.argv[1]), 'study'):\n    print('in', flush=True)\n"
    script += "    time.sleep(60)\n"
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        assert f"(pid {other.pid})" in taken(tmp_path)
        other.kill()
    assert (tmp_path / files.LOCK).exists()
    with locked(tmp_path, "study"):
        assert f"(pid {os.getpid()})" in taken(tmp_path)


def test_no_child_inherits_a_lock(tmp_path: Path) -> None:
    """A worker that lives on for a moment keeps nobody out."""
    with locked(tmp_path, "study"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with locked(tmp_path, "study"):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "folder", "study"):
        assert names(tmp_path) == [".lock", "folder", "new"]
    assert names(tmp_path) == []
    with locked(tmp_path / "new", "study"):
        write_text(tmp_path / "new" / "file", "x")
    assert names(tmp_path) == ["file", "new"]


def test_a_lock_that_was_deleted_meanwhile_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder deletes the file before it lets go: who has that open has locked nothing."""
    real, stale = os.open, []

    def late(path: Path, *rest: int) -> int:
        descriptor = real(path, *rest)
        if not stale:
            stale.append(descriptor)
            Path(path).unlink()
        return descriptor

    monkeypatch.setattr(files.os, "open", late)
    with locked(tmp_path, "study"):
        assert "another process works on this study" in taken(tmp_path)


def test_what_killed_writers_of_a_file_left_goes_with_the_next(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    kept = [f".a.{os.getppid()}.part.txt", ".a.x.part.txt", f".b.{gone.pid}.part.txt"]
    half = f".a.{gone.pid}.part.txt"
    for name in (half, f"{half}.1f2e.partial", *kept):  # of a download, too
        (tmp_path / name).write_text("half")
    write_text(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == sorted([*kept, "a.txt"])


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe", b"-1", b"9" * 100])
def test_a_lock_that_does_not_say_whose_it_is(content: bytes, tmp_path: Path) -> None:
    with locked(tmp_path, "study"):
        (tmp_path / files.LOCK).write_bytes(content)
        assert "another process works on this study" in taken(tmp_path)
        assert ("(pid" in taken(tmp_path)) == content.isdigit()


def test_where_there_are_no_locks_nobody_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patch:  # a network drive
        patch.setattr(files.fcntl, "flock", refuse)
        with locked(tmp_path, "study"), locked(tmp_path, "study"):
            pass
    monkeypatch.setattr(files, "fcntl", None)  # Windows
    with locked(tmp_path, "study"), locked(tmp_path, "study"):
        pass


def test_a_full_disk_does_not_stop_a_lock(tmp_path: Path) -> None:
    with full_disk(0), locked(tmp_path, "study"):
        assert "another process works on this study:" in taken(tmp_path)


def test_a_lock_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(InputError, match="cannot write"), locked(folder, "study"):
            pass
