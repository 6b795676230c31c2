from __future__ import annotations

import gzip
import hashlib
import socket
import threading
import urllib.error
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch.hub

from scalespace.data import catalog, download, sources
from scalespace.data.catalog import DATASETS, Source
from scalespace.data.download import Checksum
from scalespace.data.idx import read_idx, write_idx
from scalespace.data.images import load
from scalespace.data.sources import data_root, fetch, has_own_files, is_official, load_raw
from scalespace.errors import InputError

Arrays = dict[tuple[catalog.Part, catalog.Kind], np.ndarray]


def arrays(n: int = 20, classes: int = 10, first: int = 0, side: int = 8) -> Arrays:
    """A small data set; its images tell rows from columns."""
    rng = np.random.default_rng(1)
    made: Arrays = {}
    for part in catalog.PARTS:
        made[part, "images"] = rng.integers(0, 256, (n, side, side + 1), dtype=np.uint8)
        made[part, "labels"] = (np.arange(n) % classes + first).astype(np.uint8)
    return made


def put(folder: Path, name: str, content: Arrays, suffix: str = ".gz") -> None:
    for key, array in content.items():
        write_idx(folder / f"{DATASETS[name].files[key]}{suffix}", array)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reaches the outside, or the user's own folders."""

    def refuse(url: str, target: str) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.delenv("SCALESPACE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Mirrors:
    """Pretends to be the network: serves the bytes in `content`, and notes what was asked."""

    def __init__(self) -> None:
        self.content: dict[str, bytes | Exception] = {}
        self.asked: list[str] = []

    def __call__(self, url: str, target: str) -> None:
        self.asked.append(url)
        answer = self.content.get(url, urllib.error.HTTPError(url, 404, "Not Found", None, None))  # type: ignore[arg-type]
        if isinstance(answer, Exception):
            Path(target).write_bytes(b"half")
            raise answer
        Path(target).write_bytes(answer)


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Mirrors:
    made = Mirrors()
    monkeypatch.setattr(torch.hub, "download_url_to_file", made)
    return made


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, mirrors: Mirrors) -> Source:
    """A data set with known checksums, on the second of two mirrors."""
    files = DATASETS["mnist"].files
    checksums = {}
    for key, array in arrays().items():
        packed, plain = packed_idx(array)
        mirrors.content[f"http://b/{files[key]}.gz"] = packed
        checksums[files[key]] = Checksum(sha256=hashlib.sha256(plain).hexdigest())
    source = Source("toy", "Toy", files, tuple("0123456789"), ("http://a/", "http://b/"), checksums)
    monkeypatch.setitem(DATASETS, "toy", source)
    return source


def packed_idx(array: np.ndarray) -> tuple[bytes, bytes]:
    sizes = np.array(array.shape, ">u4").tobytes()
    plain = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
    return gzip.compress(plain, mtime=0), plain


def everything(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*"))


# Finding files


@pytest.mark.parametrize("layout", ["MNIST/raw", "MNIST", "raw", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_layouts(layout: str, suffix: str, tmp_path: Path) -> None:
    content = arrays()
    put(tmp_path / layout, "mnist", content, suffix)
    assert fetch("mnist", tmp_path) == tmp_path / layout
    for part in catalog.PARTS:
        images, labels = load_raw("mnist", part, tmp_path)
        np.testing.assert_array_equal(images, content[part, "images"])
        np.testing.assert_array_equal(labels, content[part, "labels"])
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


def test_argument_before_environment_before_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data_root() == tmp_path / "cache" / "scalespace"
    monkeypatch.setenv("SCALESPACE_DATA", str(tmp_path / "env"))
    assert data_root() == tmp_path / "env"
    assert data_root(tmp_path / "arg") == tmp_path / "arg"
    monkeypatch.setenv("SCALESPACE_DATA", "")
    assert data_root() == tmp_path / "cache" / "scalespace"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root("~/here") == tmp_path / "here"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == tmp_path / ".cache" / "scalespace"


def test_unknown_names_suggest_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"unknown data set 'fashion'.*did you mean 'fashion-mnist'"
    ):
        fetch("fashion", tmp_path)
    with pytest.raises(InputError, match="unknown part 'validation'"):
        load_raw("digits", "validation")  # type: ignore[arg-type]


# What a data set means


def test_emnist_is_turned_upright_and_counted_from_zero(tmp_path: Path) -> None:
    upright = np.zeros((2, 6, 5), np.uint8)
    upright[:, :, 0] = 255  # an L: a stroke down the left
    upright[:, 5, :] = 255  # and one along the bottom
    content = arrays(n=2)
    for part in catalog.PARTS:
        content[part, "images"] = upright.transpose(0, 2, 1).copy()
        content[part, "labels"] = np.array([12, 1], np.uint8)
    put(tmp_path, "emnist-letters", content)
    images, labels = load_raw("emnist-letters", "test", tmp_path)
    np.testing.assert_array_equal(images, upright)
    assert labels.tolist() == [11, 0]
    assert DATASETS["emnist-letters"].classes[labels[0]] == "L"


def test_catalogue_is_complete() -> None:
    counts = {name: len(source.classes) for name, source in DATASETS.items()}
    assert counts == {
        "digits": 10,
        "mnist": 10,
        "fashion-mnist": 10,
        "kmnist": 10,
        "emnist-letters": 26,
        "emnist-balanced": 47,
        "emnist-bymerge": 47,
        "emnist-byclass": 62,
        "emnist-digits": 10,
        "emnist-mnist": 10,
    }
    for source in DATASETS.values():
        assert len(set(source.files.values())) == 4
        assert len(set(source.classes)) == len(source.classes)
        for checksum in source.checksums.values():
            assert len(checksum.sha256) in (0, 64)
            assert len(checksum.md5) in (0, 32)


def test_torchvision_names() -> None:
    assert DATASETS["mnist"].files["test", "labels"] == "t10k-labels-idx1-ubyte"
    name = DATASETS["emnist-balanced"].files["train", "images"]
    assert name == "emnist-balanced-train-images-idx3-ubyte"


# The embedded digits


def test_embedded_digits(tmp_path: Path) -> None:
    train, train_labels = load_raw("digits", "train")
    test, test_labels = load_raw("digits", "test")
    assert train.shape == (4000, 28, 28)
    assert test.shape == (1000, 28, 28)
    assert np.bincount(train_labels).tolist() == [400] * 10
    assert np.bincount(test_labels).tolist() == [100] * 10
    seen = {image.tobytes() for image in np.concatenate([train, test])}
    assert len(seen) == 5000, "an image occurs twice"
    # Sorted parts would make a small batch see one class only.
    assert len(np.unique(train_labels[:100])) == 10
    for images in (train, test):
        assert 0.12 < images.mean() / 255 < 0.14
        assert 0.30 < images.std() / 255 < 0.32
    assert is_official("digits") is True
    assert (sources.EMBEDDED / "NOTICE").is_file()
    assert everything(tmp_path) == []


# What is refused


def bad(**changes: np.ndarray) -> Arrays:
    content = arrays()
    for key, array in changes.items():
        part, kind = key.split("_")
        content[part, kind] = array  # type: ignore[index]
    return content


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("train", bad(train_labels=np.zeros(19, np.uint8)), "20 images, but .* 19 labels"),
        (
            "train",
            bad(train_labels=np.full(20, 10, np.uint8)),
            "label 10: labels of mnist run from 0 to 9",
        ),
        ("train", bad(train_labels=np.full(20, -1, np.int8)), "label -1"),
        ("train", bad(train_labels=np.zeros((20, 1), np.uint8)), r"integer labels \[n\]"),
        ("train", bad(train_labels=np.zeros(20, np.float32)), r"integer labels \[n\], not float32"),
        ("test", bad(train_labels=np.zeros(20, np.uint8)), "label 1, which no training image has"),
        ("train", bad(train_labels=np.zeros(1, np.uint8)), "one label only"),
        ("test", bad(test_images=np.zeros((20, 64), np.uint8)), "8-bit images"),
        ("test", bad(test_images=np.zeros((20, 8, 9), np.float32)), "not float32"),
        ("test", bad(test_images=np.zeros((20, 3, 9), np.uint8)), "at least 4 x 4"),
        ("test", bad(test_images=np.zeros((20, 9, 8), np.uint8)), "differ in image size"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    part: catalog.Part, content: Arrays, message: str, tmp_path: Path
) -> None:
    put(tmp_path, "mnist", content)
    with pytest.raises(InputError, match=message):
        load_raw("mnist", part, tmp_path)


def test_label_below_the_first_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "emnist-letters", arrays())
    with pytest.raises(InputError, match="label 0: labels of emnist-letters run from 1 to 26"):
        load_raw("emnist-letters", "train", tmp_path)


def test_damaged_test_images_do_not_stop_training(tmp_path: Path) -> None:
    put(tmp_path, "mnist", arrays(), suffix="")
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    load_raw("mnist", "train", tmp_path)
    with pytest.raises(InputError, match="damaged"):
        load_raw("mnist", "test", tmp_path)


def test_files_of_another_data_set_are_refused(tmp_path: Path, toy: Source) -> None:
    put(tmp_path, "mnist", arrays())
    with pytest.raises(InputError, match="belongs to toy, not to mnist"):
        load_raw("mnist", "train", tmp_path)
    load_raw("toy", "train", tmp_path)


# Downloads


def test_mirrors_are_tried_in_turn(toy: Source, mirrors: Mirrors, tmp_path: Path) -> None:
    folder = fetch("toy", tmp_path)
    assert folder == tmp_path / "Toy" / "raw"
    assert mirrors.asked[:2] == [f"http://{m}/train-images-idx3-ubyte.gz" for m in "ab"]
    assert everything(folder) == sorted(f"{file}.gz" for file in toy.files.values())
    np.testing.assert_array_equal(load_raw("toy", "test", tmp_path)[0], arrays()["test", "images"])
    assert is_official("toy", tmp_path) is True
    asked = len(mirrors.asked)
    fetch("toy", tmp_path)
    assert len(mirrors.asked) == asked, "asked again for what is there"


@pytest.mark.parametrize(
    "answer",
    [
        packed_idx(np.ones((20, 8, 9), np.uint8))[0],
        packed_idx(arrays()["train", "images"])[0][:-9],
        b"<html>log in to this network</html>",
        b"",
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
        ValueError("invalid literal"),
    ],
    ids=["other", "short", "html", "empty", "silent", "reset", "nonsense"],
)
def test_a_bad_mirror_is_passed_over(
    answer: bytes | Exception, toy: Source, mirrors: Mirrors, tmp_path: Path
) -> None:
    mirrors.content["http://a/train-images-idx3-ubyte.gz"] = answer
    fetch("toy", tmp_path)
    assert is_official("toy", tmp_path) is True


def test_if_all_mirrors_fail_one_line_lists_them_and_nothing_stays(
    toy: Source, mirrors: Mirrors, tmp_path: Path
) -> None:
    mirrors.content = {"http://b/train-images-idx3-ubyte.gz": b"not it"}
    with pytest.raises(InputError) as caught:
        fetch("toy", tmp_path / "new")
    message = str(caught.value)
    assert "\n" not in message
    assert f"toy is not in {tmp_path / 'new'}" in message
    assert "http://a/train-images-idx3-ubyte.gz: answered 404 Not Found" in message
    assert "http://b/train-images-idx3-ubyte.gz: sent a file with the wrong checksum" in message
    assert "--data-dir" in message
    assert everything(tmp_path) == []


def test_no_network(tmp_path: Path) -> None:
    for name, source in DATASETS.items():
        if name == "digits":
            continue
        with pytest.raises(InputError, match="Name or service not known") as caught:
            fetch(name, tmp_path)
        assert "\n" not in str(caught.value)
        for mirror in source.mirrors or [source.archive]:
            assert mirror in str(caught.value)
    assert everything(tmp_path) == []


def test_a_full_disk_is_not_blamed_on_the_mirror(
    toy: Source, mirrors: Mirrors, tmp_path: Path
) -> None:
    mirrors.content["http://a/train-images-idx3-ubyte.gz"] = OSError(28, "No space left on device")
    with pytest.raises(InputError, match=r"cannot write .*: No space left on device"):
        fetch("toy", tmp_path)
    assert len(mirrors.asked) == 1
    assert everything(tmp_path) == []


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot write"):
        fetch("mnist", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interrupted_download_goes_on(toy: Source, mirrors: Mirrors, tmp_path: Path) -> None:
    last = "http://b/t10k-labels-idx1-ubyte.gz"
    kept = mirrors.content.pop(last)
    with pytest.raises(InputError, match="404"):
        fetch("toy", tmp_path)
    assert len(list((tmp_path / "Toy" / "raw").iterdir())) == 3
    mirrors.content[last] = kept
    mirrors.asked.clear()
    fetch("toy", tmp_path)
    assert mirrors.asked == [last.replace("b/", "a/"), last]


def test_own_files_are_never_mixed_with_downloads(
    toy: Source, mirrors: Mirrors, tmp_path: Path
) -> None:
    own = np.zeros((2, 8, 9), np.uint8)
    write_idx(tmp_path / "Toy" / "raw" / "train-images-idx3-ubyte.gz", own)
    with pytest.raises(InputError, match="but not train-labels-idx1-ubyte: add what is missing"):
        fetch("toy", tmp_path)
    assert mirrors.asked == []
    assert everything(tmp_path / "Toy" / "raw") == ["train-images-idx3-ubyte.gz"]


@pytest.mark.parametrize("layout", ["Toy", "raw", "."])
def test_own_files_in_any_layout_keep_downloads_away(
    layout: str, toy: Source, mirrors: Mirrors, tmp_path: Path
) -> None:
    """Half a data set is told of, and not passed over for a whole one from elsewhere."""
    own = np.zeros((2, 8, 9), np.uint8)
    write_idx(tmp_path / layout / "train-images-idx3-ubyte", own)
    with pytest.raises(InputError, match="but not train-labels-idx1-ubyte: add what is missing"):
        fetch("toy", tmp_path)
    assert mirrors.asked == []


def test_two_places_with_files_are_told_apart_by_the_user(toy: Source, tmp_path: Path) -> None:
    put(tmp_path / "Toy" / "raw", "mnist", arrays())
    own = arrays()
    own["train", "labels"][:2] = own["train", "labels"][1::-1]
    put(tmp_path, "mnist", own)
    with pytest.raises(InputError, match=r"two folders have files of toy, .*raw and .*--data-dir"):
        fetch("toy", tmp_path)
    assert fetch("toy", tmp_path / "Toy") == tmp_path / "Toy" / "raw"


def test_published_files_of_a_data_set_beside_it_do_not_count(toy: Source, tmp_path: Path) -> None:
    """MNIST's kin share their file names: one of them may lie flat in the root of another."""
    put(tmp_path, "mnist", arrays())  # toy's own, by their checksums
    own = arrays(classes=9)
    put(tmp_path / "KMNIST" / "raw", "mnist", own)
    assert fetch("kmnist", tmp_path) == tmp_path / "KMNIST" / "raw"


def test_no_folder_is_taken_for_data_that_come_with_the_package(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"digits comes with the package.*--data-dir.*--data"):
        load_raw("digits", "train", tmp_path)


def test_own_files_do_not_pass_for_published_ones(toy: Source, tmp_path: Path) -> None:
    put(tmp_path / "Toy", "mnist", arrays())
    assert not has_own_files("toy", tmp_path)
    changed = arrays()
    changed["test", "images"][0, 0, 0] ^= 1
    put(tmp_path / "Toy", "mnist", changed)
    assert not has_own_files("toy", tmp_path)  # it is told of the training part
    changed["train", "images"][0, 0, 0] ^= 1
    put(tmp_path / "Toy", "mnist", changed)
    assert has_own_files("toy", tmp_path)
    assert load("toy", tmp_path).info.title == "toy (own files)"
    put(tmp_path / "other", "kmnist", arrays(n=30))
    assert not has_own_files("kmnist", tmp_path / "other")  # nobody can tell


def test_a_class_between_others_that_only_the_test_part_has(tmp_path: Path) -> None:
    content = arrays()
    content["train", "labels"] = np.array([4, 9] * 10, np.uint8)
    content["test", "labels"] = np.array([4, 9] * 10, np.uint8)
    put(tmp_path, "mnist", content)
    assert load("mnist", tmp_path).info.labels == (4, 9)
    content["test", "labels"][0] = 3
    put(tmp_path, "mnist", content)
    with pytest.raises(InputError, match="has the label 3, which no training image has"):
        load_raw("mnist", "test", tmp_path)


def test_the_socket_timeout_is_set_and_put_back(
    toy: Source, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    during = []

    def note(url: str, target: str) -> None:
        during.append(socket.getdefaulttimeout())
        mirrors(url, target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", note)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(7.0)
    try:
        fetch("toy", tmp_path)
        assert set(during) == {download.TIMEOUT}
        assert socket.getdefaulttimeout() == 7.0
    finally:
        socket.setdefaulttimeout(before)


class _Stalling(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"some")
        self.wfile.flush()
        self.server.done.wait(5)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stalling() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Stalling)
    server.done = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.done.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mirror_that_stalls(
    stalling: str, toy: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()  # the real download function
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(DATASETS, "toy", replace(toy, mirrors=(stalling,)))
    with pytest.raises(InputError, match=r"silent for 0.2 s; pass --data-dir"):
        fetch("toy", tmp_path)
    assert everything(tmp_path) == []


# EMNIST's one zip


@pytest.fixture
def emnist(monkeypatch: pytest.MonkeyPatch, mirrors: Mirrors, tmp_path: Path) -> bytes:
    """A zip with the files of emnist-letters, expected under the address of the real one."""
    source = DATASETS["emnist-letters"]
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as made:
        for key, array in arrays(classes=12, first=1).items():
            made.writestr(f"gzip/{source.files[key]}.gz", packed_idx(array)[0])
        made.writestr("gzip/unneeded.txt", "not to be unpacked")
    content = path.read_bytes()
    path.unlink()
    mirrors.content[source.archive] = content
    checksum = Checksum(md5=hashlib.md5(content).hexdigest())
    for name in ("emnist-letters", "emnist-digits"):
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], archive_checksum=checksum))
    return content


def test_emnist_takes_its_four_files_from_the_zip(
    emnist: bytes, mirrors: Mirrors, tmp_path: Path
) -> None:
    folder = fetch("emnist-letters", tmp_path)
    assert folder == tmp_path / "EMNIST" / "raw"
    files = [f"{file}.gz" for file in DATASETS["emnist-letters"].files.values()]
    assert everything(folder) == sorted([*files, "gzip.zip"])
    assert load_raw("emnist-letters", "train", tmp_path)[1].max() == 11
    assert is_official("emnist-letters", tmp_path) is False, "12 of 26 classes"


def test_the_zip_is_downloaded_once(emnist: bytes, mirrors: Mirrors, tmp_path: Path) -> None:
    fetch("emnist-letters", tmp_path)
    with pytest.raises(
        InputError, match=r"gzip\.zip has no gzip/emnist-digits-test-images-idx3-ubyte\.gz$"
    ):
        fetch("emnist-digits", tmp_path)
    assert len(mirrors.asked) == 1
    assert not any("emnist-digits" in name for name in everything(tmp_path))


def test_a_changed_zip_is_refused(emnist: bytes, mirrors: Mirrors, tmp_path: Path) -> None:
    mirrors.content[DATASETS["emnist-letters"].archive] = emnist[:-1]
    with pytest.raises(InputError, match="wrong checksum"):
        fetch("emnist-letters", tmp_path)
    assert everything(tmp_path) == []


# Whether files are the published ones


def test_is_official(toy: Source, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fetch them first"):
        is_official("toy", tmp_path)
    put(tmp_path / "Toy", "mnist", arrays())
    assert is_official("toy", tmp_path) is True
    changed = arrays()
    changed["test", "images"][0, 0, 0] ^= 1
    put(tmp_path / "Toy", "mnist", changed)
    assert is_official("toy", tmp_path) is False


def test_md5_of_a_packed_file_proves_only_agreement(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", arrays()["train", "images"])
    md5 = hashlib.md5((tmp_path / "a.gz").read_bytes()).hexdigest()
    assert Checksum(md5=md5).verdict(tmp_path / "a.gz") is True
    write_idx(tmp_path / "a", read_idx(tmp_path / "a.gz"))
    assert Checksum(md5=md5).verdict(tmp_path / "a") is None
    put(tmp_path, "kmnist", arrays())
    assert is_official("kmnist", tmp_path) is None
