from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scalespace.data.idx import DTYPES, read_idx, read_idx_shape, write_idx
from scalespace.errors import InputError

in_tmp = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
names = st.sampled_from(["a-ubyte", "a-ubyte.gz"])
arrays = hnp.arrays(
    dtype=st.sampled_from([np.dtype(text).newbyteorder("=") for text in DTYPES.values()]),
    shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
)
IMAGES = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(2, 5, 7)


def header(*shape: int, code: int = 8) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def read_or_refuse(path: Path) -> np.ndarray | None:
    """The array, or None for a refusal in one line; any other exception is a failure."""
    try:
        return read_idx(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert str(path) in message
    return None


@in_tmp
@given(array=arrays, name=names)
def test_round_trip(array: np.ndarray, name: str, tmp_path: Path) -> None:
    write_idx(tmp_path / name, array)
    read = read_idx(tmp_path / name)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array)
    assert read_idx_shape(tmp_path / name) == array.shape


def test_bytes_are_the_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", np.array([[1, 2], [3, 258]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex(
        "00000b02 00000002 00000002 0001 0002 0003 0102"
    )


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    write_idx(tmp_path / "packed.gz", IMAGES)
    (tmp_path / "packed.gz").rename(tmp_path / "packed")
    write_idx(tmp_path / "plain", IMAGES)
    (tmp_path / "plain").rename(tmp_path / "plain.gz")
    np.testing.assert_array_equal(read_idx(tmp_path / "packed"), IMAGES)
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz"), IMAGES)


def test_equal_arrays_give_equal_bytes(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", IMAGES)
    write_idx(tmp_path / "b.gz", IMAGES)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    no_flags, no_time = b"\0", bytes(4)
    assert (tmp_path / "a.gz").read_bytes()[3:8] == no_flags + no_time


@pytest.mark.parametrize("name", ["a-ubyte", "a-ubyte.gz"])
def test_every_truncation_is_refused(name: str, tmp_path: Path) -> None:
    write_idx(tmp_path / name, IMAGES)
    content = (tmp_path / name).read_bytes()
    for length in range(len(content)):
        (tmp_path / name).write_bytes(content[:length])
        assert read_or_refuse(tmp_path / name) is None


@pytest.mark.parametrize("name", ["a-ubyte", "a-ubyte.gz"])
def test_extra_bytes_are_refused(name: str, tmp_path: Path) -> None:
    write_idx(tmp_path / name, IMAGES)
    with open(tmp_path / name, "ab") as file:
        file.write(b"\x01")
    assert read_or_refuse(tmp_path / name) is None


@in_tmp
@given(
    name=names, flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)))
)
def test_flipped_bytes_are_refused_or_read(
    name: str, flips: list[tuple[float, int]], tmp_path: Path
) -> None:
    write_idx(tmp_path / name, IMAGES)
    content = bytearray((tmp_path / name).read_bytes())
    for where, flip in flips:
        content[int(where * len(content))] ^= flip
    (tmp_path / name).write_bytes(content)
    read_or_refuse(tmp_path / name)


@in_tmp
@given(st.binary(max_size=64))
def test_any_bytes_are_refused_or_read(tmp_path: Path, content: bytes) -> None:
    for damaged in (content, header(2, 2) + content, gzip.compress(content)):
        (tmp_path / "a").write_bytes(damaged)
        read_or_refuse(tmp_path / "a")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "content",
    [
        header(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF) + b"x",
        header(100_000, 28, 28) + b"x",
        header(*[0xFFFFFFFF] * 32),
    ],
)
def test_absurd_sizes_take_no_memory(pack: type, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(pack(content))
    with pytest.raises(InputError, match="damaged: its header declares"):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG....", "not an IDX file: it starts with the bytes 89 50 4e 47"),
        (header(2, code=0x0A) + b"12", "not an IDX file"),
        (header(), "declares 0 dimensions"),
        (bytes([0, 0, 8, 200]) + bytes(800), "declares 200 dimensions"),
        (header(0, 28, 28), "holds no values: its header declares 0 x 28 x 28"),
        (header(3) + b"12", "more than the file can hold|holds 2 bytes"),
        (header(3) + b"1234", "longer than the 3 values"),
    ],
)
def test_messages(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_idx(tmp_path / "a")


def test_absent_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        read_idx(tmp_path / "none")
    with pytest.raises(InputError, match="cannot read"):
        read_idx(tmp_path)


@pytest.mark.parametrize("array", [np.zeros((0, 2), np.uint8), np.uint8(1), np.zeros(2, np.int64)])
def test_unwritable_arrays_leave_nothing(array: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write_idx(tmp_path / "a", array)
    assert list(tmp_path.iterdir()) == []
