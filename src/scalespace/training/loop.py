"""The training loop of a stage.

All randomness of a step comes from (seed, stage, step), so a run that was killed and goes on from
its checkpoint takes the same steps as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from scalespace.config import TrainConfig
from scalespace.config.checks import HISTORY
from scalespace.core.noise import derive_seed
from scalespace.data import DataSplits, balanced_sample
from scalespace.data.pixels import pictures
from scalespace.errors import InputError
from scalespace.figures.grids import save_grid
from scalespace.files import write_rows
from scalespace.progress import bar
from scalespace.stages.base import Models
from scalespace.training.checkpoint import (
    load_tensors,
    load_weights,
    save_tensors,
    under_prefix,
    with_prefix,
)
from scalespace.training.ema import EMA
from scalespace.training.events import EventLog
from scalespace.training.metrics import METRICS_FILE, grid_path, read_metrics
from scalespace.training.muon import Muon, kernels
from scalespace.training.runtime import Runtime, keep_freed_memory
from scalespace.training.training import Training

CHECKPOINT_SECONDS = 15.0
MOMENTS = {"Adam": ("exp_avg", "exp_avg_sq"), "Muon": ("momentum",)}
"""The state that each optimiser keeps for a parameter."""


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The rate of step 0 .. steps-1: a linear warm-up times the chosen decay."""
    rise = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    return config.lr * rise * decayed(config.decay, step / steps)


def decayed(decay: str, done: float) -> float:
    """The factor on a learning rate after a share `done` in [0, 1) of the steps."""
    left = {"none": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return left[decay]


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Adam, and Muon for the kernels inside the network if the config gives it a rate.

    The largest rate of each is its groups' `peak`.
    """
    own = kernels(model) if config.muon else []
    ids = {id(p) for p in own}
    rest = [p for p in model.parameters() if id(p) not in ids]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(rest, config.lr, fused=True)]
    if own:
        optimizers.append(Muon(own, config.muon))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


class Loop:
    """The state of one run of the loop."""

    def __init__(
        self,
        training: Training,
        splits: DataSplits,
        folder: Path,
        runtime: Runtime,
        needs: Models | None = None,
    ) -> None:
        self.training, self.folder, self.runtime = training, folder, runtime
        self.config = training.recipe.train
        self.checkpoint = folder / "checkpoint.safetensors"
        if self.config.batch_size < runtime.together:
            raise InputError(
                f"--devices {runtime.together} cannot share batches of train.batch_size "
                f"{self.config.batch_size}: each needs an image at least"
            )
        keep_freed_memory()
        self.fabric = runtime.fabric()
        self.fabric.launch()
        device = self.fabric.device

        self.model = training.build(needs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed("opponents"))
            self.model.oppose()
        self.model.to(device)
        self.ema = EMA(self.model, self.config.ema)
        self.optimizers = make_optimizers(self.model, self.config)
        train, val = training.stage.parts(splits)
        self.data, self.labels = self._resident(train, device)
        self.model.begin(self.data, self.labels)
        held_out = min(self.config.validate_images, len(val))
        self.held_out, self.held_out_labels = self._resident(
            val.subset(balanced_sample(val.labels, held_out, seed=0)), device
        )
        self.batch_size, self.steps = training.steps(len(self.labels))
        self.steps_per_epoch = self.steps // self.config.epochs
        self.step = 0
        self.seconds = 0.0
        wide = torch.float32 if device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=wide, device=device)
        self.rows: list[dict[str, Any]] = []
        self.events: EventLog | None = None
        if self.checkpoint.exists():
            self._resume()
        self.wrapped, *self.steppers = self.fabric.setup(self.model, *self.optimizers)
        self.wrapped.train()

    def _resident(self, images: Any, device: torch.device) -> tuple[tuple[Tensor, ...], Tensor]:
        x = self.training.data.standardize(images.unit())
        parts = self.model.prepare(x, images.labels.cpu())
        return tuple(part.to(device) for part in parts), images.labels.to(device)

    def run(self) -> None:
        """Takes all steps that are left."""
        saved = time.monotonic()
        with self._bar() as shown, self._logged():
            while self.step < self.steps:
                for batch in self.rest_of_epoch():
                    began = time.monotonic()
                    self.take_step(batch)
                    shown.update()
                    self.seconds += time.monotonic() - began
                    ended = self.step % self.steps_per_epoch == 0  # _end_epoch saves, with its row
                    if not ended and time.monotonic() - saved > CHECKPOINT_SECONDS:
                        self._save()
                        shown.set_postfix(loss=f"{self._mean_loss():.4f}", refresh=False)
                        saved = time.monotonic()
                self._end_epoch()
                shown.set_postfix(loss=f"{self.rows[-1]['loss']:.4f}", refresh=False)
                saved = time.monotonic()

    @torch.no_grad()
    def finish(self) -> None:
        """Gives both sets of weights the statistics of the training part."""
        for model in (self.ema.model, self.model):
            model.finish(self.data, self.labels)  # type: ignore[operator]

    def summary(self) -> dict[str, Any]:
        """How the run went, for the record of the finished stage."""
        last = self.rows[-1]
        return {
            "steps": self.steps,
            "images": self.steps * self.batch_size,
            "seconds": round(self.seconds, 3),
            "device": str(self.fabric.device),
            "precision": self.runtime.precision,
            "devices": self.runtime.together,
            "loss": last["loss"],
            "val_loss": last["val_loss"],
            "val_loss_per_t": last["val_loss_per_t"],
            "history": [{name: row[name] for name in HISTORY if name in row} for row in self.rows],
        }

    def rest_of_epoch(self) -> Iterator[Tensor]:
        """The indices of this process's part of each batch that is left in the epoch."""
        epoch, first = divmod(self.step, self.steps_per_epoch)
        rng = torch.Generator().manual_seed(self._seed("epoch", epoch))
        order = torch.randperm(len(self.labels), generator=rng).to(self.labels.device)
        for k in range(first, self.steps_per_epoch):
            batch = order[k * self.batch_size : (k + 1) * self.batch_size]
            yield batch[self.fabric.global_rank :: self.fabric.world_size]

    def take_step(self, batch: Tensor) -> None:
        rng = torch.Generator(self.labels.device)
        rng.manual_seed(self._seed("step", self.step, self.fabric.global_rank))
        rate = learning_rate(self.config, self.step, self.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["peak"] / self.config.lr
        losses = self.wrapped([part[batch] for part in self.data], self.labels[batch], rng)
        loss = losses.mean()
        self.fabric.backward(loss)
        for stepper in self.steppers:
            stepper.step()
            stepper.zero_grad()
        self.step += 1
        self.ema.update(self.step)
        self.loss_sum += loss.detach()

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Writes an event file meanwhile, if one is asked for."""
        if not self.runtime.logs or not self.fabric.is_global_zero:
            yield
            return
        with EventLog(self.folder, self.rows) as self.events:
            yield

    def _mean_loss(self) -> float:
        done = self.step % self.steps_per_epoch or self.steps_per_epoch
        return float(self.loss_sum) / done

    def _end_epoch(self) -> None:
        epoch = self.step // self.steps_per_epoch
        last = self.step == self.steps
        loss = self._mean_loss()
        self._check_finite("loss", loss, epoch)
        row: dict[str, Any] = {
            "epoch": epoch,
            "step": self.step,
            "loss": loss,
            "lr": learning_rate(self.config, self.step - 1, self.steps),
            "seconds": round(self.seconds, 3),
        }
        if last or epoch % self.config.validate_every == 0:
            per_t = self._validate()
            row |= {"val_loss": sum(per_t) / len(per_t), "val_loss_per_t": per_t}
            self._check_finite("validation loss", row["val_loss"], epoch)  # the last step, too
        if self.fabric.is_global_zero:
            if self.config.grid_every and (last or epoch % self.config.grid_every == 0):
                self._save_grid(epoch)
            self.rows.append(row)
            write_rows(self.folder / METRICS_FILE, self.rows)
            if self.events:
                self.events.add(row)
        else:
            self.rows.append(row)
        self.loss_sum.zero_()
        if not last:
            self._save()

    def _check_finite(self, what: str, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise InputError(
                f"training of '{self.training.stage.name}' diverged in epoch {epoch} "
                f"({what} {loss}): try a smaller --train.lr"
            )

    @torch.no_grad()
    def _validate(self) -> list[float]:
        """The averaged network's loss at each level, on the same images and noise every time."""
        rng = torch.Generator(self.labels.device).manual_seed(0)
        losses = self.ema.model.validate(self.held_out, self.held_out_labels, rng)  # type: ignore[operator]
        return [round(value, 6) for value in losses.mean(dim=0).tolist()]

    @torch.no_grad()
    def _save_grid(self, epoch: int) -> None:
        classes = self.held_out_labels.unique().tolist()[:10]  # of those that have an image
        first = [int((self.held_out_labels == c).nonzero()[0]) for c in classes]
        rows = torch.tensor(first, device=self.labels.device).repeat(4)
        batch = [part[rows] for part in self.held_out]
        x = self.ema.model.preview(batch, self.held_out_labels[rows], seed=0)  # type: ignore[operator]
        if x is None:
            return
        images = pictures(self.training.data.to_unit(x))
        save_grid(grid_path(self.folder, epoch), images, len(classes))

    def _seed(self, *purpose: object) -> int:
        return derive_seed(self.training.seed, self.training.stage.name, *purpose)

    def _parameters(self) -> Iterator[tuple[torch.optim.Optimizer, Tensor]]:
        """Each parameter with its optimiser, in a fixed order."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    yield optimizer, p

    def _save(self) -> None:
        if not self.fabric.is_global_zero:
            return
        moments = {
            f"{i}.{key}": value
            for i, (optimizer, p) in enumerate(self._parameters())
            for key, value in optimizer.state[p].items()
        }
        tensors = {
            **with_prefix("raw", self.model.state_dict()),
            **with_prefix("ema", self.ema.model.state_dict()),
            **with_prefix("optimizer", moments),
        }
        record = {
            "identity": self.training.identity,
            "step": self.step,
            "loss_sum": float(self.loss_sum),
            "seconds": self.seconds,
            "rows": self.rows,
        }
        save_tensors(self.checkpoint, tensors, record)

    def _resume(self) -> None:
        tensors, record = load_tensors(self.checkpoint, "checkpoint")
        where = f"checkpoint {self.checkpoint}"
        if record.get("identity") != self.training.identity:
            raise InputError(f"{where} is of another training: delete it to start afresh")
        load_weights(self.model, under_prefix("raw", tensors), where)
        load_weights(self.ema.model, under_prefix("ema", tensors), where)
        moments = under_prefix("optimizer", tensors)
        try:
            for i, (optimizer, p) in enumerate(self._parameters()):
                # fused Adam walks parameter and moments in memory order: empty_like keeps it
                optimizer.state[p] = {
                    key: torch.empty_like(p).copy_(moments[f"{i}.{key}"])
                    for key in MOMENTS[type(optimizer).__name__]
                }
                if isinstance(optimizer, torch.optim.Adam):
                    optimizer.state[p]["step"] = moments[f"{i}.step"].to(p.device)
            self.step, self.seconds = int(record["step"]), float(record["seconds"])
            self.loss_sum.fill_(float(record["loss_sum"]))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{where} is damaged ({' '.join(str(error).split())}): delete it to start afresh"
            ) from error
        if not 0 < self.step < self.steps:
            raise InputError(
                f"{where} is damaged (it has step {self.step} of {self.steps}): delete it to start "
                "afresh"
            )
        epochs = self.step // self.steps_per_epoch
        # checkpoints of earlier versions leave the rows to the file beside them
        rows = record.get("rows", read_metrics(self.folder / METRICS_FILE)[:epochs])
        if [row.get("epoch") for row in rows] != list(range(1, epochs + 1)):
            raise InputError(
                f"{where} lacks rows of metrics that its {epochs} epochs made: delete it to start "
                "afresh"
            )
        self.rows = rows

    def _bar(self) -> tqdm[Any]:
        return bar(
            self.steps,
            f"train {self.training.stage.name} (seed {self.training.seed})",
            "step",
            shown=self.runtime.progress and self.fabric.is_global_zero,
            done=self.step,
        )
