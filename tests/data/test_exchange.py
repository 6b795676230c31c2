"""Samples as folders of PNG files, and images that other programs wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalespace.cli import main
from scalespace.data import Samples, write_samples
from scalespace.data.exchange import read_any, told_data
from scalespace.data.pngs import safe
from scalespace.errors import InputError
from scalespace.files import HOST

CLASSES = ("T-shirt/top", "b", "..")


def samples(coloured: bool = False, n: int = 7) -> Samples:
    shape = (n, 6, 5, 3) if coloured else (n, 6, 5)
    pixels = np.random.default_rng(0).integers(0, 256, shape)
    labels = np.arange(n) % 3
    return Samples((pixels / 255).astype(np.float32), labels, {"classes": list(CLASSES)})


@pytest.mark.parametrize("coloured", [False, True])
def test_a_folder_and_back(tmp_path: Path, coloured: bool) -> None:
    made = samples(coloured)
    folder = made.to_folder(tmp_path / "out")
    assert {one.name for one in folder.iterdir()} == {"meta.json", "T-shirt-top", "b", "--"}
    found, assumed = read_any(folder)
    assert assumed == []
    assert found.meta == made.meta
    order = np.argsort(made.labels, kind="stable")
    again = np.argsort(found.labels, kind="stable")
    np.testing.assert_array_equal(found.labels[again], made.labels[order])
    np.testing.assert_allclose(found.images[again], made.images[order], atol=1e-6)


def test_numbers_are_those_of_the_samples(tmp_path: Path) -> None:
    made = samples()
    made.to_folder(tmp_path / "out")
    image = np.asarray(Image.open(tmp_path / "out" / "b" / "00004.png"))
    np.testing.assert_array_equal(image, np.rint(made.images[4] * 255))
    assert [picture.size for picture in made.pil()] == [(5, 6)] * 7


def test_nothing_is_written_over_or_left_behind(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("here")
    with pytest.raises(InputError, match="out is there already"):
        samples().to_folder(tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["out"]
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    samples().to_folder(tmp_path / "empty")
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="file is there already"):
        samples().to_folder(tmp_path / "file")


def test_a_disk_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Image.Image, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match=r"cannot write .*out: No space left"):
        samples().to_folder(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_classes_that_a_file_system_would_mix_up(tmp_path: Path) -> None:
    made = samples()
    mixed = Samples(made.images, made.labels, {"classes": ["a/b", "a:b", "c"]})
    folder = mixed.to_folder(tmp_path / "out")
    found, _ = read_any(folder, ("a/b", "a:b", "c"))
    assert sorted(found.labels.tolist()) == sorted(made.labels.tolist())
    assert safe("") == safe("..")[:1] == "-"


@pytest.mark.parametrize("names", [("a-b", "a.b", "c"), ("1 a", "a")])
def test_a_folder_of_the_very_name_is_that_classs(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Whatever another class's name would become in a file system."""
    for label, name in enumerate(names):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4), 10 * label).save(tmp_path / name / "x.png")
    for classes in (names, ()):
        found, _ = read_any(tmp_path, classes)
        shades = np.rint(255 * found.images.reshape(len(names), -1)[:, 0] / 10)
        np.testing.assert_array_equal(found.labels, shades)


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    half = tmp_path / f".out.{HOST}-{gone.pid}.part"
    (half / "b").mkdir(parents=True)
    samples().to_folder(tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_images_of_no_class(tmp_path: Path) -> None:
    for k, picture in enumerate(samples().pil()):
        picture.save(tmp_path / f"{k}.png")
    found, (assumed,) = read_any(tmp_path)
    assert "without class folders, its images are of no class" in assumed
    assert found.meta["conditional"] is False
    assert found.images.shape == (7, 6, 5)
    found, _ = read_any(tmp_path, coloured=True)  # grey images beside coloured real ones
    assert found.images.shape == (7, 6, 5, 3)


def test_a_class_that_the_data_do_not_have(tmp_path: Path) -> None:
    samples().to_folder(tmp_path / "out")
    with pytest.raises(InputError, match="out/-- is none of the classes, which are x, b"):
        read_any(tmp_path / "out", ("x", "b"))


def test_the_files_of_others(tmp_path: Path) -> None:
    """The guided-diffusion evaluation suite's: bytes, in colour, labels if there are any."""
    path = tmp_path / "theirs.npz"
    grey = np.random.default_rng(1).integers(0, 256, (5, 6, 5, 1)).astype(np.uint8)
    np.savez(path, grey.repeat(3, axis=3), np.arange(5))
    found, assumed = read_any(path, coloured=False)
    assert len(assumed) == 2
    np.testing.assert_allclose(found.images, grey[..., 0] / 255, atol=1e-7)
    assert found.labels.tolist() == [0, 1, 2, 3, 4]
    found, _ = read_any(path, coloured=True)
    assert found.images.shape == (5, 6, 5, 3)
    np.savez(path, grey)
    found, assumed = read_any(path)
    assert found.images.shape == (5, 6, 5)
    assert any("without labels" in sentence for sentence in assumed)
    np.savez(path, images=grey[..., 0], labels=np.arange(5))
    found, (assumed_one,) = read_any(path)
    assert "its bytes 0 to 255 are black to white" in assumed_one
    np.savez(path, images=grey[..., 0])
    with pytest.raises(InputError, match="no array 'labels'"):
        read_any(path)
    for scalar in (np.uint8(7), np.float32(0.5), np.array("x")):
        np.savez(path, scalar)
        with pytest.raises(InputError, match=r"theirs\.npz: images must be"):
            read_any(path)
    np.savez(path, other=grey)
    with pytest.raises(InputError, match="no array 'images'"):
        read_any(path)


def test_an_own_file_is_read_as_ever(tmp_path: Path) -> None:
    made = samples()
    write_samples(tmp_path / "s.npz", made)
    found, assumed = read_any(tmp_path / "s.npz")
    assert assumed == []
    np.testing.assert_array_equal(found.images, made.images)
    assert found.meta == made.meta


def test_damaged_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no images"):
        read_any(tmp_path)
    folder = samples().to_folder(tmp_path / "out")
    (folder / "meta.json").write_text("{")
    with pytest.raises(InputError, match=r"meta\.json: meta is not valid JSON"):
        read_any(folder)
    (folder / "meta.json").write_text(json.dumps({}))
    Image.new("L", (9, 9)).save(folder / "b" / "large.png")
    with pytest.raises(InputError, match="differ in size"):
        read_any(folder, CLASSES)


def test_sample_and_evaluate_by_folder(
    model_dir: Path, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, strip = tmp_path / "out", tmp_path / "strip.png"
    words = ["--per-class", "4", "--quiet", "--out", str(out), "--strip", str(strip)]
    main(["sample", str(model_dir), *words])
    main(["sample", str(model_dir), *words[:3], "--out", str(tmp_path / "s.npz")])
    assert len(list(out.glob("*/*.png"))) == 12
    assert Image.open(strip).width > 100
    said = []
    for samples_of in (out, tmp_path / "s.npz"):
        capsys.readouterr()
        words = ["--data-dir", str(data_dir), "--metrics", "copies", "--quiet"]
        main(["evaluate", str(samples_of), *words])
        said.append(capsys.readouterr().out)
    assert "Distance to the nearest" in said[0]
    near = [float(text.split("training image ")[1].split()[0]) for text in said]
    assert near[0] == pytest.approx(near[1], abs=0.02)  # 8 bits a pixel
    with pytest.raises(SystemExit):
        main(["sample", str(model_dir), "--per-class", "4", "--out", str(out)])
    assert "is there already" in capsys.readouterr().err


def test_pictures_beside_class_folders(tmp_path: Path) -> None:
    samples().to_folder(tmp_path / "out")
    Image.new("L", (6, 5)).save(tmp_path / "out" / "grid.png")
    with pytest.raises(InputError, match=r"in class folders .* and beside them \(grid.png"):
        read_any(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'{"classes": "\xe9"}', "not UTF-8"), (b"[1]", "meta"), (b'{"classes": 10}', "")],
)
def test_the_meta_of_others(tmp_path: Path, content: bytes, said: str) -> None:
    folder = tmp_path / "out"
    samples().to_folder(folder)
    (folder / "meta.json").write_bytes(content)
    if said:
        with pytest.raises(InputError, match=said):
            read_any(folder)
    else:
        assert len(read_any(folder)[0]) == len(samples())


def test_names_that_collide_with_one_that_has_no_image(tmp_path: Path) -> None:
    classes = ["T-shirt/top", "T-shirt-top", "c"]
    made = Samples(np.zeros((2, 5, 6), np.float32), np.array([0, 0]), {"classes": classes})
    made.to_folder(tmp_path / "out")
    assert read_any(tmp_path / "out", tuple(classes))[0].labels.tolist() == [0, 0]


def test_the_data_that_samples_tell(tmp_path: Path) -> None:
    made = samples()
    told = Samples(made.images, made.labels, {**made.meta, "data": "mnist"})
    told.to_folder(tmp_path / "out")
    write_samples(tmp_path / "a.npz", told)
    write_samples(tmp_path / "b.npz", made)
    assert [told_data(tmp_path / name) for name in ("out", "a.npz", "b.npz")] == [
        "mnist",
        "mnist",
        None,
    ]
