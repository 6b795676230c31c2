"""The same results, or one clear line, whatever else a program or a machine is set to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from scalespace.config import CASConfig
from scalespace.data import DataSplits
from scalespace.data.sources import data_root
from scalespace.errors import InputError
from scalespace.evaluation.cas import cas
from scalespace.evaluation.judge import load_judge
from scalespace.model import Model, train

Trained = Callable[[str], Model]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: default_dtype(torch.float64), "torch's default dtype is torch.float64"),
        (lambda: default_device("meta"), "torch's default device is meta"),
    ],
)
def test_defaults_that_would_build_other_networks(
    settings: Callable[[], AbstractContextManager[None]],
    message: str,
    model_dir: Path,
    judge_dir: Path,
    splits: DataSplits,
    tmp_path: Path,
) -> None:
    with settings():
        with pytest.raises(InputError, match=message):
            Model.load(model_dir)
        with pytest.raises(InputError, match=message):
            load_judge(judge_dir)
        with pytest.raises(InputError, match=message):
            train("small", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    assert not list(tmp_path.iterdir())
    Model.load(model_dir)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_training_where_gradients_are_off(
    off: Callable[[], AbstractContextManager[None]],
    trained: Trained,
    splits: DataSplits,
    tmp_path: Path,
) -> None:
    expected = trained("cascaded")
    with off():
        model = train("cascaded", splits, tiny.CONFIG, tmp_path, 0, tiny.CPU)
    for name, stage in model.stages.items():
        for key, tensor in stage.ema.items():
            assert torch.equal(tensor, expected.stages[name].ema[key])


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_scoring_where_gradients_are_off(
    off: Callable[[], AbstractContextManager[None]], splits: DataSplits
) -> None:
    part, config = splits.val, CASConfig(classifiers=1, epochs=1)
    images, labels = part.unit()[:, 0].numpy(), part.labels.numpy()
    rest = (splits.test(), splits.mean, splits.std, config)
    expected = cas(images, labels, *rest)
    with off():
        found = cas(images, labels, *rest)
    np.testing.assert_array_equal(found.confusion, expected.confusion)


@pytest.mark.parametrize("name", ["cascaded", "vae", "latent"])
def test_a_network_that_has_sampled_gives_gradients(name: str, trained: Trained) -> None:
    """Guidance by a classifier of one's own, say, needs them."""
    model = trained(name)
    with torch.inference_mode():
        model.sample([0, 1])
    expected = model.sample([0, 1]).images
    for stage in model.models.values():
        for tensor in (*stage.parameters(), *stage.buffers()):
            assert not tensor.is_inference()
    (*_, last) = model.trajectory([0, 1])
    assert not last.x.is_inference()
    np.testing.assert_array_equal(model.sample([0, 1]).images, expected)


def test_features_of_a_judge_are_plain_tensors(judge_dir: Path) -> None:
    features = load_judge(judge_dir).features(np.zeros((2, 12, 12), np.float32))
    weight = torch.ones(features.pooled.shape[1], requires_grad=True)
    (features.pooled @ weight).sum().backward()
    assert weight.grad is not None


def test_threads_change_no_image(trained: Trained) -> None:
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            found.append(trained("cascaded").sample([0, 1, 2] * 5).images)
        finally:
            torch.set_num_threads(1)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: os.fspath(path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no home folder for the cache: .*--data-dir"):
        data_root()
    assert data_root(tmp_path) == tmp_path
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "de_DE.UTF-8", "xx_XX"])
def test_other_locales(locale: str, tmp_path: Path) -> None:
    """Without UTF-8, with a comma in numbers, or unknown to the system."""
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "scalespace.cli", "sample", "small", "--labels", "3"]
    command += ["--out", str(tmp_path / "é.npz"), "--grid", str(tmp_path / "a.png"), "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert (tmp_path / "é.npz").exists()
