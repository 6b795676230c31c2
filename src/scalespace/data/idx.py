"""The IDX format of MNIST and its kin: four header bytes, big-endian sizes, then the values.

The header is `0, 0, type, rank`, followed by `rank` unsigned 32-bit sizes. A file may be gzipped,
which its first two bytes tell, not its name. The declared sizes are checked against what the file
can hold before any memory is allocated.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np

from scalespace.errors import InputError, one_line
from scalespace.files import atomic, os_reason

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CODES = {np.dtype(text): code for code, text in DTYPES.items()}

GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_LIMIT = 1032  # no deflate stream expands by more than this factor
MAX_RANK = 32
CHUNK = 1 << 20


def read_idx(path: Path | str) -> np.ndarray:
    """The array in the IDX file `path`, plain or gzipped, in the machine's byte order.

    Raises:
        InputError: the file is absent, unreadable, damaged, empty, or no IDX file.
    """
    path = Path(path)
    with opened(path) as (stream, capacity):
        dtype, shape = _header(stream, path)
        size = math.prod(shape) * dtype.itemsize
        if size > capacity:
            raise InputError(
                f"{path} is damaged: its header declares {_times(shape)} values, "
                "more than the file can hold"
            )
        content = _read(stream, size)
        if len(content) < size:
            raise InputError(
                f"{path} is damaged: it holds {len(content)} bytes of values, "
                f"its header declares {size}"
            )
        # Reading past the end also makes gzip compare its checksum.
        if stream.read(1):
            raise InputError(
                f"{path} is damaged: it is longer than the {_times(shape)} values in its header"
            )
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def read_idx_shape(path: Path | str) -> tuple[int, ...]:
    """The sizes in the header of the IDX file `path`, without reading its values.

    Raises:
        InputError: the file is absent, unreadable, or its header is damaged.
    """
    path = Path(path)
    with opened(path) as (stream, _):
        return _header(stream, path)[1]


def write_idx(path: Path | str, array: np.ndarray) -> None:
    """Writes `array` to `path` as IDX, whole or not at all; gzipped if the name ends in `.gz`.

    Equal arrays give equal bytes: the gzip header carries no name and no time.

    Raises:
        InputError: the array is empty or of a type or rank that IDX does not have, or the file
            system refuses.
    """
    path = Path(path)
    array = np.asarray(array)
    code = CODES.get(array.dtype.newbyteorder(">"))
    if code is None:
        raise InputError(f"cannot write {path}: IDX has no type for {array.dtype} values")
    if not 1 <= array.ndim <= MAX_RANK or array.size == 0:
        raise InputError(f"cannot write {path}: an IDX file needs a non-empty array")
    content = bytes([0, 0, code, array.ndim])
    content += np.array(array.shape, ">u4").tobytes()
    content += array.astype(DTYPES[code], copy=False).tobytes()
    with atomic(path) as aside, open(aside, "wb") as file:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
                packed.write(content)
        else:
            file.write(content)


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Yields a stream of the file's content, unpacked if it is gzipped, and the most bytes of it.

    Raises:
        InputError: now or while the stream is read: the file is absent, unreadable or damaged.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=file) as stream:
                    yield cast(IO[bytes], stream), size * DEFLATE_LIMIT
            else:
                yield file, size
    except FileNotFoundError as error:
        raise InputError(f"data file not found: {path}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {one_line(error)}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {os_reason(error)}") from error


def _header(stream: IO[bytes], path: Path) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    if not magic:
        raise InputError(f"{path} is empty: not an IDX file")
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        raise InputError(f"{path} is not an IDX file: it starts with the bytes {magic.hex(' ')}")
    rank = magic[3]
    if not 1 <= rank <= MAX_RANK:
        raise InputError(f"{path} is not an IDX file: its header declares {rank} dimensions")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise InputError(f"{path} is damaged: it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if 0 in shape:
        raise InputError(f"{path} holds no values: its header declares {_times(shape)}")
    return np.dtype(DTYPES[magic[2]]), shape


def _read(stream: IO[bytes], size: int) -> bytearray:
    """At most `size` bytes. Memory grows with the content, not with the declared size."""
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(CHUNK, size - len(content)))):
        content += chunk
    return content


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
