"""The data sets by name: what their files are called, where they come from, how they are checked.

The checksums of MNIST, Fashion-MNIST and the digits are of the unpacked content; for the others
only the md5 of the packed files is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from scalespace.data.download import Checksum
from scalespace.data.info import DataInfo
from scalespace.errors import unknown

Part = Literal["train", "test"]
Kind = Literal["images", "labels"]
PARTS: tuple[Part, ...] = get_args(Part)
KINDS: tuple[Kind, ...] = get_args(Kind)


SIDE = 28
"""Pixels along each side of an image, in every data set here."""


@dataclass(frozen=True)
class Source:
    """One data set: four IDX files, of images and labels, to train on and to test on.

    Args:
        name: what a user calls it.
        folder: its folder within a root, torchvision's name; empty for embedded data.
        files: (part, kind) to file name, without `.gz`.
        classes: the names of its classes, in the order of their labels.
        mirrors: addresses of folders that hold the gzipped files, tried in turn.
        checksums: file name to the checksums of its official content.
        archive: the address of one zip that holds the files instead, under `gzip/`.
        archive_checksum: of that zip.
        transposed: whether the files store each image with rows and columns swapped.
        first_label: the label of the first class in the files; 0 after loading.
    """

    name: str
    folder: str
    files: Mapping[tuple[Part, Kind], str]
    classes: tuple[str, ...]
    mirrors: tuple[str, ...] = ()
    checksums: Mapping[str, Checksum] = field(default_factory=dict)
    archive: str = ""
    archive_checksum: Checksum = field(default_factory=Checksum)
    transposed: bool = False
    first_label: int = 0

    @property
    def nominal(self) -> DataInfo:
        """Classes and size, as of all of them; mean and deviation are unknown without a look."""
        return DataInfo(self.name, self.classes, SIDE, SIDE, 0.0, 1.0)


def _names(pattern: str, test: str = "test") -> dict[tuple[Part, Kind], str]:
    """File names by part and kind, from a `pattern` of part, kind and rank."""
    return {
        (part, kind): pattern.format(part=part if part == "train" else test, kind=kind, rank=rank)
        for part in PARTS
        for kind, rank in zip(KINDS, (3, 1), strict=True)
    }


_UBYTE = "{part}-{kind}-idx{rank}-ubyte"
_MNIST_FILES = _names(_UBYTE, test="t10k")


def _checksums(
    files: Mapping[tuple[Part, Kind], str], sha256: str = "", gz_md5: str = ""
) -> dict[str, Checksum]:
    """Checksums listed in the order train images, train labels, test images, test labels."""
    sha256s, md5s = sha256.split() or [""] * 4, gz_md5.split() or [""] * 4
    pairs = zip(files.values(), sha256s, md5s, strict=True)
    return {file: Checksum(sha256, md5) for file, sha256, md5 in pairs}


_DIGITS = tuple("0123456789")
_UPPER = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = tuple("abcdefghijklmnopqrstuvwxyz")
# Where the two cases of a letter look alike, EMNIST has one class for both, named in upper case.
_MERGED = (*_DIGITS, *_UPPER, *"abdefghnqrt")


def _emnist(split: str, classes: tuple[str, ...], first_label: int = 0) -> Source:
    return Source(
        name=f"emnist-{split}",
        folder="EMNIST",
        files=_names(f"emnist-{split}-{_UBYTE}"),
        classes=classes,
        archive="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        archive_checksum=Checksum(md5="58c8d27c78d21e728a6bc7b3cc06412e"),
        transposed=True,
        first_label=first_label,
    )


_SOURCES = (
    Source(
        name="digits",
        folder="",
        files=_names(f"digits-{_UBYTE}"),
        classes=_DIGITS,
        checksums=_checksums(
            _names(f"digits-{_UBYTE}"),
            sha256="""
            b800adb0a98d445abd439b254321f4bdd5c4971f081670594ab6bf1245f7e5a5
            6089d964f1fd079a2bd41924a0b542057a340372100a3d1270b9b13d4420a44c
            e9bb859a74e603e88ce3d1006dc117e30f7af4000a6b650a6fcb88e3ed238d0e
            6d34631b74366b827f430de044cd65940311c855b0d2ba4d8ba83f48770969e5
            """,
        ),
    ),
    Source(
        name="mnist",
        folder="MNIST",
        files=_MNIST_FILES,
        classes=_DIGITS,
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        checksums=_checksums(
            _MNIST_FILES,
            sha256="""
            ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
            65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
            0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
            ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
            """,
        ),
    ),
    Source(
        name="fashion-mnist",
        folder="FashionMNIST",
        files=_MNIST_FILES,
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        checksums=_checksums(
            _MNIST_FILES,
            sha256="""
            c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
            bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
            5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
            0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
            """,
            gz_md5="""
            8d4fb7e6c68d591d4c3dfef9ec88bf0d 25c81989df183df01b3e8a0aad5dffbe
            bef4ecab320f06d8554ea6380940ec79 bb300cfdad3c16e7a12a480ee83cd310
            """,
        ),
    ),
    Source(
        name="kmnist",
        folder="KMNIST",
        files=_MNIST_FILES,
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        checksums=_checksums(
            _MNIST_FILES,
            gz_md5="""
            bdb82020997e1d708af4cf47b453dcf7 e144d726b3acfaa3e44228e80efcd344
            5c965bf0a639b31b8f53240b1b52f4d7 7320c461ea6c1c855c0b718fb2a4b134
            """,
        ),
    ),
    _emnist("letters", _UPPER, first_label=1),
    _emnist("balanced", _MERGED),
    _emnist("bymerge", _MERGED),
    _emnist("byclass", (*_DIGITS, *_UPPER, *_LOWER)),
    _emnist("digits", _DIGITS),
    _emnist("mnist", _DIGITS),
)

DATASETS: dict[str, Source] = {source.name: source for source in _SOURCES}


def source_of(name: str) -> Source:
    """The `Source` called `name`; `InputError` with the nearest name if there is none."""
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    return DATASETS[name]
