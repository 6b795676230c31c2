"""The experiment of the paper's section 1.3, its control and its cures: one call, one folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from scalespace.core.solvers import make_solver
from scalespace.errors import InputError
from scalespace.files import write_json, write_text
from scalespace.machine import versions
from scalespace.toy import figures
from scalespace.toy.config import PAPER, STATES, ToyConfig, arms
from scalespace.toy.measures import Paths, blame, measure, paths, together, x0_errors
from scalespace.toy.model import Toy, fit
from scalespace.toy.report import markdown
from scalespace.toy.strays import TOLERANCE, astray, wilson
from scalespace.toy.trajectories import draw_noise, reverse

SAMPLES = 10_000
SOLVERS = ("ancestral", "ddim")
"""Those whose discretisation error is counted, with eta 0."""
STATE_COUNTS = (5, 10, STATES, 50, 200, 1000)
MOST = 1_000_000  # samples; all states of all of them are in memory at once
ERROR_SAMPLES = 4000  # for the errors over the forward process


def experiment(
    out: Path,
    base: ToyConfig,
    seeds: Sequence[int] = (0, 1, 2),
    samples: int = SAMPLES,
    tolerance: float = TOLERANCE,
    cures: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains (or takes from `out`) every arm and seed, and writes `toy.json`, `toy.md` and figures.

    Args:
        out: folder; `out/trained` keeps each trained network.
        base: the settings that each arm changes in one thing.
        seeds: one training of every arm for each.
        samples: reverse trajectories a seed.
        tolerance: what makes a stray, in half-gaps.
        cures: also the arms of the cures.
        progress: show progress bars.

    Returns:
        What `toy.json` holds.

    Raises:
        InputError: bad settings, a training that diverged, or a file that cannot be written.
        OSError: the folder cannot be made.
    """
    _check(seeds, samples, tolerance)
    out.mkdir(parents=True, exist_ok=True)  # refused now rather than after a training
    noises: dict[tuple[int, int], Tensor] = {}

    def noise(seed: int, states: int) -> Tensor:
        """Drawn once for all arms that have as many states."""
        if (seed, states) not in noises:
            noises[seed, states] = draw_noise(seed, samples, states)
        return noises[seed, states]

    rows: dict[str, Any] = {}
    shown: tuple[list[Toy], list[Paths]] = [], []
    for name, (arm, config) in arms(base, cures).items():
        models = [fit(config, seed, out / "trained", progress) for seed in seeds]
        pairs = zip(seeds, models, strict=True)
        found = [paths(model, noise(seed, model.schedule.states)) for seed, model in pairs]
        rows[name] = {
            "title": arm.title,
            "changes": dict(arm.changes),
            "epochs": config.epochs,
            "last_signal": models[0].schedule.last_signal,
            **measure(models[0], together(found), tolerance),
            "seeds": {
                str(seed): {
                    **measure(model, own, tolerance),
                    "x0_error": x0_errors(model, ERROR_SAMPLES, seed),
                }
                for seed, model, own in zip(seeds, models, found, strict=True)
            },
        }
        if name == PAPER:
            shown = models, found
    models, found = shown
    results = {
        "settings": {
            **asdict(base),
            "seeds": list(seeds),
            "samples": samples,
            "tolerance": tolerance,
            "interval": "95%, Wilson",
        },
        "arms": rows,
        "blame": _pooled_blame(models, seeds, noise, tolerance),
        "states": exact_by_states(base, seeds, samples, tolerance),
        "versions": versions(),
    }
    write_json(out / "toy.json", results)
    pictures = figures.draw(out, results, models, found, seeds)
    write_text(out / "toy.md", markdown(results, pictures))
    return results


def exact_by_states(
    base: ToyConfig, seeds: Sequence[int], samples: int, tolerance: float
) -> list[dict[str, Any]]:
    """Strays of the exact process by its number of states, for each solver.

    The exact network makes no error, so they all come from discretisation and vanish with more
    states.
    """
    rows = []
    for states in STATE_COUNTS:
        model = Toy(base.changed({"process.states": states}), 0)
        strays: dict[str, list[Tensor]] = {name: [] for name in SOLVERS}
        for seed in seeds:
            noise = draw_noise(seed, samples, states)
            for name in SOLVERS:
                x, _ = reverse(make_solver(name), model.exact, model.segment, noise)
                strays[name].append(astray(x[0], model.mixture, tolerance))
        pooled = {
            name: asdict(wilson(sum(int(s.sum()) for s in own), samples * len(seeds)))
            for name, own in strays.items()
        }
        rows.append({"states": states, "last_signal": model.schedule.last_signal, **pooled})
    return rows


def _pooled_blame(
    models: Sequence[Toy], seeds: Sequence[int], noise: Any, tolerance: float
) -> dict[str, list[dict[str, Any]]]:
    each = [
        blame(model, noise(seed, model.schedule.states), tolerance)
        for seed, model in zip(seeds, models, strict=True)
    ]
    return {
        part: [
            asdict(wilson(sum(s.count for s in same), sum(s.n for s in same)))
            for same in zip(*(one[part] for one in each), strict=True)
        ]
        for part in ("late", "early")
    }


def _check(seeds: Sequence[int], samples: int, tolerance: float) -> None:
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise InputError(f"--seeds must be different numbers >= 0, got {list(seeds)}")
    if not 1 <= samples <= MOST:
        raise InputError(f"--samples must lie between 1 and {MOST:,}, got {samples}")
    if not 0 < tolerance < 1:
        raise InputError(f"--tolerance must lie between 0 and 1, got {tolerance:g}")
