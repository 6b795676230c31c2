from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scalespace.data.samples import Samples, check, read_samples, write_samples
from scalespace.errors import InputError

in_tmp = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
IMAGES = np.linspace(0, 1, 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
LABELS = np.array([2, 0, 9])
META = {"method": "baseline", "seed": 3, "näme": [1, None]}


def read_or_refuse(path: Path) -> Samples | None:
    """The samples, or None for a refusal in one line; any other exception is a failure."""
    try:
        return read_samples(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert str(path) in message
    return None


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def with_member(path: Path, name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    """A samples file in which the member `name` holds `content`."""
    good = io.BytesIO()
    np.savez(good, images=IMAGES, labels=LABELS)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w", method) as target:
        for member in source.namelist():
            target.writestr(member, content if member == name else source.read(member))
    return path


def npy(shape: str, descr: str = "'<f4'", body: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@in_tmp
@given(
    images=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements=st.floats(0, 1, width=32),
    ),
    meta=st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5)),
)
def test_round_trip(images: np.ndarray, meta: dict[str, Any], tmp_path: Path) -> None:
    labels = np.arange(len(images))
    write_samples(tmp_path / "a.npz", Samples(images, labels, meta))
    read = read_samples(tmp_path / "a.npz", shape=images.shape[1:], classes=len(images))
    np.testing.assert_array_equal(read.images, images)
    np.testing.assert_array_equal(read.labels, labels)
    assert (read.images.dtype, read.labels.dtype) == (np.float32, np.int64)
    assert read.meta == meta
    assert len(read) == len(images)


def test_the_file_is_what_is_promised(tmp_path: Path) -> None:
    write_samples(tmp_path / "any.name", Samples(IMAGES, LABELS, META))
    assert [path.name for path in tmp_path.iterdir()] == ["any.name"]
    with np.load(tmp_path / "any.name", allow_pickle=False) as content:
        assert sorted(content) == ["images", "labels", "meta"]
        assert content["images"].dtype == np.float32
        assert content["labels"].dtype == np.int64
        assert json.loads(str(content["meta"])) == META
    write_samples(tmp_path / "again", Samples(IMAGES, LABELS, META))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "any.name").read_bytes()


def test_what_others_write_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=IMAGES[:, None].astype(">f8"), labels=LABELS.astype(np.uint8))
    read = read_samples(path, shape=(4, 5), classes=10)
    np.testing.assert_array_equal(read.images, IMAGES)
    np.testing.assert_array_equal(read.labels, LABELS)
    assert read.meta == {}
    save(path, images=np.asfortranarray(IMAGES), labels=LABELS, more=np.zeros(2))
    np.testing.assert_array_equal(read_samples(path).images, IMAGES)


def test_rounding_is_clipped() -> None:
    images = check(np.array([[[-5e-7, 1 + 5e-7]]]), np.array([0])).images
    assert images.tolist() == [[[0, 1]]]


def test_compressed_blank_images_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(
        path, images=np.zeros((2000, 28, 28), np.float32), labels=np.zeros(2000, int)
    )
    assert len(read_samples(path)) == 2000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": (IMAGES * 255).astype(np.uint8)}, "not uint8: divide by 255"),
        ({"images": IMAGES > 0}, "images must be float32 in .*not bool"),
        ({"images": IMAGES + 0j}, "not complex"),
        (
            {"images": IMAGES.reshape(3, 20)},
            r"\[n, h, w, 3\], not \[3, 20\]",
        ),
        (
            {"images": IMAGES[:, None].repeat(3, 1)},
            r"must be \[n, h, w\] .*\[3, 3, 4, 5\]",
        ),
        ({"images": np.float32(1)}, r"must be \[n, h, w\] or .*, not \[\]"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "no images"),
        ({"images": IMAGES[:, :0]}, "no images"),
        ({"images": IMAGES.transpose(0, 2, 1)}, "images are 5 x 4 pixels, 4 x 5 are needed"),
        ({"images": np.where(IMAGES == 1, np.nan, IMAGES)}, "1 of 3 images .* not finite"),
        ({"images": np.where(IMAGES == 1, np.inf, IMAGES)}, "not finite"),
        ({"images": IMAGES * 2 - 1}, r"in \[0, 1\], but go from -1 to 1"),
        ({"images": IMAGES * np.float32(1.00001)}, "go from 0 to 1.00001"),
        ({"images": IMAGES.astype(np.float64) * 1e300}, "go from 0 to 1e"),
        ({"labels": LABELS.astype(float)}, "labels must be int64, not float64"),
        ({"labels": LABELS.astype(str)}, "labels must be int64"),
        ({"labels": LABELS[:, None]}, r"labels must be \[n\]"),
        ({"labels": LABELS[:2]}, "3 images but 2 labels"),
        ({"labels": -LABELS}, "at least 0, but one is -9"),
        ({"labels": LABELS + 1}, "less than 10, but one is 10"),
        ({"labels": np.full(3, 2**64 - 1, np.uint64)}, "one is 18446744073709551615"),
    ],
)
def test_wrong_arrays(changes: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", **{"images": IMAGES, "labels": LABELS, **changes})
    with pytest.raises(InputError, match=message) as caught:
        read_samples(path, shape=(4, 5), classes=10)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_label_no_integer_of_ours_can_hold() -> None:
    with pytest.raises(InputError, match="too large"):
        check(IMAGES, np.full(3, 2**64 - 1, np.uint64))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (np.array("{"), "not valid JSON"),
        (np.array("[" * 100_000), "not valid JSON"),
        (np.array('{"seed": NaN}'), "NaN is no number"),
        (np.array("[1]"), "must be a JSON object, not list"),
        (np.array(["{}"]), "one JSON text"),
        (np.array(3), "one JSON text"),
    ],
)
def test_wrong_meta(meta: np.ndarray, message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES, labels=LABELS, meta=meta)
    with pytest.raises(InputError, match=message):
        read_samples(path)


@pytest.mark.parametrize("missing", ["images", "labels"])
def test_missing_arrays(missing: str, tmp_path: Path) -> None:
    arrays = {"images": IMAGES, "labels": LABELS}
    del arrays[missing]
    with pytest.raises(InputError, match=f"no array '{missing}'"):
        read_samples(save(tmp_path / "a.npz", **arrays))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    objects = np.array([Trap()], dtype=object)
    path = save(tmp_path / "a.npz", images=IMAGES, labels=LABELS, meta=objects)
    with pytest.raises(InputError, match="Python objects"):
        read_samples(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("(1000000, 1000000, 1000000)"), "declares the shape"),
        (npy("(-3, -4, 5)", body=bytes(240)), "cannot be read as"),
        (npy("(3, 4, 5)", body=bytes(239)), "declares the shape"),
        (npy("(3, 4, 5)", body=bytes(241)), "declares the shape"),
        (npy("(3, 4, 5", body=bytes(240)), "cannot be read as"),
        (npy("(3, 4, '5')", body=bytes(240)), "cannot be read as"),
        (npy("(3, 4, 5)", descr="'<q9'", body=bytes(240)), "cannot be read as"),
        (npy("(3, 4, 5)", descr="'|O'", body=bytes(480)), "Python objects"),
        (npy("(" * 5000), "cannot be read as"),
        (b"\x93NUMPY\x09\x00" + bytes(50), "version"),
        (b"text", "cannot be read as"),
        (b"", "cannot be read as"),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_wrong_headers(content: bytes, message: str, method: int, tmp_path: Path) -> None:
    path = with_member(tmp_path / "a.npz", "images.npy", content, method)
    with pytest.raises(InputError, match=message):
        read_samples(path)
    assert read_or_refuse(path) is None


def test_a_size_that_the_file_cannot_hold(tmp_path: Path) -> None:
    path = with_member(tmp_path / "a.npz", "images.npy", npy("(10000, 1000, 1000)"))
    content = path.read_bytes()
    size = len(npy("(10000, 1000, 1000)"))
    declared = (size + 40_000_000).to_bytes(4, "little")
    path.write_bytes(
        content.replace(size.to_bytes(4, "little") * 2, size.to_bytes(4, "little") + declared)
    )
    with pytest.raises(InputError, match="larger than the file can hold"):
        read_samples(path)


def test_not_a_zip(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    for content in ((tmp_path / "a.npy").read_bytes(), b"", b"PK\x03\x04", b"{}"):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(InputError, match=r"not a whole \.npz file"):
            read_samples(tmp_path / "a")
    with pytest.raises(InputError, match="not found"):
        read_samples(tmp_path / "none.npz")
    with pytest.raises(InputError, match="cannot read"):
        read_samples(tmp_path)


@pytest.mark.parametrize("save_as", [np.savez, np.savez_compressed])
def test_every_truncation_is_refused(save_as: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_as(path, images=IMAGES[:1], labels=LABELS[:1])
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert read_or_refuse(path) is None


@in_tmp
@given(
    compressed=st.booleans(),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1),
)
def test_flipped_bytes_are_refused_or_harmless(
    compressed: bool, flips: list[tuple[float, int]], tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    for where, flip in flips:
        content[int(where * len(content))] ^= flip
    path.write_bytes(content)
    if (read := read_or_refuse(path)) is not None:
        np.testing.assert_array_equal(read.images, IMAGES)
        np.testing.assert_array_equal(read.labels, LABELS)


def test_bad_samples_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="samples to write: images must lie"):
        write_samples(tmp_path / "a.npz", Samples(IMAGES + 1, LABELS))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot write"):
        write_samples(tmp_path / "file" / "a.npz", Samples(IMAGES, LABELS))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("value", [np.int64(1), float("nan")])
def test_meta_that_is_no_json(value: Any, tmp_path: Path) -> None:
    samples = Samples(np.zeros((1, 2, 2), np.float32), np.zeros(1, np.int64), {"n": value})
    with pytest.raises(InputError, match="meta must be plain JSON values"):
        write_samples(tmp_path / "x.npz", samples)
    with pytest.raises(InputError, match="meta must be plain JSON values"):
        samples.to_folder(tmp_path / "x")
    assert not list(tmp_path.iterdir())
