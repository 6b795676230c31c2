"""Where to put few network calls: evenly by state, by log SNR, or by correlation.

    python benchmarks/steps.py --data-dir DATA --models baseline,cascaded --calls 1,2,3,4,6,8,10

Samples the shipped models (or model folders) with each choice and measures the Frechet distance of
the images from the training part. Nothing of the test part is read, so that what is chosen by these
figures is not chosen by it. In a cascade one stage's calls change at a time; the other stage is
called at equal distances, `small` 8 times and the upscaler twice.

The four choices: `state`, `snr` and `correlation` are those of `process.spacing`; `components` is
`correlation` with the variances of this data's own principal components in the place of a power
law's. An upscaler's are those of the image less its enlarged condition, although the network knows
more of it than that.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import scalespace as sc
from scalespace.config import CASConfig
from scalespace.core.sampling import Leg
from scalespace.core.scale import up
from scalespace.core.segment import Segment
from scalespace.core.steps import by_correlation, by_snr, by_state
from scalespace.data import DataSplits
from scalespace.evaluation.evaluate import METRICS, Real

SPACINGS = ("state", "snr", "correlation", "components")

CALLS = {"small": 8, "upscaler": 2}
"""Of a stage while another's change; 8 of others."""


def at_rest(segment: Segment) -> tuple[float, ...]:
    """The states that a stage is called in while another's change."""
    last = segment.schedule.last
    return by_state(segment.schedule, min(CALLS.get(segment.name, 8), last))


def components(splits: DataSplits, segment: Segment) -> list[float]:
    """Variances of the principal components of the classes, the mean over them, above 0.001."""
    x0 = segment.x0_of(splits.info.standardize(splits.train.unit()))
    for low in segment.jump.inputs(x0):
        x0 = x0 - up(low, segment.jump.factor)
    x0, labels = x0.flatten(1).double(), splits.train.labels
    spectra = [torch.linalg.eigvalsh(torch.cov(x0[labels == c].T)) for c in labels.unique()]
    mean = torch.stack(spectra).mean(dim=0)
    return [float(v) for v in mean if v > 1e-3]


def places(leg: Leg, spacing: str, calls: int, variances: list[float]) -> list[float]:
    """The states of so many calls."""
    segment = leg.segment
    if spacing in ("state", "snr"):
        return list((by_state if spacing == "state" else by_snr)(segment.schedule, calls))
    parts = segment.components()
    if spacing == "components":  # the data's own, which are those of the whole image
        parts = ([(v, 1.0) for v in variances],)
    return list(
        by_correlation(
            segment.schedule,
            calls,
            solver=leg.solver,
            bands=list(zip(segment.schedules, parts, strict=True)),
            temperature=leg.temperature,
        )
    )


def main() -> None:
    """Samples, measures, and prints a row a choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--models", default="cascaded,baseline", help="shipped ones, or folders")
    parser.add_argument("--calls", default="1,2,3,4,5,6,7,8,9,10")
    parser.add_argument("--spacings", default=",".join(SPACINGS))
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--fields", default="{}", help="JSON of fields that matter in sampling")
    parser.add_argument("--out", type=Path, help="JSON lines, added to; rows that are there stay")
    options = parser.parse_args()
    splits = sc.load_data(options.data, options.data_dir)
    real = Real(splits, CASConfig(), part="validation", progress=False)
    done: dict[str, float] = {}
    if options.out and options.out.exists():
        rows = map(json.loads, options.out.read_text().splitlines())
        done = {row["key"]: row["fd"] for row in rows}
    labels = [i % len(splits.train.classes) for i in range(options.images)]
    measured = {key.rpartition(" ")[0]: fd for key, fd in done.items()}
    for name in options.models.split(","):
        model = sc.Model.from_pretrained(name)
        if fields := json.loads(options.fields):
            model = model.resampled(fields)
        for leg in model.legs:
            segment = leg.segment
            variances = components(splits, segment)
            others = {
                other.segment.name: at_rest(other.segment)
                for other in model.legs
                if other.segment.name != segment.name
            }
            for calls in map(int, options.calls.split(",")):
                for spacing in options.spacings.split(","):
                    if calls > segment.schedule.last:
                        continue
                    states = places(leg, spacing, calls, variances)
                    steps = {**others, segment.name: states}
                    key = f"{name} {json.dumps(steps, sort_keys=True)} {options.fields}"
                    row_key = f"{key} {spacing}"
                    if row_key in done:
                        continue
                    if key not in measured:
                        samples = model.sample(labels, options.seed, steps=steps)
                        measured[key] = METRICS["fd"].measure(samples, real)["fd"]
                    row = {
                        "key": row_key,
                        "model": name,
                        "segment": segment.name,
                        "calls": calls,
                        "spacing": spacing,
                        "states": states,
                        "fd": round(measured[key], 4),
                        "n": options.images,
                        "fields": fields,
                    }
                    print(json.dumps(row), flush=True)
                    if options.out:
                        with options.out.open("a") as file:
                            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
