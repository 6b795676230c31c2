"""Downloads that arrive whole and verified, or not at all."""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import socket
import sys
import urllib.error
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch.hub

from scalespace.data.idx import opened
from scalespace.errors import InputError
from scalespace.files import atomic, os_reason

TIMEOUT = 30.0  # seconds without a byte until a mirror is given up

# Errors of the disk, not of the network: another mirror would not help.
DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EFBIG,
    errno.EIO,
    errno.ENOENT,
}


@dataclass(frozen=True)
class Checksum:
    """The known checksums of a file: sha256 of its unpacked content, md5 of it as published.

    Both in hexadecimal, empty if unknown.
    """

    sha256: str = ""
    md5: str = ""

    def verdict(self, path: Path) -> bool | None:
        """Whether `path` is the file; None if no checksum can tell.

        A different md5 proves nothing: the same content can be packed in many ways.

        Raises:
            InputError: the file is damaged or cannot be read.
        """
        if self.sha256:
            with opened(path) as (stream, _):
                return _digest(stream, "sha256") == self.sha256
        with _readable(path) as stream:
            return True if self.md5 and _digest(stream, "md5") == self.md5 else None


def download(urls: Sequence[str], target: Path, checksum: Checksum) -> None:
    """Downloads `target` from the first of `urls` whose file agrees with `checksum`.

    Args:
        urls: the same file on several mirrors, tried in turn.
        target: the path to write; nothing is there until the file is complete and verified.
        checksum: of the file.

    Raises:
        InputError: every mirror failed (lists them with their reasons), or the disk did.
    """
    failures = []
    for url in urls:
        try:
            _download(url, target, checksum)
            return
        except _MirrorError as error:
            failures.append(f"{url}: {error}")
    raise InputError(
        f"cannot download it: {'; '.join(failures)}; "
        "pass --data-dir with a folder that has its files"
    )


def extract(url: str, checksum: Checksum, members: Mapping[str, Path]) -> None:
    """Extracts `members` (name in the zip to target) from the zip at `url`, all of them or none.

    The zip is kept beside the targets: it is large, and holds other splits too.

    Raises:
        InputError: the zip cannot be downloaded, lacks a member or is damaged, or the disk fails.
    """
    archive = next(iter(members.values())).with_name(url.rpartition("/")[2])
    if not (archive.is_file() and checksum.verdict(archive)):
        download([url], archive, checksum)
    with ExitStack() as targets:
        asides = {name: targets.enter_context(atomic(path)) for name, path in members.items()}
        try:
            with zipfile.ZipFile(archive) as content:
                if lacking := asides.keys() - set(content.namelist()):
                    raise InputError(f"{archive} has no {min(lacking)}")
                for name, aside in asides.items():
                    with content.open(name) as packed, open(aside, "wb") as file:
                        shutil.copyfileobj(packed, file)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise InputError(f"{archive} is damaged: {error}; delete it and try again") from error


class _MirrorError(Exception):
    """A mirror failed; the next one may not."""


def _download(url: str, target: Path, checksum: Checksum) -> None:
    with atomic(target) as aside:
        print(f"downloading {url}", file=sys.stderr, flush=True)
        with _network(TIMEOUT):
            torch.hub.download_url_to_file(url, str(aside))
        try:
            verified = checksum.verdict(aside)
        except InputError as error:
            raise _MirrorError("sent a damaged file") from error
        if not verified:
            raise _MirrorError("sent a file with the wrong checksum")


@contextmanager
def _network(timeout: float) -> Iterator[None]:
    """Bounds every wait, and turns a failing network, not a failing disk, into `_MirrorError`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        yield
    except urllib.error.HTTPError as error:
        raise _MirrorError(f"answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        cause = error.reason
        reason = os_reason(cause) if isinstance(cause, OSError) else cause
        raise _MirrorError(reason) from error
    except TimeoutError as error:
        raise _MirrorError(f"silent for {timeout:g} s") from error
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise
        raise _MirrorError(os_reason(error)) from error
    except (http.client.HTTPException, ValueError) as error:
        raise _MirrorError(f"answered no HTTP ({type(error).__name__})") from error
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    try:
        with open(path, "rb") as stream:
            yield stream
    except OSError as error:
        raise InputError(f"cannot read {path}: {os_reason(error)}") from error


def _digest(stream: IO[bytes], algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
