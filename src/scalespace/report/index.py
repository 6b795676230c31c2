"""An index of several studies, which compares those of the same data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pandas as pd

from scalespace.errors import InputError
from scalespace.figures.album import Album
from scalespace.figures.picture import Picture
from scalespace.files import write_text
from scalespace.report import words
from scalespace.report.about import MethodInfo
from scalespace.report.figures.overall import overall
from scalespace.report.metrics import MetricInfo, foremost, of_all
from scalespace.report.page import REPORT, environment
from scalespace.report.results import Results
from scalespace.report.tables.base import Table, over_seeds
from scalespace.report.words import NONE
from scalespace.studies.folder import ABOUT, RESULTS

COSTS = {
    "macs": ("Cost: multiply-adds a sample (millions)", lambda value: f"{value / 1e6:,.1f}"),
    "latency_median": ("Cost: median latency of one image (ms)", words.milliseconds),
}


@dataclass(frozen=True)
class Entry:
    """A study of an index.

    Args:
        name: that no other study of the index has.
        results: what it measured.
    """

    name: str
    results: Results

    @property
    def data(self) -> tuple[str, str, str]:
        """What its scores are of: studies in which this differs cannot be compared."""
        study = self.results.study
        marks = (study.data.fingerprint, str(study.details.get("held_out", "")))
        return study.data.title, " ".join(filter(None, marks)), study.part

    @property
    def date(self) -> str:
        """The day of its last results."""
        changed = (self.results.folder / RESULTS).stat().st_mtime
        return datetime.fromtimestamp(changed).strftime("%Y-%m-%d")

    @cached_property
    def rows(self) -> dict[str, tuple[str, Results]]:
        """Its methods by title: the name, and the results of the best variant.

        Best by FD, without it by CAS, or else by another metric; the first if none is known.
        """
        return {
            method.title: (method.name, self.results.of(self._best(method)))
            for method in self.results.study.methods
        }

    def _best(self, method: MethodInfo) -> str:
        study = self.results.study
        own = [variant.name for variant in study.of_method(method.name)]
        for metric in foremost(study.decides):
            found = {
                name: self.results.by_seed(metric.name, method.name, name).mean() for name in own
            }
            known = {name: value for name, value in found.items() if value == value}
            if known:
                return max(known, key=lambda name: metric.rank(known[name]))
        return own[0] if own else self.results.variant


@dataclass(frozen=True)
class Group:
    """The studies of one data set, and what compares them."""

    title: str
    entries: tuple[Entry, ...]

    @property
    def studies(self) -> Table:
        """A row for each study."""
        about = {entry.name: _about(entry) for entry in self.entries}
        return Table(pd.DataFrame.from_dict(about, orient="index").fillna(NONE))

    @property
    def deciding(self) -> list[MetricInfo]:
        """The metrics by which its studies are compared, foremost first."""
        return of_all(entry.results.study.decides for entry in self.entries)

    @property
    def tables(self) -> list[Table]:
        """Scores and costs: a row for each method or variant, a column for each study."""
        made = [self._table(metric.title, _score(metric)) for metric in self.deciding]
        made += [self._table(title, _cost(name, write)) for name, (title, write) in COSTS.items()]
        return [table for table in made if len(table.cells)]

    @property
    def notes(self) -> list[str]:
        """What makes scores of these studies hard to compare."""
        return [
            f"{what} differ: {'; '.join(f'{value} ({names})' for value, names in found.items())}. "
            f"{so}"
            for what, found, so in (
                (
                    "Judges",
                    self._by(_judges),
                    "What two judges see, such as FD, cannot be compared.",
                ),
                (
                    "Numbers of images",
                    self._by(lambda one: f"{one.study.config.study.images:,}"),
                    "Fewer images make a larger FD and a lower CAS.",
                ),
                (
                    "CAS classifiers",
                    self._by(lambda one: _classifiers(one) if one.study.has_cas else ""),
                    "Classifiers that learn longer score higher.",
                ),
            )
            if len(found) > 1
        ]

    @property
    def pictures(self) -> list[Picture]:
        """Quality against cost, over all methods of all studies."""
        return overall({entry.name: entry.results for entry in self.entries}, self.title)

    def _table(self, title: str, cell: Callable[[Results, str], str]) -> Table:
        rows = list(dict.fromkeys(row for entry in self.entries for row in entry.rows))
        cells = pd.DataFrame(
            {
                entry.name: [
                    _named(cell(found[1], found[0]), found[1])
                    if (found := entry.rows.get(row))
                    else NONE
                    for row in rows
                ]
                for entry in self.entries
            },
            index=rows,
            dtype=object,
        )
        known = cells != NONE
        return Table(cells.loc[known.any(axis=1), known.any()], title=title)

    def _by(self, of: Callable[[Results], str]) -> dict[str, str]:
        """Names of studies by a property of theirs, without those that have none."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            if value := of(entry.results):
                found.setdefault(value, []).append(entry.name)
        return {value: words.join(names) for value, names in found.items()}


def build_index(folders: Sequence[Path | str], path: Path | str) -> tuple[int, list[str]]:
    """Writes a page that compares studies.

    Args:
        folders: of studies, or folders that hold some.
        path: of the page.

    Returns:
        how many studies are on it, and a line for each folder that is none.

    Raises:
        InputError: there is no study at all, or the page cannot be written.
    """
    path = Path(path)
    entries, refused = read_studies(folders)
    if not entries:
        raise InputError("; ".join(refused))
    html = (
        environment(Album())
        .get_template("index.html.jinja")
        .render(
            groups=groups(entries),
            count=len(entries),
            refused=refused,
            links={entry.name: _link(entry, path.parent) for entry in entries},
        )
    )
    write_text(path, html)
    return len(entries), refused


def read_studies(folders: Iterable[Path | str]) -> tuple[list[Entry], list[str]]:
    """Studies, each with a name of its own, and a line for each folder that is none.

    A folder that is no study stands for the studies right below it.
    """
    found: dict[Path, Results] = {}
    refused = []
    for folder in map(Path, folders):
        inside = sorted(folder.glob(f"*/{ABOUT}")) if not (folder / ABOUT).exists() else []
        for place in [one.parent for one in inside] or [folder]:
            try:
                found.setdefault(place.resolve(), Results(place))
            except InputError as error:
                refused.append(_why(place, error))
    names = _names([one.folder for one in found.values()])
    return [Entry(names[one.folder], one) for one in found.values()], refused


def groups(entries: Iterable[Entry]) -> list[Group]:
    """Studies by the data that their scores are of."""
    found: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.data, []).append(entry)
    titles = [_title(data, found) for data in found]
    return [Group(title, tuple(own)) for title, own in zip(titles, found.values(), strict=True)]


def _title(data: tuple[str, str, str], every: Mapping[tuple[str, str, str], object]) -> str:
    """The data's name, with as much more as tells it from the others'."""
    name, fingerprint, part = data
    alike = [other for other in every if other[0] == name and other != data]
    more = [f"{part} part"] if part != "test" or any(one[2] != part for one in alike) else []
    more += [fingerprint] if any(one[1] != fingerprint for one in alike) else []
    return f"{name} ({', '.join(more)})" if more else name


def _why(folder: Path, error: InputError) -> str:
    if not folder.exists():
        return f"{folder}: there is no such folder"
    if not folder.is_dir():
        return f"{folder} is a file, not a folder: name a study's folder"
    if not (folder / ABOUT).exists():
        return f"{folder}: no study (no {ABOUT} in it or right below it)"
    if not (folder / RESULTS).exists():
        return f"{folder}: nothing is measured yet (no {RESULTS})"
    return f"{folder}: {error}"


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The last part of each path, or so many as tell it from the others'."""
    parts = {folder: folder.resolve().parts for folder in folders}
    depth = 1
    while len({own[-depth:] for own in parts.values()}) < len(parts):
        depth += 1
    return {folder: "/".join(own[-depth:]) for folder, own in parts.items()}


def _about(entry: Entry) -> dict[str, str]:
    study = entry.results.study
    total, missing = len(study.tasks), len(entry.results.missing)
    done = f"{total - missing} of {total} tasks done" if missing else "finished"
    return {
        "preset": study.preset or NONE,
        "methods": words.join(method.title for method in study.methods),
        "variants": str(len(study.variants)) if study.compares else NONE,
        "seeds": ", ".join(map(str, study.seeds)),
        "images": f"{study.config.study.images:,}",
        "date": entry.date,
        "state": done,
    }


def _score(metric: MetricInfo) -> Callable[[Results, str], str]:
    return lambda results, method: over_seeds(
        results.by_seed(metric.name, method), share=metric.share
    )


def _named(cell: str, results: Results) -> str:
    """With the variant that it is of, where there are several."""
    return f"{cell} “{results.variant}”" if results.study.compares and cell != NONE else cell


def _cost(metric: str, write: Callable[[float], str]) -> Callable[[Results, str], str]:
    def cell(results: Results, method: str) -> str:
        value = results.value(metric, method=method)
        return NONE if value is None else write(value)

    return cell


def _judges(results: Results) -> str:
    judged = [metric.name for metric in results.study.metrics.values() if metric.judged]
    seen = {str(row["judge"]) for name in judged for row in results.find(name) if row.get("judge")}
    return words.join(sorted(seen))


def _classifiers(results: Results) -> str:
    cas = results.study.config.cas
    return f"{words.plural(cas.epochs, 'epoch')} of {cas.batch_size} images"


def _link(entry: Entry, base: Path) -> str:
    """The way from the index to a study's report; empty if it has none."""
    report = entry.results.folder / REPORT
    if not report.exists():
        return ""
    return Path(os.path.relpath(report.resolve(), base.resolve())).as_posix()
