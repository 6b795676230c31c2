"""Folders of images, and samples files, as data sets."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalespace.cli import main
from scalespace.data import Samples, load, load_told, write_samples
from scalespace.data.folders import ImageFolder
from scalespace.data.origins import find_origin
from scalespace.data.pixels import pictures
from scalespace.data.summary import summary
from scalespace.errors import InputError
from scalespace.evaluation.evaluate import evaluate


def paint(path: Path, value: int, mode: str = "L", size: tuple[int, int] = (8, 6)) -> None:
    """An image of one value but for its top left pixel, which tells it from others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(value)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
    Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8), mode=mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve classes of eight images; one of them has fourteen."""
    root = tmp_path / "own"
    for k in range(12):
        for i in range(14 if k == 3 else 8):
            paint(root / f"class {k:02}" / f"{i}.png", 100 * k + i)
    return root


def refused(name: str, **more: object) -> str:
    with pytest.raises(InputError) as caught:
        load(name, **more).test()  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_class_folders_are_split_once_and_for_all(folder: Path) -> None:
    splits = load(f"folder:{folder}")
    assert splits.name == "own"
    assert splits.info.own
    assert splits.train.classes == tuple(f"class {k:02}" for k in range(12))
    assert splits.train.shape == (6, 8)
    test = splits.test()
    assert test.labels.bincount().tolist() == [1, 1, 1, 2, *[1] * 8]
    whole = {bytes(image.numpy()) for part in (splits.whole, test) for image in part.images}
    assert len(whole) == 11 * 8 + 14  # every image is in one part
    again = load(f"folder:{folder}")
    assert again.info.fingerprint == splits.info.fingerprint
    assert bytes(again.test().images.numpy()) == bytes(test.images.numpy())


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("test", 2)):
        for k in range(2):
            for i in range(count):
                paint(tmp_path / part / "ab"[k] / f"{i}.jpeg", 10 * k + i)
    splits = load(f"folder:{tmp_path}")
    assert len(splits.whole) == 10
    assert splits.test().labels.tolist() == [0, 0, 1, 1]
    paint(tmp_path / "test" / "c" / "1.png", 1)
    assert "test/c is of a class without training images: put some" in refused(f"folder:{tmp_path}")


def test_the_pixels_are_those_of_the_files(folder: Path) -> None:
    images, labels = ImageFolder(folder).load("train")
    first = np.asarray(Image.open(folder / "class 00" / "0.png"))
    assert images.dtype == np.uint8
    assert any((image == first).all() for image in images[labels == 0]) or any(
        (image == first).all() for image in ImageFolder(folder).load("test")[0]
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours(tmp_path: Path, mode: str) -> None:
    for k in range(2):
        for i in range(4):
            paint(tmp_path / "ab"[k] / f"{i}.png", 10 * k + i, mode)
    splits = load(f"folder:{tmp_path}")
    assert splits.train.channels == splits.info.channels == splits.test().channels == 3
    assert splits.info.shape == (6, 8, 3)
    assert splits.train.unit().shape[1:] == (3, 6, 8)


def test_grey_images_that_are_stored_in_colour_are_grey(tmp_path: Path) -> None:
    for k in range(2):
        for i in range(4):
            paint(tmp_path / "ab"[k] / f"{i}.png", 10 * k + i)
            file = tmp_path / "ab"[k] / f"{i}.png"
            Image.open(file).convert("RGB").save(file)
    assert load(f"folder:{tmp_path}").train.channels == 1


def test_other_kinds_of_pixels(tmp_path: Path) -> None:
    """16 bits, a palette, two levels, and transparency over black."""
    for k in range(3):
        for i in range(3):
            paint(tmp_path / "abc"[k] / f"{i}.png", 10 * k + i)
    deep = np.full((6, 8), 65535, dtype=np.uint16)
    deep[0, 0] = 257
    Image.fromarray(deep).save(tmp_path / "a" / "0.png")
    Image.fromarray(np.eye(6, 8, dtype=bool)).save(tmp_path / "b" / "0.png")
    clear = np.full((6, 8, 2), 200, dtype=np.uint8)
    clear[:3, :, 1] = 0
    Image.fromarray(clear, mode="LA").save(tmp_path / "c" / "0.png")
    found = {}
    origin = ImageFolder(tmp_path)
    for part in ("train", "test"):
        images, labels = origin.load(part)  # type: ignore[arg-type]
        for image, label in zip(images, labels, strict=True):
            found[label, int(image[0, 0]), int(image[-1, -2])] = image
    assert (0, 1, 255) in found
    assert (1, 255, 0) in found
    assert any(key[:2] == (2, 0) for key in found)  # what is transparent is black


def test_images_of_several_sizes_need_one(folder: Path) -> None:
    paint(folder / "class 00" / "wide.png", 7, size=(20, 10))
    assert "differ in size (8x6, 20x10): bring them to one with --size" in refused(
        f"folder:{folder}"
    )
    splits = load(f"folder:{folder}", size=12)
    assert splits.train.shape == (12, 12)


def test_the_middle_of_a_long_image_is_kept(tmp_path: Path) -> None:
    for k in range(2):
        for i in range(3):
            paint(tmp_path / "ab"[k] / f"{i}.png", 10 * k + i, size=(20, 20))
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, 10:20] = 255
    for i in range(3):
        Image.fromarray(wide).save(tmp_path / "a" / f"{i}.png")
    images, labels = ImageFolder(tmp_path, size=10).load("train")
    assert (images[labels == 0] == 255).all()


def test_what_is_no_image_is_told_by_name(folder: Path) -> None:
    (folder / "class 05" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    assert "class 05/3.png is no image that can be read" in refused(f"folder:{folder}")
    (folder / "class 05" / "3.png").write_bytes(b"")
    assert "class 05/3.png is no image that can be read: damaged, or neither" in refused(
        f"folder:{folder}"
    )


def test_other_files_are_left_alone_and_told_and_hidden_ones_not(folder: Path) -> None:
    expected = len(load(f"folder:{folder}").whole)
    (folder / "notes.txt").write_text("mine")
    (folder / "class 01" / "notes.txt").write_text("mine")
    (folder / "class 01" / "inner").mkdir()
    (folder / "class 01" / ".0.png").write_bytes(b"")
    (folder / ".hidden").mkdir()
    splits = load(f"folder:{folder}")
    assert len(splits.whole) == expected
    assert summary(splits)["left out"] == "3 (class 01/inner, class 01/notes.txt, notes.txt)"


def test_what_is_beside_the_parts_is_told(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        for k in range(6):
            paint(tmp_path / part / "ab"[k % 2] / f"{k}.png", k)
    assert summary(load(f"folder:{tmp_path}"))["left out"] == "1 (val)"
    for k in range(6):
        (tmp_path / f"{k}.txt").touch()
    said = "7 (0.txt, 1.txt, 2.txt, 3.txt, 4.txt, ...)"
    assert summary(load(f"folder:{tmp_path}"))["left out"] == said


def test_one_part_without_the_other(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for k in range(6):
            paint(tmp_path / part / "ab"[k % 2] / f"{k}.png", k)
    assert "has train/ but no test/: it needs both" in refused(f"folder:{tmp_path}")
    (tmp_path / "train").rename(tmp_path / "test")
    assert "has test/ but no train/" in refused(f"folder:{tmp_path}")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for k in range(6):
        paint(tmp_path / ("train", "bus")[k % 2] / f"{k}.png", k)
    assert load(f"folder:{tmp_path}").train.classes == ("bus", "train")


def test_too_little(tmp_path: Path) -> None:
    assert "image folder not found" in refused(f"folder:{tmp_path / 'none'}")
    assert "two at least, and has 0" in refused(f"folder:{tmp_path}")
    for i in range(3):
        paint(tmp_path / "a" / f"{i}.png", i)
    assert "two at least, and has 1" in refused(f"folder:{tmp_path}")
    (tmp_path / "b").mkdir()
    assert "b has no images (.png, .jpg, .jpeg)" in refused(f"folder:{tmp_path}")
    for i in range(2):
        paint(tmp_path / "b" / f"{i}.png", 10 + i)
    assert "b has 2 images: to be split" in refused(f"folder:{tmp_path}")
    paint(tmp_path / "b" / "2.png", 12)
    assert len(load(f"folder:{tmp_path}").test()) == 2


def test_a_name_that_no_table_could_show(tmp_path: Path) -> None:
    for name in ("a", "b\nc"):
        for i in range(3):
            paint(tmp_path / name / f"{i}.png", i)
    assert "a class folder whose name is no line" in refused(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("mnist", {"size": 28}, "--size is for image folders"),
        ("folder:/x", {"size": 3}, "--size must be 4 to 1024 pixels, got 3"),
        ("folder:/x", {"size": 4000}, "--size must be 4 to 1024"),
        ("folder:/x", {"data_dir": "/y"}, "--data-dir is for data sets by name"),
        ("mnits", {}, "did you mean 'mnist'.*a folder of images is folder:PATH"),
        ("npz:/none.npz", {}, "none.npz"),
        ("folder:", {}, "'folder:' needs a path: folder:PATH"),
        (f"folder:{__file__}", {}, "is a file, not a folder of images"),
        (str(Path(__file__).parent), {}, "the folder of that name is folder:/"),
    ],
)
def test_names_that_do_not_fit(name: str, more: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_origin(name, **more).load("train")  # type: ignore[arg-type]


def test_a_samples_file_as_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 6, 6), dtype=np.float32), np.arange(40) % 2
    path = tmp_path / "made.npz"
    write_samples(path, Samples(images, labels, {"classes": ["cat", "dog"]}))
    splits = load(f"npz:{path}")
    assert splits.name == "made"
    assert splits.train.classes == ("cat", "dog")
    parts = (splits.train, splits.val, splits.test())
    assert sum(map(len, parts)) == 40
    every = {bytes(image.numpy()) for part in parts for image in part.images}
    assert every == {np.rint(image * 255).astype(np.uint8).tobytes() for image in images}
    with pytest.raises(InputError, match="the file of that name is npz:/"):
        load(str(path))
    write_samples(path, Samples(images[:5], labels[:5]))
    assert "has 2 images of class '1'" in refused(f"npz:{path}")


def test_the_command_shows_what_was_understood(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["data", f"folder:{folder}", "--size", "8", "--grid", str(tmp_path / "grid.png")])
    said = capsys.readouterr().out
    assert "size: 8 x 8" in said
    header, *rows = said[said.index("class ") :].splitlines()
    assert header.split() == ["class", "train", "validation", "test"]
    assert [row.split()[-1] for row in rows[:4]] == ["1", "1", "1", "2"]
    assert "resampled: the shorter side to 8 (Lanczos)" in said
    assert Image.open(tmp_path / "grid.png").width > 100


def test_a_judge_is_offered_by_a_command_that_reads_this_data(folder: Path, tmp_path: Path) -> None:
    """For the options lead to the same images again."""
    path = tmp_path / "it's mine.npz"
    labels = np.arange(40) % 2
    write_samples(path, Samples(np.random.default_rng(0).random((40, 6, 6), np.float32), labels))
    for splits in (load(f"folder:{folder}", size=8), load(f"npz:{path}")):
        with pytest.raises(InputError, match="train one with 'scalespace train judge") as refusal:
            evaluate(
                Samples(pictures(splits.val.unit()), splits.val.labels.numpy()), splits, ["fd"]
            )
        command = str(refusal.value).partition("train judge ")[2].partition(" --out FOLDER")[0]
        words = shlex.split(command)
        given = dict(zip(words[::2], words[1::2], strict=True))
        size = given.get("--size")
        again = load(given["--data"], size=None if size is None else int(size))
        assert again.info == splits.info


@pytest.mark.parametrize(
    ("name", "classes"), [("made", ["a" * 150, "b"]), ("made", ["a\nb", "c"]), ("x" * 120, [])]
)
def test_names_that_a_model_could_not_carry(tmp_path: Path, name: str, classes: list[str]) -> None:
    path = tmp_path / f"{name}.npz"
    images, labels = np.random.default_rng(0).random((40, 6, 6), np.float32), np.arange(40) % 2
    write_samples(path, Samples(images, labels, {"classes": classes}))
    with pytest.raises(InputError, match="names of one line and at most 100 characters"):
        _ = load(f"npz:{path}").info


def test_a_label_far_too_large(tmp_path: Path) -> None:
    path = tmp_path / "big.npz"
    labels = np.array([0, 30_000_000] * 10)
    write_samples(path, Samples(np.zeros((20, 6, 6), np.float32), labels))
    assert "there is a label 30000000" in refused(f"npz:{path}")


def test_a_home_that_nobody_has() -> None:
    assert "image folder not found: ~nobody-of-that-name/a" in refused(
        "folder:~nobody-of-that-name/a"
    )


def test_data_that_a_model_tells(tmp_path: Path) -> None:
    images, labels = np.random.default_rng(0).random((40, 6, 6), np.float32), np.arange(40) % 2
    path = tmp_path / "digits.npz"
    write_samples(path, Samples(images, labels))
    own = load(f"npz:{path}")
    assert own.name == "digits"
    with pytest.raises(InputError, match="the model is of own data called 'digits'"):
        load_told(own.info, "the model")
    assert load_told(own.info, "the model", f"npz:{path}").info == own.info
    public = load("digits").info
    assert load_told(public, "the model").info == public
