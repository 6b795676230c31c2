"""An exported model gives the model's own images, to programs that know nothing of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import scalespace
from scalespace.cli import main
from scalespace.core.denoiser import Condition
from scalespace.core.noise import Seeded
from scalespace.errors import InputError
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.model import export as module
from scalespace.model.chain import Drawn
from scalespace.model.export import export_model, export_stage

Trained = Callable[[str], Model]
GUIDE = Path(scalespace.__file__).parents[2] / "docs" / "guide.md"


def images_of(path: Path, model: Model, labels: list[int], seed: int) -> np.ndarray:
    """What a file makes of the noise that the model would draw."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    drawn = Drawn(Seeded(seed, range(len(labels))))
    for _ in model.method.sample(model.models, torch.tensor(labels), drawn):
        pass
    names = [one.name for one in session.get_inputs()]
    given = [np.array(labels), *(noise.numpy() for _, noise in drawn.draws)]
    (images,) = session.run(None, dict(zip(names, given, strict=True)))
    return images[:, 0]


def test_drawn_noise_is_handed_out_in_order() -> None:
    first = Drawn(Seeded(0, range(2)))
    draws = [first.stream(name).normal(shape) for name, shape in (("a", (3,)), ("b", (1, 2)))]
    assert [purpose for purpose, _ in first.draws] == ["a", "b"]
    again = Drawn(None, first.draws)
    for draw, shape in zip(draws, ((3,), (1, 2)), strict=True):
        torch.testing.assert_close(again.stream("any").normal(shape), draw, rtol=0, atol=0)
    torch.testing.assert_close(draws[1], Seeded(0, range(2)).stream("b").normal((1, 2)))


@pytest.mark.slow
def test_the_guides_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The export of a shipped model, and the ten lines that sample from it."""
    text = GUIDE.read_text(encoding="utf-8").partition("### Export a model")[2]
    (command,) = re.findall(r"```sh\nscalespace (.*)\n```", text)[:1]
    script = re.findall(r"```python\n(.*?)```", text, flags=re.S)[0]
    path = tmp_path / "digits.onnx"
    main(command.replace("digits.onnx", str(path)).split())
    assert "digits.onnx: labels and 3 noises to images, 5 calls" in capsys.readouterr().out
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.split(maxsplit=2)[:2] == ["cascaded", "5"]
    assert "(10, 1, 28, 28)" in found.stdout
    model = Model.from_pretrained("cascaded").stepped({"small": 4, "upscaler": 1})
    expected = model.sample([7, 2, 5], seed=9).images
    np.testing.assert_allclose(images_of(path, model, [7, 2, 5], 9), expected, atol=1e-4)


Exported = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """An upscaler's file, and what it says of itself."""
    path = tmp_path_factory.mktemp("exported") / "call.onnx"
    return path, export_stage(trained("cascaded"), "upscaler", path)


def test_a_call_with_its_tables(exported: Exported, trained: Trained) -> None:
    model, (path, about) = trained("cascaded"), exported
    stage = model.models["upscaler"]
    assert about["states"] == list(stage.visits())  # type: ignore[operator, attr-defined]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["x", "state", "labels", "given"]
    rng = torch.Generator().manual_seed(0)
    x, given = (torch.randn(4, 1, 12, 12, generator=rng) for _ in range(2))
    labels = torch.tensor([0, 2, -1, 1])
    for place, t in enumerate(about["states"]):
        inputs = {"x": x, "state": torch.full((4,), place), "labels": labels, "given": given}
        (found,) = session.run(None, {name: one.numpy() for name, one in inputs.items()})
        with torch.no_grad():
            expected = stage.denoise(x, t, Condition(labels, given))  # type: ignore[operator]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["stage"]) == "upscaler"
    assert json.loads(told["model"]) == model.hash


def test_a_chain_in_one_call(trained: Trained, tmp_path: Path) -> None:
    model, path = trained("small").stepped(1), tmp_path / "model.onnx"
    export_model(model, path)
    expected = model.sample([0, 2, 1, 1, 0], seed=3).images
    np.testing.assert_allclose(images_of(path, model, [0, 2, 1, 1, 0], 3), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method(name: str, trained: Trained, tmp_path: Path) -> None:
    model, path = trained(name), tmp_path / "model.onnx"
    about = export_model(model, path)
    assert about["calls"] == model.calls
    for n in (1, 5):
        labels = [k % 3 for k in range(n)]
        expected = model.sample(labels, seed=3).images
        np.testing.assert_allclose(images_of(path, model, labels, 3), expected, atol=1e-4)


@pytest.mark.slow
def test_under_guidance(tmp_path: Path) -> None:
    model = Model.from_pretrained("guided").stepped({"small": 2, "upscaler": 1}).guided(1.0)
    export_model(model, tmp_path / "model.onnx")
    expected = model.sample([1, 2, 3], seed=3).images
    found = images_of(tmp_path / "model.onnx", model, [1, 2, 3], 3)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_cannot_be_exported(
    exported: Exported, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.onnx"
    with pytest.raises(InputError, match="unknown stage 'smal'; did you mean 'small'"):
        export_stage(trained("small"), "smal", path)
    with pytest.raises(InputError, match="'vae' makes no estimate of x_0"):
        export_stage(trained("vae"), "vae", path)
    monkeypatch.setattr(module, "export", lambda *_: exported[0].read_bytes())  # saves seconds
    monkeypatch.setattr(module, "CLOSE", -1.0)
    with pytest.raises(InputError, match=r"was not written: .* gives other numbers"):
        export_stage(trained("cascaded"), "upscaler", path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["cascaded", "out.txt"], "must end in .onnx"),
        (["nothing", "out.onnx"], "model folder not found"),
        (["cascaded", "out.onnx", "--steps", "40"], "40"),
        (["guided", "out.onnx", "--stage", "small", "--guidance", "1"], "not for --stage"),
        (["cascaded", "no/folder/..", "--stage", "small"], ".onnx"),
    ],
)
def test_bad_words(
    words: list[str],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["export", *words])
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
