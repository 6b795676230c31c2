"""A training that is killed goes on as if it never had been, whatever it finds."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from a_training import STEPS, outcome, run, same_tensors, training
from safetensors.torch import save_file

import tiny
from scalespace.config import ConditionConfig, ObjectiveConfig
from scalespace.data import DataSplits
from scalespace.errors import InputError
from scalespace.files import locked
from scalespace.methods import stages
from scalespace.methods.cascaded import UPSCALER
from scalespace.settings import make_training
from scalespace.training import Training, fit, load_stage, loop
from scalespace.training.checkpoint import load_tensors
from scalespace.training.metrics import read_metrics

fit_module = sys.modules["scalespace.training.fit"]


def jobs(splits: DataSplits) -> dict[str, Training]:
    batch_norm = replace(tiny.RECIPE, net=replace(tiny.NET, norm="batch", film="blocks"))
    scheduled = replace(tiny.TRAIN, warmup=3, decay="cosine", epochs=3, batch_size=30)
    return {
        "plain": training(splits),
        "batch norm, schedule, upscaler": Training(
            UPSCALER, replace(batch_norm, train=scheduled), 3, splits.info
        ),
        "muon, every objective, augmentation": Training(
            UPSCALER,
            replace(
                tiny.RECIPE,
                net=replace(tiny.NET, channels=(8, 8)),
                train=replace(tiny.TRAIN, muon=0.02),
                objective=ObjectiveConfig("min-snr", 0.1, 2, True, 0.2, 0.3),
                condition=ConditionConfig("gaussian", 2),
            ),
            0,
            splits.info,
        ),
        # the dropout and the posterior samples of these are random, too
        **{name: brief(name, splits) for name in ("judge", "vae", "latent-flow")},
    }


def brief(name: str, splits: DataSplits) -> Training:
    """A training of two epochs of a stage, and of what it needs."""
    job = make_training(tiny.CONFIG, stages()[name], 0, splits.info)

    def cut(job: Training) -> Training:
        train = replace(job.recipe.train, epochs=2, batch_size=24)
        recipe = replace(job.recipe, train=train)
        return replace(job, recipe=recipe, needs=tuple(cut(need) for need in job.needs))

    return cut(job)


@contextmanager
def killed_in(monkeypatch: pytest.MonkeyPatch, name: str, call: int, after: bool) -> Iterator[None]:
    """Pretends that Ctrl-C comes before or after a certain call of a method of the loop.

    A run that ends before that call is one that was not interrupted.
    """
    original, count = getattr(loop.Loop, name), 0

    def strike(self: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == call and not after:
            raise KeyboardInterrupt
        found = original(self, *arguments)
        if count == call:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, name, strike)
        with suppress(KeyboardInterrupt):
            yield
    assert count <= call


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "batch norm, schedule, upscaler",
        "muon, every objective, augmentation",
        "judge",
        "vae",
        "latent-flow",
    ],
)
@pytest.mark.parametrize("every", [-1.0, 1e9], ids=["checkpoint each step", "each epoch"])
@pytest.mark.parametrize("trials", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_killed_and_resumed_is_as_never_killed(
    trials: int,
    name: str,
    every: float,
    splits: DataSplits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three times each trial, before or after a step, a save, or the end."""
    job = jobs(splits)[name]
    run(job, splits, tmp_path / "whole")
    expected = outcome(job, tmp_path / "whole")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", every)
    rng = random.Random(f"{name} {every}")
    for trial in range(trials):
        root = tmp_path / str(trial)
        for _ in range(3):
            where, calls = rng.choice(
                [("take_step", 3), ("_save", 1), ("take_step", 2), ("finish", 1)]
            )
            with killed_in(monkeypatch, where, rng.randint(1, calls), after=rng.random() < 0.5):
                run(job, splits, root)
        run(job, splits, root)
        tensors, record, rows = outcome(job, root)
        assert same_tensors(tensors, expected[0])
        assert (record, rows) == expected[1:]
        for one in (job, *job.needs):
            left = sorted(path.name for path in one.folder(root).iterdir())
            assert left == ["config.json", "metrics.jsonl", "stage.safetensors"]


@pytest.fixture(scope="module")
def whole_root(splits: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the plain training was never interrupted."""
    root = tmp_path_factory.mktemp("whole")
    run(training(splits), splits, root)
    return root


@pytest.mark.parametrize(
    "step",
    [  # the first, and about the ends of both epochs
        step if step in (1, 4, 5, 6, 9, 10) else pytest.param(step, marks=pytest.mark.slow)
        for step in range(1, STEPS + 1)
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_each_step(
    step: int,
    after: bool,
    whole_root: Path,
    splits: DataSplits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a checkpoint after each step; the ends of the two epochs are among them."""
    job = training(splits)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    with killed_in(monkeypatch, "take_step", step, after):
        run(job, splits, tmp_path)
    assert not (job.folder(tmp_path) / "stage.safetensors").exists()
    run(job, splits, tmp_path)
    as_never_killed(job, tmp_path, whole_root)


def as_never_killed(job: Training, root: Path, whole_root: Path) -> None:
    (tensors, *told), (expected, *rest) = outcome(job, root), outcome(job, whole_root)
    assert same_tensors(tensors, expected)
    assert told == rest


@pytest.mark.parametrize("epoch", [1, 2])
def test_killed_between_the_metrics_and_the_checkpoint(
    epoch: int,
    whole_root: Path,
    splits: DataSplits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = training(splits)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    for call, after in ((epoch, False), (1, True)):
        with killed_in(monkeypatch, "_end_epoch", call, after):
            run(job, splits, tmp_path)
    run(job, splits, tmp_path)
    as_never_killed(job, tmp_path, whole_root)


@pytest.mark.slow
def test_a_process_that_is_killed_five_times(
    splits: DataSplits, data_dir: Path, preset: Path, tmp_path: Path
) -> None:
    """SIGKILL at random moments of `scalespace train`, from its imports to its last step."""
    command = [sys.executable, "-m", "scalespace.cli", "train", "small", "--preset", str(preset)]
    command += ["--data-dir", str(data_dir), "--device", "cpu", "--train.epochs=1000", "--quiet"]
    command += ["--train.validate_every=50"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    rng, steps = random.Random(0), [0]

    def step() -> int:
        found = list((tmp_path / "out").rglob("metrics.jsonl"))
        rows = read_metrics(found[0]) if found else []
        return rows[-1]["step"] if rows else 0

    for k in range(5):
        process = subprocess.Popen([*command, "--out", str(tmp_path / "out")], env=environment)
        # the first before it trains, the others once they have come further than the last
        while k and step() == steps[-1] and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        steps.append(step())
    assert steps == sorted(steps)
    assert 0 < steps[2] < steps[-1] < 5000
    subprocess.run([*command, "--out", str(tmp_path / "out")], env=environment, check=True)

    job = training(splits, epochs=1000, validate_every=50)
    run(job, splits, tmp_path / "whole")
    ours, theirs = outcome(job, tmp_path / "whole"), outcome(job, tmp_path / "out" / "trainings")
    assert same_tensors(ours[0], theirs[0])
    assert ours[1:] == theirs[1:]
    assert not list(tmp_path.rglob("*.part*"))


@pytest.fixture
def interrupted(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Training, Path]:
    """A training that stopped in its second epoch, and its checkpoint."""
    job = training(splits)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    with killed_in(monkeypatch, "take_step", 8, after=False):
        run(job, splits, tmp_path)
    return job, job.folder(tmp_path) / "checkpoint.safetensors"


def test_a_checkpoint_cut_short(
    interrupted: tuple[Training, Path], splits: DataSplits, tmp_path: Path
) -> None:
    job, checkpoint = interrupted
    content = checkpoint.read_bytes()
    for size in (0, 1, 8, 200, len(content) // 2, len(content) - 1):
        checkpoint.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"checkpoint.*damaged"):
            run(job, splits, tmp_path)
        assert checkpoint.read_bytes() == content[:size]
    checkpoint.write_bytes(content)
    run(job, splits, tmp_path)


def test_a_checkpoint_with_a_damaged_header(
    interrupted: tuple[Training, Path], splits: DataSplits, tmp_path: Path
) -> None:
    """Any damage to its header ends in one clear error, or does not matter."""
    job, checkpoint = interrupted
    content, rng = checkpoint.read_bytes(), random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")
    at_record = content.index(b"record")
    refused = 0
    for trial in range(60):
        # every other one into the record, which is a small part of the header
        start, end = (at_record, at_record + 150) if trial % 2 else (0, header)
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 1, 3])):
            damaged[rng.randrange(start, end)] = rng.randrange(32, 127)
        checkpoint.write_bytes(damaged)
        try:
            loop.Loop(job, splits, job.folder(tmp_path), tiny.CPU)
        except InputError:
            refused += 1
    assert refused > 20


def test_a_checkpoint_of_another_training(
    interrupted: tuple[Training, Path], splits: DataSplits, tmp_path: Path
) -> None:
    _, checkpoint = interrupted
    other = training(splits, seed=9)
    target = other.folder(tmp_path) / "checkpoint.safetensors"
    target.parent.mkdir()
    target.write_bytes(checkpoint.read_bytes())
    with pytest.raises(InputError, match="another training"):
        run(other, splits, tmp_path)


def test_a_finished_training_is_not_trained_again(
    splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = training(splits)
    first = run(job, splits, tmp_path)
    monkeypatch.setattr(fit_module, "Loop", None)
    again = run(job, splits, tmp_path)
    assert same_tensors(again.ema, first.ema)
    assert again.record == first.record


def test_a_finished_training_in_a_wrong_folder(splits: DataSplits, tmp_path: Path) -> None:
    job, other = training(splits), training(splits, seed=1)
    run(job, splits, tmp_path)
    job.folder(tmp_path).rename(other.folder(tmp_path))
    with pytest.raises(InputError, match="another training"):
        load_stage(other, tmp_path)
    with pytest.raises(InputError, match="not found"):
        load_stage(job, tmp_path)


def test_divergence(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, lr=1e30)
    with pytest.raises(InputError, match=r"'small' diverged in epoch \d.*--train.lr"):
        run(job, splits, tmp_path)
    assert not (job.folder(tmp_path) / "stage.safetensors").exists()


@pytest.mark.parametrize("grid_every", [0, 1])
def test_divergence_in_the_last_step(splits: DataSplits, tmp_path: Path, grid_every: int) -> None:
    """Its own loss is of the weights before it: only the validation sees what it has done."""
    job = training(splits, epochs=1, batch_size=10_000, lr=1e30, grid_every=grid_every)
    with pytest.raises(InputError, match=r"'small' diverged in epoch 1 \(validation loss nan"):
        run(job, splits, tmp_path)
    assert not (job.folder(tmp_path) / "stage.safetensors").exists()


def test_fewer_images_in_a_batch_than_devices(splits: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--devices 3 cannot share batches of"):
        fit(training(splits, batch_size=2), splits, tmp_path, replace(tiny.CPU, devices=3))


def test_a_file_in_the_folders_place(splits: DataSplits, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(InputError, match="cannot write"):
        run(training(splits), splits, tmp_path / "file")


def test_what_killed_writers_left_is_swept(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits, grid_every=1)
    for name in (".checkpoint.123.part.safetensors", "grids/.epoch-0001.123.part.png"):
        path = job.folder(tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    run(job, splits, tmp_path)
    found = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        *("config.json", "metrics.jsonl", "stage.safetensors"),
        *("epoch-0001.png", "epoch-0002.png"),
    }


def test_config_beside_the_training(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits)
    run(job, splits, tmp_path)
    config = json.loads((job.folder(tmp_path) / "config.json").read_text())
    assert config["identity"] == job.identity
    assert config["recipe"]["train"]["epochs"] == 2
    assert config["stage"]["name"] == "small"


@pytest.mark.parametrize("content", [None, b"", b"junk", b"3\n[]\n", b"\xff\xfe"])
def test_metrics_need_not_be_there_to_go_on(
    content: bytes | None,
    interrupted: tuple[Training, Path],
    whole_root: Path,
    splits: DataSplits,
    tmp_path: Path,
) -> None:
    """The checkpoint remembers them."""
    job, checkpoint = interrupted
    metrics = checkpoint.with_name("metrics.jsonl")
    metrics.unlink() if content is None else metrics.write_bytes(content)
    run(job, splits, tmp_path)
    as_never_killed(job, tmp_path, whole_root)


def test_a_checkpoint_of_an_earlier_version(
    interrupted: tuple[Training, Path], splits: DataSplits, tmp_path: Path
) -> None:
    """It left the metrics to the file beside it."""
    job, checkpoint = interrupted
    tensors, record = load_tensors(checkpoint)
    save_file(tensors, checkpoint, metadata={"record": json.dumps(record | {"rows": []})})
    with pytest.raises(InputError, match="lacks rows of metrics that its 1 epochs made: delete it"):
        run(job, splits, tmp_path)
    del record["rows"]
    save_file(tensors, checkpoint, metadata={"record": json.dumps(record)})
    run(job, splits, tmp_path)
    run(job, splits, tmp_path / "whole")
    assert outcome(job, tmp_path)[1:] == outcome(job, tmp_path / "whole")[1:]


def test_two_processes_do_not_train_the_same(splits: DataSplits, tmp_path: Path) -> None:
    job = training(splits)
    with (
        locked(job.folder(tmp_path), "training"),
        pytest.raises(InputError, match="another process works on this training"),
    ):
        run(job, splits, tmp_path)
    run(job, splits, tmp_path)
    assert not list(tmp_path.rglob(".lock"))


def test_metrics_with_a_last_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert read_metrics(path) == [{"epoch": 1}, {"epoch": 2}]
