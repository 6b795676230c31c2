"""What a GPU makes of it: sampling, scoring, training and a whole study, in one run.

    python benchmarks/gpu.py --out runs/gpu --data-dir DIR [--jobs 6] [--sections images,latency]

The engine's images are first checked against plain PyTorch's. Then everything is timed in turns,
and last a study of the paper is run from beginning to end. `gpu.json` and `gpu.md` are written anew
after each section, so that a run that is cut short leaves what it has. The first run compiles for
some minutes; the kernels stay on disk. `--device cpu --tiny` goes the same way in small, to try the
script.

The study alone, which needs MNIST:

    scalespace study --preset paper --device cuda --jobs 6 --engine torch --bench.productions=100
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scalespace.bench.cases import noise
from scalespace.bench.clock import Seconds, Work, in_turns, summary
from scalespace.bench.models import producer
from scalespace.bench.roofline import wait
from scalespace.config import CASConfig
from scalespace.data.pixels import pictures
from scalespace.errors import InputError
from scalespace.evaluation.cas import cas
from scalespace.files import write_json, write_text
from scalespace.machine import machine, versions
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.settings import load_config, make_training
from scalespace.training.loop import Loop
from scalespace.training.runtime import Runtime, find_device

Row = dict[str, Any]
CLOSE = 1e-4
"""How far an engine's pixels may be from plain PyTorch's, of a range of 1."""
STUDY = ("--preset", "paper", "--engine", "torch", "--bench.productions=100")
TINY_STUDY = (
    *("--preset", "quick", "--engine", "torch", "--study.methods=small", "--study.metrics=[cas]"),
    *("--study.images=30", "--train.epochs=1", "--cas.classifiers=2", "--cas.epochs=1"),
    *("--bench.productions=1", "--bench.warmup=1", "--bench.batch_sizes=[2]", "--bench.batches=1"),
)


@dataclass(frozen=True)
class Run:
    """How much is done, and where.

    Args:
        device: of all networks.
        engine: beside plain PyTorch.
        rounds: times that each piece of work is done, all in turns.
        turn: seconds that a turn of sampling lasts at least.
        rows: batch sizes in which images are checked.
        classifiers: of CAS.
        scored: images that they learn from.
        epochs: their passes over them.
        trained: images that stages learn from.
        batch: how many a step; None for each stage's own number.
        steps: calls of the models that are called more than once; None for their own.
        study: the words of the study's command.
        jobs: its tasks at a time.
        data_dir: where its data are.
    """

    device: torch.device
    engine: str = "compile"
    rounds: int = 20
    turn: float = 0.1
    rows: tuple[int, ...] = (1, 7, 64)
    classifiers: int = 5
    scored: int = 10_000
    epochs: int = 1
    trained: int = 1024
    batch: int | None = None
    steps: int | None = None
    study: tuple[str, ...] = STUDY
    jobs: int = 6
    data_dir: str | None = None

    def models(self) -> dict[str, Model]:
        """The paper's baseline with all its calls, and what ships, called as it ships."""
        names = ("baseline", "small", "cascaded", "cascaded-fast")
        shipped = {name: Model.from_pretrained(name, device=self.device) for name in names}
        every = [shipped["baseline"].stepped("all"), *shipped.values()]
        if self.steps is not None:
            every = [*(one.stepped(self.steps) for one in every[1:-1]), every[-1]]
        return {f"{one.method.name}, {one.calls} call{'s'[: one.calls - 1]}": one for one in every}


def images(run: Run) -> Iterator[Row]:
    """The engine's images against those of plain PyTorch: the largest difference of a pixel."""
    for name, model in run.models().items():
        fast, worst = model.with_engine(run.engine), 0.0
        for rows in run.rows:
            labels = [k % 10 for k in range(rows)]
            plain, found = (one.sample(labels, seed=rows).images for one in (model, fast))
            worst = max(worst, float(abs(plain - found).max()))
        how = "one graph" if fast.chain is not None else "call by call"
        yield {"case": f"{name}, {how}", "unit": "", "median": worst, "n": sum(run.rows)} | _aim(
            worst, most=CLOSE
        )


def latency(run: Run) -> Iterator[Row]:
    """One image alone, by plain PyTorch and by the engine."""
    works: dict[str, Work] = {}
    for name, model in run.models().items():
        works[f"{name}, torch"] = partial(_one_image, model)
        works[f"{name}, {run.engine}"] = partial(_one_image, model.with_engine(run.engine))
    times = in_turns(works, run.rounds, "one image", warmup=3, least=run.turn)
    aims = {f"baseline, 29 calls, {run.engine}": 2.0, f"cascaded-fast, 2 calls, {run.engine}": 0.3}
    for case, seconds in times.items():
        row = _row(case, "ms", 1e3, seconds)
        yield row | (_aim(row["median"], most=aims[case]) if case in aims else {})


def _one_image(model: Model) -> None:
    producer(model)(range(1))
    wait(model.device)


def scoring(run: Run) -> Iterator[Row]:
    """The classifiers of CAS, one after the other and as one batched model."""
    splits = noise(run.scored)
    shown, labels = pictures(splits.train.unit()), splits.train.labels.numpy()
    config = CASConfig(run.classifiers, run.epochs)

    def score(batched: bool) -> None:
        given = (shown, labels, splits.train.subset(torch.arange(min(1000, run.scored))))
        cas(*given, 0.5, 0.3, config, device=run.device, batched=batched)

    works: dict[str, Work] = {
        "one after the other": partial(score, False),
        "as one model": partial(score, True),
    }
    times = in_turns(works, max(1, run.rounds // 4), "score")
    for case, seconds in times.items():
        yield _row(case, "s", 1, seconds)
    alone, together = times.values()
    ratio = alone.median / together.median
    yield {"case": "times as fast", "unit": "", "median": ratio, "n": together.n} | _aim(
        ratio, least=4
    )


def training(run: Run) -> Iterator[Row]:
    """A step of training of each stage, at its own batch size."""
    changes = {} if run.batch is None else {"train.batch_size": run.batch}
    splits, config = noise(run.trained), load_config("default", changes)
    works: dict[str, Work] = {}
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(run.device.type, progress=False)  # type: ignore[arg-type]
        for stage in METHODS["baseline"].stages + METHODS["cascaded"].stages:
            made = make_training(config, stage, 0, splits.info)
            loop = Loop(made, splits, Path(folder, stage.name), runtime)
            works[stage.name] = partial(_step, loop, next(loop.rest_of_epoch()))
        times = in_turns(works, run.rounds, "train", warmup=3, least=run.turn)
    for case, seconds in times.items():
        yield _row(case, "ms", 1e3, seconds)


def _step(loop: Loop, batch: torch.Tensor) -> None:
    loop.take_step(batch)
    wait(batch.device)


def study(run: Run) -> Iterator[Row]:
    """A whole study in processes of its own, from start to report."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "scalespace", "study", *run.study, "--quiet"]
        words += ["--device", run.device.type, "--jobs", str(run.jobs), "--out", f"{folder}/study"]
        words += ["--data-dir", run.data_dir] if run.data_dir else []
        began = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True)
        seconds = time.perf_counter() - began
    if done.returncode:
        raise InputError((done.stderr.strip().splitlines() or ["the study failed"])[-1])
    row = _row(f"{run.study[1]}, {run.jobs} at a time", "s", 1, summary([seconds]))
    yield row | _aim(seconds, most=180)


SECTIONS: dict[str, Callable[[Run], Iterator[Row]]] = {
    "images": images,
    "latency": latency,
    "scoring": scoring,
    "training": training,
    "study": study,
}
"""Every section by name; its docstring is its heading."""


def _row(case: str, unit: str, factor: float, seconds: Seconds) -> Row:
    q1, median, q3 = (factor * each for each in (seconds.q1, seconds.median, seconds.q3))
    return {"case": case, "unit": unit, "median": median, "q1": q1, "q3": q3, "n": seconds.n}


def _aim(found: float, most: float | None = None, least: float | None = None) -> Row:
    """What a figure should be, and whether it is."""
    if most is not None:
        return {"aim": f"at most {most:g}", "reached": found <= most}
    assert least is not None
    return {"aim": f"at least {least:g}", "reached": found >= least}


def table(found: dict[str, Any]) -> str:
    """All rows in Markdown, a table a section."""
    about = found["machine"]
    made = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    parts = [f"{about['gpu'] or about['cpu']}; {made}."]
    for name in dict.fromkeys(row["section"] for row in found["rows"]):
        lines = ["| | median | quartiles | n | aim | |", "| --- | ---: | ---: | ---: | --- | --- |"]
        lines += [_line(row) for row in found["rows"] if row["section"] == name]
        heading = (SECTIONS[name].__doc__ or "").strip()
        parts.append(f"## {name.capitalize()}\n\n{heading}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    if "error" in row:
        return f"| failed: {row['error']} | | | | | |"
    spread = f"{row['q1']:.3g} to {row['q3']:.3g}" if "q1" in row else ""
    verdict = {True: "reached", False: "missed", None: ""}[row.get("reached")]
    value = f"{row['median']:.3g} {row['unit']}".strip()
    return f"| {row['case']} | {value} | {spread} | {row['n']} | {row.get('aim', '')} | {verdict} |"


def measure(run: Run, sections: list[str], out: Path) -> dict[str, Any]:
    """All rows of some sections; the files are written after each. A section may fail alone."""
    about = {"machine": machine(run.device), "versions": versions(), "cuda": torch.version.cuda}
    found: dict[str, Any] = {**about, "rows": []}
    for name in sections:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            for row in SECTIONS[name](run):
                found["rows"].append({"section": name, **row})
        except InputError as error:
            found["rows"].append({"section": name, "error": str(error)})
        write_json(out / "gpu.json", found)
        write_text(out / "gpu.md", table(found))
    return found


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="separated by commas")
    parser.add_argument("--jobs", type=int, default=6, help="tasks of the study at a time")
    parser.add_argument("--data-dir", help="root folder of the study's data")
    parser.add_argument("--tiny", action="store_true", help="as little as possible, to try it")
    options = parser.parse_args()
    sections = [name.strip() for name in options.sections.split(",")]
    if unknown := [name for name in sections if name not in SECTIONS]:
        parser.error(f"no section '{unknown[0]}': choose among {', '.join(SECTIONS)}")
    try:
        device = find_device(options.device)
        own: dict[str, Any] = {"jobs": options.jobs, "data_dir": options.data_dir}
        if device.type != "cuda":
            own["engine"] = "torch"
        if options.tiny:
            own |= {"rounds": 1, "turn": 0.0, "rows": (1, 3), "scored": 20, "steps": 1}
            own |= {"classifiers": 2, "trained": 40, "batch": 4, "study": TINY_STUDY, "jobs": 1}
        found = measure(Run(device, **own), sections, options.out)
    except InputError as error:
        parser.exit(2, f"{error}\n")
    print(table(found))


if __name__ == "__main__":
    main()
