"""A study of variants in sentences: which is best, and which switches matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scalespace.report.about import MethodInfo
from scalespace.report.batch_leaks import leak_findings
from scalespace.report.differences import Paired, all_right, paired, right_alone, wrong_alone
from scalespace.report.metrics import MetricInfo, foremost
from scalespace.report.narrative.chance import LISTED, Known, deviation, leaders
from scalespace.report.results import Results
from scalespace.report.words import join
from scalespace.studies.variants import ALL_RIGHT, ALL_WRONG

FEW = 4
"""Up to so many methods, each has sentences of its own; of more, the best alone are told."""


class Best(NamedTuple):
    """A method's best variant: its score, the deviation over seeds, its multiply-adds, and the
    score with the deviation that tells whether another is better."""

    method: str
    variant: str
    value: float
    spread: float
    macs: float
    known: Known

    def __str__(self) -> str:
        return f"“{self.method}” with “{self.variant}”"

    def cost(self, metric: MetricInfo) -> str:
        """The score, and what it costs."""
        score = metric.spread(self.value, self.spread)
        return f"{score} for {self.macs / 1e6:,.3g} M multiply-adds"


@dataclass(frozen=True)
class OfVariants:
    """Compares variants seed by seed, by each metric that says what is better."""

    results: Results

    @property
    def headline(self) -> str:
        """The main result in one short sentence: about all methods, if it is known what their
        variants cost, else about the method with the most variants."""
        for metric in foremost(self.results.study.decides):
            if ranked := self._ranked(metric):
                return self._of_all(metric, ranked)
        method, decides = self._method, self.results.study.decides
        if method is None or not decides:
            return "Nothing that this study measured says which variant is best."
        metric = decides[0]
        if self.results.study.config.study.switches:
            return self._all_right(method, metric)
        means = self._means(method, metric)
        if len(means) < 2:
            return "No variant has been scored yet."
        return self._of_one(method, metric, means)

    def _of_all(self, metric: MetricInfo, ranked: list[Best]) -> str:
        """Which method is best, of several in their best variants, or that it cannot be told."""
        start, first, tied = f"By {metric.title}", ranked[0], _tied(ranked)
        if not tied:
            return f"{start} {first} is first, its spread not known."
        if len(tied) > LISTED:
            return f"{start} {len(tied)} methods are too close to call, with {first} first."
        if len(tied) > 1:
            return f"{start} {join(map(str, tied))} are too close to call."
        return f"{start} “{first.method}” is best, with “{first.variant}”{self._one_seed}."

    def _of_one(self, method: MethodInfo, metric: MetricInfo, means: dict[str, float]) -> str:
        """Which variant of a method is best, or that it cannot be told."""
        order = sorted(means, key=lambda name: -metric.rank(means[name]))
        best, title = order[0], f"“{method.title}”"
        if best == self.results.study.of_method(method.name)[0].name:
            return f"No change helps {title}."
        if self._one_seed:
            views = {name: self.results.of(name) for name in order}
            tied = leaders(
                {
                    name: Known(means[name], deviation(view, metric.name, method.name))
                    for name, view in views.items()
                }
            )
            if not tied:
                return f"{title} does best with “{best}” (one seed: it may be chance)."
        else:
            gaps = {name: paired(self.results, metric, method.name, best, name) for name in order}
            # the best itself among them: no difference to itself is certain
            tied = [name for name, gap in gaps.items() if gap is None or not gap.certain]
        if len(tied) > LISTED:
            return f"{title}: {len(tied)} variants are too close to call, with “{best}” first."
        if len(tied) > 1:
            return f"{title}: {join(f'“{name}”' for name in tied)} are too close to call."
        return f"{title} does best with “{best}”{self._one_seed}."

    def _all_right(self, method: MethodInfo, metric: MetricInfo) -> str:
        """What all switches together bring."""
        ends = all_right(self.results, metric, method.name)
        if ends is None:
            return "No method has been scored all wrong and all right yet."
        wrong, right = self._ends(method, metric)
        title = metric.title
        return f"All switches right take {title} from {wrong} to {right}{_caution(ends)}."

    @property
    def _one_seed(self) -> str:
        """A caution in a study of one seed; empty in others."""
        return " (one seed)" if len(self.results.study.seeds) == 1 else ""

    @property
    def lead(self) -> str:
        """The headline with its numbers; empty if nothing is known yet."""
        told = self._told
        return told[0] if told else ""

    @property
    def remarks(self) -> list[str]:
        """What else was found, a sentence or two each."""
        return self._told[1:] + leak_findings(self.results)

    @property
    def _method(self) -> MethodInfo | None:
        """The method that the headline is about."""
        study = self.results.study
        return max(study.methods, key=lambda m: len(study.of_method(m.name)), default=None)

    @property
    def _told(self) -> list[str]:
        """What was found of each method, the headline's first."""
        study, out = self.results.study, self.across()
        if out and len(study.methods) > FEW:
            return out  # the section on variants has the rest
        for method in sorted(study.methods, key=lambda one: one is not self._method):
            if study.config.study.switches:
                out += self.switches(method)
            else:
                out += filter(None, (self.best(method, metric) for metric in study.decides))
        return out

    def _means(self, method: MethodInfo, metric: MetricInfo) -> dict[str, float]:
        """The mean of a metric over the seeds, by variant, as far as known."""
        own = [one.name for one in self.results.study.of_method(method.name)]
        found = {name: self.results.by_seed(metric.name, method.name, name) for name in own}
        return {name: float(values.mean()) for name, values in found.items() if len(values)}

    def _ranked(self, metric: MetricInfo) -> list[Best]:
        """The best variant of each method, the best of all first; none unless costs are known."""
        study, found = self.results.study, []
        if len(study.methods) < 2 or study.config.study.switches:
            return []
        for method in study.methods:
            if means := self._means(method, metric):
                variant = _best(means, metric)
                view, value = self.results.of(variant), means[variant]
                macs = view.value("macs", method=method.name)
                spread = view.by_seed(metric.name, method.name).std()
                known = Known(value, deviation(view, metric.name, method.name))
                if macs:
                    found.append(Best(method.title, variant, value, spread, macs, known))
        if len(found) < 2 or all(len(study.of_method(m.name)) < 2 for m in study.methods):
            return []
        return sorted(found, key=lambda one: -metric.rank(one.value))

    def across(self) -> list[str]:
        """Which method is best in its best variant, by each metric, and what that costs."""
        out = []
        for metric in foremost(self.results.study.decides):
            if ranked := self._ranked(metric):
                first, *others = ranked[:3]
                told = [f"{one} ({one.cost(metric)})" for one in others]
                verb = "s" if len(told) == 1 else ""
                one_seed = ", one seed" if len(self.results.study.seeds) == 1 else ""
                tied = _tied(ranked)
                place, end = ("best", "") if len(tied) == 1 else ("first", _undecided(tied))
                out.append(
                    f"By {metric.title} {first} is {place} of {len(ranked)} methods "
                    f"({first.cost(metric)}{one_seed}); then come{verb} {join(told)}.{end}"
                )
        return out

    def _ends(self, method: MethodInfo, metric: MetricInfo) -> list[str]:
        """A metric with all switches wrong, and with all right."""
        ends = (
            self.results.by_seed(metric.name, method.name, one) for one in (ALL_WRONG, ALL_RIGHT)
        )
        return [metric.spread(values.mean(), values.std()) for values in ends]

    def best(self, method: MethodInfo, metric: MetricInfo) -> str:
        """Which variant of a method is best by a metric, and by how much; empty if not known."""
        means = self._means(method, metric)
        if len(means) < 2:
            return ""
        first, best = self.results.study.of_method(method.name)[0].name, _best(means, metric)
        spread = self.results.by_seed(metric.name, method.name, best).std()
        start = f"{method.title}, {metric.title}: “{best}” is best of {len(means)} variants"
        text = f"{start}, {metric.spread(means[best], spread)}"
        if best == first:
            return f"{text}: no change helps."
        gap = paired(self.results, metric, method.name, best, first)
        if gap is None:
            return f"{text}."
        caution = _caution(gap)
        if not caution and len(means) > 2:  # by a test that does not know that the best was chosen
            caution = " (not corrected for choosing the best)"
        return f"{text}, {gap} beside “{first}”{caution}."

    def switches(self, method: MethodInfo) -> list[str]:
        """Which switches of a method matter; by CAS, or by FD without it."""
        results, name = self.results, method.name
        switches = list(results.study.config.study.switches)
        if not results.study.decides:
            return []
        metric = results.study.decides[0]
        sign = metric.better
        ends = all_right(results, metric, name)
        gains = _known({s: right_alone(results, metric, name, s) for s in switches})
        losses = _known({s: wrong_alone(results, metric, name, s) for s in switches})
        single = len(results.study.seeds) == 1
        caution = " (one seed: it may be chance)" if single else ""
        nothing = "none" if single else "none that these seeds can tell from chance"

        def ranked(gaps: dict[str, Paired], direction: int) -> str:
            """Those that matter, the largest first."""
            chosen = [
                s for s, g in gaps.items() if (g.certain or single) and direction * g.mean > 0
            ]
            chosen.sort(key=lambda s: -direction * gaps[s].mean)
            return join(f"“{s}” ({gaps[s]})" for s in chosen)

        out = []
        if ends is not None:
            wrong, right = self._ends(method, metric)
            out.append(
                f"{method.title}: turning all {len(switches)} switches right takes "
                f"{metric.title} from {wrong} to {right} ({ends}, n = {len(ends.values)})."
            )
        if gains:
            alone = f"{method.title}: turned right alone, these switches"
            out.append(f"{alone} help{caution}: {ranked(gains, sign) or nothing}.")
            if harmful := ranked(gains, -sign):
                out.append(f"{alone} do harm{caution}: {harmful}.")
        if losses:
            costly = ranked(losses, -sign) or nothing
            alone = f"{method.title}: left wrong alone, these switches"
            out.append(f"{alone} do harm{caution}: {costly}.")
        idle = [s for s in gains if s in losses and not (gains[s].certain or losses[s].certain)]
        if idle and not single:
            quoted = join(f"“{s}”" for s in idle)
            out.append(f"{method.title}: these switches have no certain effect: {quoted}.")
        if ends is not None and len(gains) == len(switches) > 1:
            total = sum(gap.mean for gap in gains.values())
            added, together = (Paired(metric, np.array([x])) for x in (total, ends.mean))
            out.append(
                f"{method.title}: the single effects add up to {added}; all switches together "
                f"bring {together}."
            )
        return out


def _best(means: dict[str, float], metric: MetricInfo) -> str:
    """The variant with the best mean."""
    return max(means, key=lambda name: metric.rank(means[name]))


def _tied(ranked: list[Best]) -> list[Best]:
    """Those that are too close to the first to call, itself among them; none if not known."""
    return leaders({one: one.known for one in ranked})


def _undecided(tied: list[Best]) -> str:
    """Why no method is best, as a sentence to follow another."""
    if not tied:
        return " Their spread is not known."
    methods = join(f"“{one.method}”" for one in tied)
    return f" {methods if len(tied) <= LISTED else len(tied)} are too close to call."


def _caution(gap: Paired) -> str:
    """What may be said against a difference, to follow it; empty if chance does not explain it."""
    if len(gap.values) == 1:
        return " (one seed)"
    return "" if gap.certain else ", which chance may explain"


def _known(gaps: dict[str, Paired | None]) -> dict[str, Paired]:
    return {switch: gap for switch, gap in gaps.items() if gap is not None}
