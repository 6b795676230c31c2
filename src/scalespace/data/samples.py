"""The samples file: images, labels and where they came from, in one `.npz` that anyone can write.

It holds `images` (float32 [n, h, w] in [0, 1], or [n, h, w, 3] in colour), `labels` (int64 [n])
and `meta` (a JSON object as text). Whatever another program put there is checked before it is used,
and nothing in it is ever executed: no pickles.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from scalespace.data.idx import DEFLATE_LIMIT
from scalespace.data.info import ROUNDING
from scalespace.data.pixels import COLOURS
from scalespace.data.pngs import to_pil, write_folder
from scalespace.errors import InputError, one_line
from scalespace.files import parse_json, read_bytes, write_arrays

META = "meta"
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Samples:
    """Labelled images on their way from a method to a score.

    Args:
        images: float32 [n, h, w] in [0, 1], or [n, h, w, 3] in colour.
        labels: int64 [n], from 0.
        meta: what made them, such as method, model hash, seed, sampler, network calls.
    """

    images: np.ndarray
    labels: np.ndarray
    meta: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def conditional(self) -> bool:
        """Whether the images were made for their labels; unless `meta` denies it, they were."""
        return self.meta.get("conditional") is not False

    def pil(self) -> list[Image.Image]:
        """The images as Pillow's, 8 bits a channel."""
        return to_pil(self.images)

    def to_folder(self, folder: Path | str) -> Path:
        """Writes PNG files, a folder a class; see `data/pngs.py`.

        Raises:
            InputError: the folder is there already, or cannot be written, or the meta is no JSON.
        """
        good = check(self.images, self.labels, self.meta, where="samples to write")
        _meta_text(good.meta)
        return write_folder(good.images, good.labels, good.meta, folder)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.images.shape[1:3]))
        made_by = f" by {self.meta['method']}" if "method" in self.meta else ""
        return f"<{len(self)} samples of {size} pixels{made_by}>"


def check(
    images: np.ndarray,
    labels: np.ndarray,
    meta: dict[str, Any] | None = None,
    *,
    shape: tuple[int, ...] | None = None,
    classes: int | None = None,
    where: Path | str = "samples",
) -> Samples:
    """Makes `Samples` of arrays that may have come from anywhere.

    Args:
        images: floats [n, h, w], [n, 1, h, w] or [n, h, w, 3] in [0, 1]; values out of it by no
            more than rounding are clipped.
        labels: integers [n], at least 0.
        meta: a JSON object.
        shape: the required height and width, and 3 for colours, if any.
        classes: the number that labels must be less than, if any.
        where: what to call the arrays in a message, such as the path of their file.

    Raises:
        InputError: the arrays are anything else.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    return Samples(
        _checked_images(images, shape, where),
        _checked_labels(labels, len(images) if images.ndim else 0, classes, where),
        dict(meta or {}),
    )


def write_samples(path: Path | str, samples: Samples) -> None:
    """Writes `samples` to `path`, whole or not at all; equal samples give equal bytes.

    Raises:
        InputError: the samples are not what a reader would accept, or the file system refuses.
    """
    good = check(samples.images, samples.labels, samples.meta, where="samples to write")
    meta = np.array(_meta_text(good.meta))
    write_arrays(path, {"images": good.images, "labels": good.labels, "meta": meta})


def _meta_text(meta: dict[str, Any]) -> str:
    """The JSON of a meta; `InputError` if it has values that a reader would refuse, as NaN."""
    try:
        return json.dumps(meta, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"samples to write: meta must be plain JSON values: {error}") from error


def read_samples(
    path: Path | str, shape: tuple[int, ...] | None = None, classes: int | None = None
) -> Samples:
    """Reads and checks a samples file, whoever wrote it; a missing `meta` becomes `{}`.

    Args:
        path: the `.npz` file.
        shape, classes: as for `check`.

    Raises:
        InputError: the file is absent, damaged, or holds anything but good samples.
    """
    arrays = read_arrays(path)
    for name in ("images", "labels"):
        if name not in arrays:
            raise InputError(f"{path} has no array '{name}': is it a samples file?")
    meta = meta_of(arrays[META], path) if META in arrays else {}
    return check(arrays["images"], arrays["labels"], meta, shape=shape, classes=classes, where=path)


def _checked_images(
    images: np.ndarray, shape: tuple[int, ...] | None, where: Path | str
) -> np.ndarray:
    if images.dtype.kind != "f":
        hint = ": divide by 255 and store float32" if images.dtype == np.uint8 else ""
        raise InputError(f"{where}: images must be float32 in [0, 1], not {images.dtype}{hint}")
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim != 3 and (images.ndim != 4 or images.shape[3] != COLOURS):
        raise InputError(
            f"{where}: images must be [n, h, w] or [n, h, w, {COLOURS}], not {list(images.shape)}"
        )
    if images.size == 0:
        raise InputError(f"{where}: there are no images (shape {list(images.shape)})")
    if shape is not None and images.shape[1:] != tuple(shape):
        if len(shape) != images.ndim - 1:
            found, wanted = ("coloured", "grey")[:: 1 if images.ndim == 4 else -1]
            raise InputError(f"{where}: images are {found}, {wanted} ones are needed")
        found, wanted = (" x ".join(map(str, size[:2])) for size in (images.shape[1:], shape))
        raise InputError(f"{where}: images are {found} pixels, {wanted} are needed")
    low, high = float(images.min()), float(images.max())
    # min and max are NaN if any value is.
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = np.count_nonzero(~np.isfinite(images.reshape(len(images), -1)).all(axis=1))
        raise InputError(f"{where}: {bad} of {len(images)} images have values that are not finite")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(f"{where}: images must lie in [0, 1], but go from {low:.7g} to {high:.7g}")
    return np.ascontiguousarray(np.clip(images, 0, 1), dtype=np.float32)


def _checked_labels(
    labels: np.ndarray, n: int, classes: int | None, where: Path | str
) -> np.ndarray:
    if labels.dtype.kind not in "iu":
        raise InputError(f"{where}: labels must be int64, not {labels.dtype}")
    if labels.ndim != 1:
        raise InputError(f"{where}: labels must be [n], not {list(labels.shape)}")
    if len(labels) != n:
        raise InputError(f"{where}: there are {n} images but {len(labels)} labels")
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise InputError(f"{where}: labels must be at least 0, but one is {low}")
    if classes is not None and high >= classes:
        raise InputError(f"{where}: labels must be less than {classes}, but one is {high}")
    if high > np.iinfo(np.int64).max:
        raise InputError(f"{where}: label {high} is too large")
    return np.ascontiguousarray(labels, dtype=np.int64)


def meta_of(array: np.ndarray, path: Path | str) -> dict[str, Any]:
    """The JSON object in the text `array`."""
    if array.dtype.kind != "U" or array.ndim != 0:
        raise InputError(f"{path}: meta must be one JSON text, not {array.dtype} {array.shape}")
    try:
        meta = parse_json(str(array), finite=True)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: meta is not valid JSON: {error}") from error
    if not isinstance(meta, dict):
        raise InputError(f"{path}: meta must be a JSON object, not {type(meta).__name__}")
    return meta


def read_arrays(
    path: Path | str, names: Sequence[str] = ("images", "labels", META)
) -> dict[str, np.ndarray]:
    """Those of the named arrays that are in the zip at `path`; `InputError` if it is damaged."""
    content = read_bytes(path, "samples file")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            present = set(archive.namelist())
            return {
                name: _read_array(archive, f"{name}.npy", len(content))
                for name in names
                if f"{name}.npy" in present
            }
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is not a whole .npz file: {error}") from error
    # Damaged bytes make the parsers of zip, deflate and npy raise errors of any kind.
    except Exception as error:
        raise InputError(f"{path} cannot be read as .npz: {one_line(error)}") from error


def _read_array(archive: zipfile.ZipFile, member: str, archive_size: int) -> np.ndarray:
    """The array in one member of the zip; its declared size must fit what is really there.

    Raises:
        ValueError: it does not, or it holds Python objects; and whatever the parsers raise.
    """
    info = archive.getinfo(member)
    if info.compress_size > archive_size or info.file_size > info.compress_size * DEFLATE_LIMIT:
        raise ValueError(f"{member} is larger than the file can hold")
    with archive.open(info) as stream:
        shape, dtype, header_size = _npy_header(stream, member)
        if math.prod(shape) * dtype.itemsize + header_size != info.file_size:
            raise ValueError(
                f"{member} declares the shape {list(shape)}, "
                f"which does not fit its {info.file_size} bytes"
            )
    with archive.open(info) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        # Reading past the end makes the zip compare its checksum.
        stream.read(1)
    return array


def _npy_header(stream: IO[bytes], member: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and size in bytes of the header that `stream` starts with."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADER_READERS:
        raise ValueError(f"{member} is in the npy version {version}, which samples never need")
    shape, _, dtype = _HEADER_READERS[version](stream)
    if dtype.hasobject:
        raise ValueError(f"{member} holds Python objects, which are never read: store numbers")
    return shape, dtype, stream.tell()
