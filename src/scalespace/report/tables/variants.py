"""The tables of a study of variants: each beside its base, by training seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scalespace.report import words
from scalespace.report.about import MethodInfo
from scalespace.report.differences import all_right, paired, right_alone, wrong_alone
from scalespace.report.metrics import MetricInfo
from scalespace.report.results import Results
from scalespace.report.tables.base import Table, over_seeds
from scalespace.report.words import NONE
from scalespace.studies.variants import ALL_RIGHT, ALL_WRONG, Variant, only_right, only_wrong

OUTSIDE = {
    "outside_pixels": "pixels outside",
    "outside_images": "images with any",
    "outside_x0_hat": "x0 estimates outside",
}
"""The shares of values outside the images' domain, and their titles in tables."""


def variant_tables(results: Results, method: MethodInfo) -> list[Table]:
    """The tables of a method: of its switches, if the study has any, and of its variants."""
    tables = (switch_table(results, method), variant_table(results, method))
    return [table for table in tables if table is not None]


def variant_table(results: Results, method: MethodInfo) -> Table:
    """A row for each variant of a method: its scores, and how they differ from its base's."""
    study = results.study
    own, name = study.of_method(method.name), method.name
    columns: dict[str, list[str]] = {}
    if len({one.base for one in own if one.base != one.name}) > 1:
        columns["compared with"] = [NONE if one.base == one.name else one.base for one in own]
    for metric in study.decides:
        title = metric.title
        found = [results.by_seed(metric.name, name, one.name) for one in own]
        columns[title] = [over_seeds(values, share=metric.share) for values in found]
        if results.alone:
            seeds = ", ".join(map(str, study.seeds))
            columns[f"{title} of seeds {seeds}"] = [_each(metric, v, study.seeds) for v in found]
        gaps = [
            None if one.base == one.name else paired(results, metric, name, one.name, one.base)
            for one in own
        ]
        columns[f"{title}, difference"] = [NONE if gap is None else str(gap) for gap in gaps]
    for metric in study.metrics.values():
        for figure, title in {} if metric.better else metric.figures.items():
            values = (results.by_seed(figure, name, one.name) for one in own)
            columns[title] = [over_seeds(found) for found in values]
    for figure, title in OUTSIDE.items():
        shares = [results.of(one.name).value(figure, method=name) for one in own]
        columns[title] = [NONE if share is None else f"{share:.2%}" for share in shares]
    cells = pd.DataFrame(columns, index=[one.name for one in own])
    cells = cells.loc[:, (cells != NONE).any()]
    return Table(
        cells,
        tuple(_notes(results, own, outside=any(title in cells for title in OUTSIDE.values()))),
        f"{method.title}: {words.plural(len(own), 'variant')}",
        {own[0].name: "control"},
    )


def switch_table(results: Results, method: MethodInfo) -> Table | None:
    """A row for each switch: what it brings turned right alone, and costs left wrong alone.

    None for a method that `study.only` keeps from running with a single switch turned.
    """
    own = {one.name for one in results.study.of_method(method.name)}
    switches = [
        switch
        for switch in results.study.config.study.switches
        if {only_right(switch), only_wrong(switch)} & own
    ]
    if not switches:
        return None
    columns = {}
    for metric in results.study.decides:
        ends = all_right(results, metric, method.name)
        right = [right_alone(results, metric, method.name, switch) for switch in switches]
        wrong = [wrong_alone(results, metric, method.name, switch) for switch in switches]
        columns[f"{metric.title}, right alone"] = [*right, ends]
        columns[f"{metric.title}, wrong alone"] = [*wrong, None if ends is None else -ends]
    every = "all of them"
    cells = pd.DataFrame(
        {
            title: [NONE if gap is None else str(gap) for gap in gaps]
            for title, gaps in columns.items()
        },
        index=[*switches, every],
    )
    note = (
        f"Right alone: the difference to “{ALL_WRONG}” with this switch alone right. Wrong alone: "
        f"the difference to “{ALL_RIGHT}” with this one alone wrong. Mean ± sample standard "
        f"deviation of the differences paired over "
        f"{words.plural(len(results.study.seeds), 'training seed')}. A switch that matters gains "
        "in the first column and loses in the second; one that only loses in the second is hidden "
        "by the other mistakes."
    )
    return Table(cells, (note,), f"{method.title}: switches", {every: "control"})


def _notes(results: Results, own: Sequence[Variant], outside: bool) -> list[str]:
    study = results.study
    n, m = len(study.seeds), study.config.cas.classifiers
    spread = f"mean ± sample standard deviation over {n} training seeds" if n > 1 else "one seed"
    notes = [f"Each seed is scored on {study.config.study.images:,} images of its own, {spread}."]
    if study.has_cas:
        notes.append(
            f"CAS is the mean of {words.plural(m, 'classifier')} tested on the real {study.part} "
            "images."
        )
    bases = {one.base for one in own[1:]}
    if bases:
        which = f"to “{bases.pop()}”, paired" if len(bases) == 1 else "paired"
        notes.append(f"Differences are {which} over the seeds (n = {n}).")
    if outside:
        notes.append(
            "Outside: share of the sampler's output, before it is clipped to pixels, that lies "
            "outside [0, 1] by more than 1e-6 or is NaN; for estimates of x0, over a whole reverse "
            "process of 12 images."
        )
    return notes


def _each(metric: MetricInfo, values: pd.Series[float], seeds: Sequence[int]) -> str:
    if not len(values):
        return NONE
    write = "{:.4f}".format if metric.share else words.digits
    return ", ".join(write(values[seed]) if seed in values else NONE for seed in seeds)
