"""Atomic writing and checked reading of files, and a lock on a folder.

Every writer writes beside the target and renames. Every failure of the file system (a full disk,
a read-only folder) becomes an `InputError` that names the path.
"""

from __future__ import annotations

import glob
import hashlib
import inspect
import json
import math
import os
import socket
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from scalespace.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
"""This machine, in the names of files that processes of several write into one folder."""


def os_reason(error: OSError) -> str:
    """The system's message for an error, e.g. 'No space left on device'."""
    return error.strerror or str(error)


def user_cache() -> Path | None:
    """`scalespace` in the user's cache folder; None where the user has no home."""
    root = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return None if root.startswith("~") else Path(root, "scalespace")


def at_home(path: str) -> str:
    """A path whose `~` is the home folder; `InputError` where there is none."""
    expanded = os.path.expanduser(path)
    if expanded.startswith("~") and not os.path.exists(expanded):
        raise InputError(f"there is no home folder for {path}: name the path in full")
    return expanded


def _mode() -> int:
    """The permissions of this process's new files; the umask can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


MODE = _mode()


def no_folder(what: str, path: Path | str) -> InputError:
    """The error for a folder that is not there; says so if it is a file.

    Args:
        what: what the folder holds, such as "model".
        path: of the folder.
    """
    if os.path.exists(path):
        return InputError(f"{path} is a file, not a folder: name a {what} folder")
    return InputError(f"{what} folder not found: {path}")


def not_written(path: Path, error: OSError) -> InputError:
    """The error for a file that the system does not write; names a file that is in the way."""
    in_the_way = [place for place in path.parents if place.exists() and not place.is_dir()]
    if in_the_way:
        return InputError(f"cannot write {path}: {in_the_way[0]} is a file, not a folder")
    return InputError(f"cannot write {path}: {os_reason(error)}")


def aside_of(path: Path) -> Path:
    """A name beside `path` to write to before it is renamed; it tells whose it is."""
    return path.with_name(f".{path.stem}.{HOST}-{os.getpid()}.part{path.suffix}")


def abandoned(path: Path) -> list[Path]:
    """What killed writers of `path` left beside it.

    A name may go on after the suffix: what downloads an aside writes to one of its own first.
    """
    start, end = f".{path.stem}.", f".part{path.suffix}"
    left = path.parent.glob(f"{glob.escape(start)}*{glob.escape(end)}*")
    whose = ((one, one.name.removeprefix(start).partition(end)[0]) for one in left)
    return [one for one, writer in whose if one != aside_of(path) and not _alive(writer)]


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yields a path beside `path` to write to, and renames it to `path` on success.

    The temporary name keeps the suffix, by which some writers choose a format. Leftovers of killed
    writers of the same file are deleted.

    Raises:
        InputError: the file system refuses (disk full, folder read-only, a file in the way).
    """
    path = Path(path)
    aside = aside_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in abandoned(path):
            left.unlink(missing_ok=True)
        yield aside
        with open(aside, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(aside, MODE)  # some writers let only the owner read
        os.replace(aside, path)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def _alive(name: str) -> bool:
    """Whether a process may still be running; True where the system cannot tell.

    Args:
        name: `HOST-PID`, or the pid alone. Another machine, which shares a folder, cannot tell.
    """
    host, _, pid = name.rpartition("-")
    if host not in ("", HOST):
        return True
    if fcntl is None or not pid.isdecimal() or len(pid) > 10:
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True


def check_suffix(path: Path | str, suffixes: Iterable[str], name: str = "") -> None:
    """Raises `InputError`, which calls the file `name`, unless `path` ends in a given suffix."""
    if Path(path).suffix.lower() not in suffixes:
        known = " or ".join(suffixes)
        raise InputError(
            f"{name} must end in {known}, got {path}" if name else f"{path} must end in {known}"
        )


def sweep(folder: Path) -> None:
    """Deletes leftovers of killed writers below `folder`, where nothing may be writing now."""
    for left in folder.rglob(".*.part*"):
        left.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Keeps every other caller out of `folder` while the context lasts.

    The system releases the lock when the process ends, even if it is killed; the lock file that
    stays behind then is harmless. Readers need no lock. On Windows and some network drives there
    are no such locks, and nobody is kept out.

    Args:
        folder: created if it is absent, and removed again if nothing was put there.
        what: what it holds, for the message.
        patience: seconds to wait for another process that works there.

    Raises:
        InputError: another process works there, or the folder cannot be written.
    """
    path = folder / LOCK
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    descriptor = _lock(path, what, patience)
    try:
        with suppress(OSError):  # the pid is a courtesy: a full disk does not matter
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(OSError):  # while the lock is held, so that nobody else's file is deleted
            path.unlink()
        os.close(descriptor)
        with suppress(OSError):
            for place in new:
                place.rmdir()


def _lock(path: Path, what: str, patience: float) -> int:
    """Opens and locks the file at `path`, and returns its descriptor; see `locked`."""
    deadline = time.monotonic() + patience
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, MODE)
        except OSError as error:
            raise not_written(path, error) from error
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            if time.monotonic() < deadline:
                time.sleep(0.2)
                continue
            whose = f" (pid {pid})" if pid.isdecimal() else ""
            raise InputError(
                f"{path.parent}: another process works on this {what}{whose}: wait for it, or "
                "choose another --out"
            ) from error
        except OSError:  # this drive has no locks
            return descriptor
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)  # its holder has just deleted it: this lock would keep nobody out


def write_bytes(path: Path | str, content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all."""
    with atomic(path) as aside:
        aside.write_bytes(content)


def write_text(path: Path | str, content: str) -> None:
    """Writes `content` to `path` in UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_rows(path: Path | str, rows: Iterable[Any]) -> None:
    """Writes `rows` as JSON, one a line, whole or not at all."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as `.npz`, whole or not at all; equal arrays give equal bytes."""
    # through an open file, because savez would add .npz to any other name
    with atomic(path) as aside, open(aside, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_bytes(path: Path | str, what: str = "file") -> bytes:
    """The content of `path`.

    Raises:
        InputError: it is absent or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, ValueError) as error:  # no file has a NUL in its name
        raise InputError(f"{what} not found: {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {os_reason(error)}") from error


def sha256(path: Path | str, what: str = "file") -> str:
    """The checksum of a file's content, in hexadecimal; `InputError` if it cannot be read."""
    return hashlib.sha256(read_bytes(path, what)).hexdigest()


def read_text(path: Path | str, what: str = "file") -> str:
    """The content of `path` as UTF-8 text; `InputError` if it cannot be read as such.

    A byte order mark, which some editors put first, is left out.
    """
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 text: {error.reason}") from error


def read_json(path: Path | str, what: str = "JSON file") -> Any:
    """The value in the JSON file `path`; `InputError` if it is absent or not valid JSON."""
    text = read_text(path, what)
    try:
        return parse_json(text, finite=True)
    except (ValueError, RecursionError) as error:  # bad JSON, or a number of thousands of digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{what} {path} is not valid JSON: {reason}") from error


def read_object(path: Path | str, what: str = "JSON file") -> dict[str, Any]:
    """The object in the JSON file `path`; `InputError` if it is absent or anything else."""
    value = read_json(path, what)
    if not isinstance(value, dict):
        raise InputError(f"{what} {path} is no JSON object ({json.dumps(value):.40})")
    return value


def check_own(folder: Path, keys: Set[str], what: str, files: Sequence[str]) -> None:
    """Refuses to write where the files of something else would be replaced.

    Args:
        folder: to write in.
        keys: of the object in the first file, if the folder is one of ours.
        what: that is to be written, for the message.
        files: its files.

    Raises:
        InputError: one of the files is there, and the first has not these keys.
    """
    there = [name for name in files if (folder / name).exists()]
    try:
        config = read_object(folder / files[0]) if there else {}
    except InputError:
        config = {}
    if there and not keys <= config.keys():
        raise InputError(f"{folder} has a {there[0]} and is no {what}: choose another folder")


def parse_json(text: str | bytes, finite: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: of it.
        finite: refuse NaN and Infinity, which are no JSON. Rows of measurements have them where a
            recipe that is wrong on purpose diverged, or real images do not vary.

    Raises:
        ValueError: it is not JSON, or has a number that a float cannot hold.
        RecursionError: it is nested too deeply.
    """
    constant = _refuse_constant if finite else None
    return json.loads(text, parse_int=_int, parse_float=_float, parse_constant=constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _int(text: str) -> int:
    if len(text) > 300:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:20]} is beyond what can be computed with")
    return number


def source(kind: type) -> str:
    """The file that a class stands in, but for torch's own; its name where there is no file."""
    if kind.__module__.startswith("torch."):
        return ""
    try:
        return inspect.getsource(inspect.getmodule(kind) or kind)
    except (OSError, TypeError):
        return kind.__qualname__
