"""The models that ship: what they hold, what they make, and how their names are found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open

from scalespace import pretrained
from scalespace.cli import main
from scalespace.data import read_samples
from scalespace.errors import InputError
from scalespace.evaluation.judge import shipped_judge
from scalespace.model import Model
from scalespace.settings import load_config, make_training

ROOT = Path(__file__).parents[2]
NAMES = [
    "baseline",
    "cascaded",
    "cascaded-fashion",
    "cascaded-fast",
    "guided",
    "scale-space",
    "small",
]
FILES = {"config.json", "model.safetensors", "README.md"}
IMAGES = 200
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: Model.from_pretrained(name) for name in NAMES}


def tensors(name: str) -> dict[str, torch.Tensor]:
    with safe_open(pretrained.FOLDER / name / "model.safetensors", framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def data_of(name: str) -> str:
    return "fashion-mnist" if name.endswith("-fashion") else "mnist"


def test_what_ships() -> None:
    assert pretrained.names() == NAMES
    files = [path for path in pretrained.FOLDER.rglob("*") if path.parent.name in NAMES]
    assert {path.name for path in files} == FILES
    assert sum(path.stat().st_size for path in files) < 8_000_000


@pytest.mark.parametrize("name", NAMES)
def test_averaged_weights_alone(name: str, models: dict[str, Model]) -> None:
    stages = {stage.name for stage in models[name].method.stages}
    assert {key.split(".")[0] for key in tensors(name)} == stages
    assert {key.split(".")[1] for key in tensors(name)} == {"ema"}
    assert {stage.training.seed for stage in models[name].stages.values()} == {0}
    assert models[name].data.name == data_of(name)


@pytest.mark.parametrize(
    ("name", "calls", "every"), [("baseline", 6, 29), ("small", 6, 19), ("cascaded", 8, 28)]
)
def test_they_are_called_as_the_preset_few_says(
    name: str, calls: int, every: int, models: dict[str, Model]
) -> None:
    model, few = models[name], load_config("few", {})
    assert model.calls == calls
    assert model.stepped("all").calls == every
    for stage in model.stages.values():
        training = stage.training
        assert training.recipe == make_training(few, training.stage, 0, model.data).recipe


def test_the_small_stage_is_one_training() -> None:
    shared = [key for key in tensors("cascaded") if key.startswith("small.")]
    assert set(shared) == set(tensors("small"))
    for key in shared:
        assert torch.equal(tensors("cascaded")[key], tensors("small")[key])


def test_scale_space_shares_its_small_stage(models: dict[str, Model]) -> None:
    model = models["scale-space"]
    assert {name: len(states) for name, states in model.steps.items()} == {"small": 6, "detail": 3}
    for key, own in tensors("small").items():
        assert torch.equal(tensors("scale-space")[key], own)
    for stage in model.stages.values():
        training = stage.training
        plan = make_training(load_config("fast"), training.stage, 0, model.data)
        assert training.recipe == plan.recipe


def test_one_is_called_once_a_scale(models: dict[str, Model]) -> None:
    """It makes nearly the images of its teacher, from the same noise."""
    fast, teacher = models["cascaded-fast"], models["cascaded"]
    assert fast.calls == len(fast.stages) == 2
    config = load_config("fast", {})
    for stage in fast.stages.values():
        training = stage.training
        assert training.recipe == make_training(config, training.stage, 0, fast.data).recipe
        assert [one.stage.name for one in training.needs] == [training.stage.teacher.name]
    labels = [k % 10 for k in range(50)]
    images, wanted = (one.sample(labels, seed=20).images for one in (fast, teacher))
    same, other = (np.square(images - one).mean() for one in (wanted, np.roll(wanted, 10, axis=0)))
    assert same < 0.3 * other


def test_one_can_be_guided(models: dict[str, Model]) -> None:
    """Its images then differ less from one another; the others say why they cannot be."""
    model, labels = models["guided"], [k % 10 for k in range(IMAGES)]
    assert model.method.name == "cascaded"
    assert model.calls == models["cascaded"].calls
    strong = model.guided(2.0)
    assert strong.calls == model.calls + 6  # of the small stage, without the label
    judge = shipped_judge(model.data)
    assert judge is not None
    shares = []
    for one in (model, strong):
        unit = torch.from_numpy(one.sample(labels, seed=20).images)[:, None]
        answers = judge.net(judge.net.pad(unit)).softmax(dim=1)
        shares.append(float(answers[torch.arange(IMAGES), torch.tensor(labels)].mean()))
    assert shares[1] > shares[0]
    assert shares[1] > 0.99
    with pytest.raises(InputError, match=r"cannot be guided: .*objective\.unlabelled"):
        models["cascaded"].guided(1.0)


@pytest.mark.parametrize("name", NAMES)
def test_images_are_sane(name: str, models: dict[str, Model]) -> None:
    """Their class is the one asked for, by a judge that never saw them; they differ; as dark."""
    model = models[name]
    labels = [k % 10 for k in range(IMAGES)]
    samples = model.sample(labels, seed=20)
    images = samples.images
    assert np.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 1
    assert abs(images.mean() - model.data.mean) < 0.02
    assert len(np.unique(images.reshape(IMAGES, -1), axis=0)) == IMAGES
    judge = shipped_judge(model.data)
    assert judge is not None
    unit = torch.from_numpy(images)[:, None]
    answers = judge.net(judge.net.pad(unit)).argmax(dim=1).numpy()
    assert (answers == labels).mean() > (0.9 if data_of(name) == "mnist" else 0.75)
    # the wrong labels would be noticed
    assert (np.roll(answers, 1) == labels).mean() < 0.2

    # A processor adds up a batch of another size in another order, and a trained network's steps
    # enlarge that: on the edge of a stroke one pixel may come out 1e-4 away, the mean does not.
    again = model.sample(labels[:23], seed=20, batch_size=7)
    one = model.sample(labels[22:23], seed=20, first=22)
    for found, expected in ((again.images, images[:23]), (one.images, images[22:23])):
        np.testing.assert_allclose(found, expected, atol=5e-3)
        assert np.abs(found - expected).mean() < 1e-5
    other = model.sample(labels[:1], seed=21)
    assert np.abs(other.images - images[:1]).max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_cards(name: str, models: dict[str, Model]) -> None:
    text = (pretrained.FOLDER / name / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    header = yaml.safe_load(head)
    assert header["license"] == "mit"
    assert header["library_name"] == "scalespace"
    assert header["datasets"] == [data_of(name).replace("-", "_")]
    assert {models[name].method.name, "diffusion"} <= set(header["tags"])
    assert "classification-accuracy-score" in header["metrics"]
    model = models[name]
    assert model.figures is not None
    assert model.figures.seed == 0
    [cas] = [one for one in model.figures.measures if one.metric == "cas"]
    assert f"| CAS | {cas.value:.4f}" in body
    assert {"Real", "Real, down and up"} == set(cas.controls)
    for part in ("## Data", "## Recipe", "## Figures", "## Limits", "## Licence", "## Citation"):
        assert part in body
    licence = {"mnist": "Attribution-ShareAlike 3.0", "fashion-mnist": "MIT"}[data_of(name)]
    for fact in (licence, "28x28"):
        assert fact in body


def test_the_cards_three_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (pretrained.FOLDER / "cascaded" / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) == 3
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    with Image.open("images.png") as picture:
        assert picture.width > 4 * 28


# Names and paths


def test_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_dir: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = pretrained.FOLDER / "cascaded"
    assert pretrained.find("cascaded") == shipped
    Path("cascaded").write_text("a file is no folder")
    assert pretrained.find("cascaded") == shipped
    Path("cascaded").unlink()
    for path in ("./cascaded", "cascaded/", Path("cascaded"), str(tmp_path / "cascaded")):
        with pytest.raises(InputError, match="model folder not found"):
            pretrained.find(path)
    shutil.copytree(model_dir, "cascaded")
    for path in ("cascaded", "./cascaded", "cascaded/", Path("cascaded")):
        assert pretrained.find(path) == Path("cascaded")
    assert Model.from_pretrained("cascaded").hash == Model.load(model_dir).hash
    assert Model.from_pretrained(shipped).hash != Model.load(model_dir).hash


def test_a_folder_without_a_model_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that was interrupted must not be taken for the shipped model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small" / "trainings").mkdir(parents=True)
    with pytest.raises(InputError, match=r"the folder small holds no model .*rename it"):
        pretrained.find("small")
    assert pretrained.find("./small") == Path("small")  # Model.load says what is missing


def test_near_names() -> None:
    with pytest.raises(InputError, match=r"did you mean 'cascaded'\? \(shipped: baseline, casc"):
        pretrained.find("cascade")
    with pytest.raises(InputError, match=r"not found: runs/cascade$"):
        pretrained.find("runs/cascade")
    with pytest.raises(InputError, match=r"not found: zzz \(shipped"):
        pretrained.find("zzz")


# The command line


def test_commands_take_shipped_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["--quiet", "--device", "cpu"]
    main(["sample", "small", "--labels", "3,1", "--out", "x.npz", "--grid", "x.png", *common])
    captured = capsys.readouterr()
    assert captured.out == "2 images: x.npz, x.png\n"
    assert captured.err == ""
    expected = Model.from_pretrained("small").sample([3, 1])
    np.testing.assert_allclose(read_samples("x.npz").images, expected.images, atol=1e-4)
    main(["sample", "small", "--labels", "3", "--gif", "x.gif", *common])
    with Image.open("x.gif") as film:
        assert film.n_frames == 7 + 1  # the states, and the enlarged image

    capsys.readouterr()
    bench = ["bench", "small", "--bench.productions=1", "--bench.warmup=0", "--json", *common]
    main([*bench, "--bench.batch_sizes=2"])
    assert json.loads(capsys.readouterr().out)["models"]["small"]["calls"] == 6
    main([*bench, "--bench.batch_sizes=2", "--steps", "all"])
    assert json.loads(capsys.readouterr().out)["models"]["small"]["calls"] == 19
    main(["models", "small"])
    out = capsys.readouterr().out
    assert "measured: CAS 0.9" in out
    assert str(pretrained.FOLDER / "small" / "README.md") in out


def test_a_folder_that_hides_a_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, model_dir: Path
) -> None:
    shutil.copytree(model_dir, tmp_path / "cascaded")
    monkeypatch.chdir(tmp_path)
    words = ["--labels", "1", "--out", "x.npz", "--quiet"]
    main(["sample", "cascaded", *words])
    assert capsys.readouterr().err.startswith("cascaded: the model in the folder of that name")
    assert read_samples("x.npz").images.shape == (1, 12, 12)
    main(["sample", "./cascaded", *words])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sample cascaded --labels 1", "say what to write: --out FILE.npz"),
        ("sample cascade --labels 1 --grid x.png", "did you mean 'cascaded'"),
        ("sample cascaded --labels 10 --grid x.png", "label 10 is none of"),
        ("sample ./cascaded --labels 1 --grid x.png", "model folder not found: ./cascaded"),
        ("bench smal", "did you mean 'small'"),
        ("models user/repo", "model folder not found: user/repo"),
        ("plot traversals small --out x.png", "holds nothing to show as 'traversals'"),
        ("reconstruct cascaded --samples x.npz --out y.npz", "has no autoencoder"),
    ],
)
def test_commands_refuse(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    err = capsys.readouterr().err
    assert stop.value.code == 2
    [line] = err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


BLOCK = """
import socket

def refuse(*_, **__):
    raise OSError("no network in this test")

socket.socket.connect = refuse
socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
"""


def test_the_installed_command_offline(tmp_path: Path) -> None:
    """What the README prints, in an empty folder, by a process that has no network."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCK)
    (tmp_path / "work").mkdir()
    source = str(Path(pretrained.FOLDER).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), source])}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        where = tmp_path / "work"
        return subprocess.run(
            words, cwd=where, env=environment, capture_output=True, text=True, check=False
        )

    probe = "import socket; socket.create_connection(('127.0.0.1', 9))"
    assert "no network in this test" in run(sys.executable, "-c", probe).stderr
    installed = Path(sys.executable).with_name("scalespace")
    command = [str(installed)] if installed.exists() else [sys.executable, "-m", "scalespace.cli"]
    done = run(*command, "sample", "cascaded", "--labels", "2,0,2,6", "--grid", "out.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "4 images: out.png\n"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["out.png"]
    with Image.open(tmp_path / "work" / "out.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape[1] > 3.5 * pixels.shape[0]
    assert pixels.max() > 200


# The package


def files_of_package() -> list[str]:
    """What must be in a wheel, as paths within the package."""
    package = pretrained.FOLDER.parent
    own = [*pretrained.FOLDER.rglob("*"), *(package / "hub").rglob("*.jinja")]
    return [
        path.relative_to(package).as_posix()
        for path in own
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]


def test_package_data_covers_them() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["scalespace"]
    package = pretrained.FOLDER.parent
    covered = {
        path.relative_to(package).as_posix() for one in patterns for path in package.glob(one)
    }
    wanted = files_of_package()
    assert len(wanted) >= 3 * len(FILES) + 1
    assert set(wanted) <= covered


@pytest.mark.slow
def test_the_wheel_holds_them(tmp_path: Path) -> None:
    """Built without the network, by the setuptools that is installed."""
    source = tmp_path / "source"
    skip: Callable[..., set[str]] = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ["-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([sys.executable, *words, "-w", str(tmp_path)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        held = set(file.namelist())
    assert {f"scalespace/{name}" for name in files_of_package()} <= held
