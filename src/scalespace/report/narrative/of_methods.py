"""A study of methods in sentences: which makes the best images, and is it chance?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from scalespace.evaluation.controls import CONTROLS
from scalespace.report import paper
from scalespace.report.metrics import MetricInfo, foremost
from scalespace.report.narrative.chance import LISTED, Known, deviation, leaders
from scalespace.report.results import REAL, Results
from scalespace.report.tables.quality import ratio_to_floor
from scalespace.report.words import join, times


@dataclass(frozen=True)
class OfMethods:
    """Ranks methods by CAS, if it was measured, and by the other metrics that decide."""

    results: Results

    @property
    def headline(self) -> str:
        """The main result in one short sentence."""
        names, titles, study = self.ranking, self.results.titles, self.results.study
        if not names:
            if not study.decides:
                return "Nothing that this study measured says what is best: Table 2 has it."
            return next(iter(self.by_others), "No method of this study has been scored yet.")
        top = f"“{titles[names[0]]}”"
        tied = leaders({name: self._cas(name) for name in names})
        if len(names) > 1 and not tied:
            return f"{top} has the highest CAS, perhaps by chance: its spread is not known."
        if len(tied) > LISTED:
            return f"{len(tied)} methods are too close to call, with {top} first."
        if len(tied) > 1:
            return f"{join(f'“{titles[name]}”' for name in tied)} are too close to call."
        if len(names) > 1:
            return f"{top} makes the most useful images."
        return f"{top} stands alone in this study."

    @property
    def lead(self) -> str:
        """What the headline's method scores, in a sentence; empty if nothing is known by CAS."""
        scores, names = self.results.scores, self.ranking
        if not names:
            return ""
        best, top = scores[names[0]], self.results.titles[names[0]]
        outcome = (
            f"A classifier trained on {best.n:,} images of “{top}” reads {best.mean:.1%} of real "
            f"{self.results.study.part} images"
        )
        if REAL in scores:
            real = scores[REAL]
            many = "as many real ones" if real.n == best.n else f"{real.n:,} real ones"
            outcome += f", one trained on {many} {real.mean:.1%}"
        return f"{outcome}."

    @property
    def remarks(self) -> list[str]:
        """The order of the methods, the paper's order, and which is nearest to real images."""
        results, names = self.results, self.ranking
        titles = results.titles
        out = []
        for first, second in itertools.pairwise(names):
            better, worse = self._cas(first), self._cas(second)
            gap, chance = better.value - worse.value, better.chance(worse)
            verdict = "within" if gap <= chance else "more than"
            told = f"{verdict} two standard deviations of the difference ({chance:.4f})"
            if math.isnan(chance):
                told = "one classifier and one seed do not tell whether by chance"
            out.append(f"{titles[first]} is {gap:.4f} above {titles[second]}: {told}.")
        compared = [name for name in names if name in paper.CAS]
        if paper.shown(results.study) and len(compared) > 1:
            theirs = sorted(compared, key=lambda name: -paper.CAS[name][0])
            ours, its = (" > ".join(titles[n] for n in order) for order in (compared, theirs))
            out.append(f"Order here: {ours}. Order in the paper: {its}.")
        others = self.by_others  # without CAS the first of them is the headline
        return [*out, *(others if names else others[1:])]

    @property
    def ranking(self) -> list[str]:
        """The scored methods, best first."""
        scores = self.results.scores
        names = [name for name in scores if name not in CONTROLS]
        return sorted(names, key=lambda name: -scores[name].mean)

    @property
    def by_others(self) -> list[str]:
        """A sentence for each metric but CAS that decides and was measured, FD first."""
        metrics = foremost(self.results.study.decides)
        return [told for one in metrics if one.name != "cas" and (told := self._by(one))]

    def _by(self, metric: MetricInfo) -> str:
        """Which method is best by a metric; empty if not known."""
        results, title, titles = self.results, metric.title, self.results.titles
        names = [one.name for one in results.study.methods]
        known = {name: results.known(metric.name, name) for name in names}
        values = {name: value for name, value in known.items() if value is not None}
        if not values:
            return ""

        def told(name: str, units: str) -> str:
            ratio = ratio_to_floor(results, name) if metric.name == "fd" else None
            value = metric.spread(values[name], math.nan)
            return value + (units.format(f"{times(ratio)} times the floor") if ratio else "")

        order = sorted(values, key=lambda name: -metric.rank(values[name]))
        first = order[0]
        tied = leaders(
            {name: Known(values[name], deviation(results, metric.name, name)) for name in order}
        )
        if len(values) == 1:
            return f"{title} of “{titles[first]}” is {told(first, ', {}')}."
        score = f"{title} {told(first, ', {}')}"
        if not tied:
            return f"By {title} “{titles[first]}” is first, its spread not known: {score}."
        if len(tied) > 1:
            quoted = join(f"“{titles[name]}”" for name in tied)
            listed = join(told(name, " ({})") for name in tied)
            return f"By {title} {quoted} are too close to call: {listed}."
        if metric.name == "fd":
            return f"“{titles[first]}” is nearest to the real images: {score}."
        return f"By {title} “{titles[first]}” is best: {told(first, ', {}')}."

    def _cas(self, name: str) -> Known:
        return Known(self.results.scores[name].mean, deviation(self.results, "cas", name))
