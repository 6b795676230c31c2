"""How a network that was trained on batches of mixed states fares on batches of one state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalespace.report.results import Results
from scalespace.report.words import digits, join, times

LEAKING = 1.5  # times the loss on batches as in training: a loss above gets a sentence


@dataclass(frozen=True)
class Leak:
    """A stage's loss by state, over trainings that differ in their seeds alone.

    Args:
        variants: those that use the trainings.
        losses: by (batches, statistics) of `StageModel.losses_by_company`: the mean over seeds,
            [S-1].
    """

    stage: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    losses: dict[tuple[str, str], NDArray[np.float64]]

    def mean(self, batches: str, statistics: str) -> float | None:
        """The mean loss over the states, if it was measured."""
        found = self.losses.get((batches, statistics))
        return None if found is None else float(found.mean())

    @property
    def title(self) -> str:
        """'small, all wrong and 3 more'."""
        more = f" and {len(self.variants) - 1} more" if len(self.variants) > 1 else ""
        return f"{self.stage}, {self.variants[0]}{more}"


def leaks(results: Results) -> list[Leak]:
    """The losses of each network by batch: one `Leak` for each recipe of each stage."""
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for variant in results.study.variants:
        rows = results.of(variant).find("state_loss")
        for stage in dict.fromkeys(row["stage"] for row in rows):
            configs = dict.fromkeys(row["config"] for row in rows if row["stage"] == stage)
            alike.setdefault((stage, tuple(configs)), []).append(variant)
    found = []
    for (stage, _), variants in alike.items():
        rows = results.of(variants[0]).find("state_loss", stage=stage)
        losses: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
        for row in rows:
            per_t = np.array(row["per_t"], dtype=np.float64)
            losses.setdefault((row["batches"], row["statistics"]), []).append(per_t)
        seeds = tuple(dict.fromkeys(int(row["seed"]) for row in rows))
        means = {key: np.mean(values, axis=0) for key, values in losses.items()}
        found.append(Leak(stage, tuple(variants), seeds, means))
    return found


def leak_findings(results: Results) -> list[str]:
    """A sentence for each stage of the first variant that does worse on other batches."""
    out, first = [], next(iter(results.study.variants))
    for leak in leaks(results):
        if first not in leak.variants:
            continue
        trained = leak.mean("mixed", "batch")
        if trained is None or not trained > 0:
            continue
        worse = [
            f"{digits(loss)} on {words} ({times(loss / trained)} times)"
            for key, words in {
                ("single", "batch"): "batches of one state by batch statistics",
                ("mixed", "running"): "mixed batches by running statistics",
                ("single", "running"): "batches of one state by running statistics",
            }.items()
            if (loss := leak.mean(*key)) is not None and loss > LEAKING * trained
        ]
        if worse:
            out.append(
                f"Stage {leak.stage} ({leak.variants[0]}) has a loss of {digits(trained)} on "
                f"batches as in training (mixed states, batch statistics), but {join(worse)}."
            )
    return out
