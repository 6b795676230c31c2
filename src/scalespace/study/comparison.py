"""What a study of variants found, in tables and sentences: each arm beside its base, by seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scalespace.evaluation.cas import sample_sd
from scalespace.study.arms import ALL_RIGHT, ALL_WRONG, Variant, only_right, only_wrong
from scalespace.study.cells import (
    NONE,
    Table,
    TableRow,
    digits,
    join,
    markdown_lines,
    plus_minus,
    signed,
)
from scalespace.study.leaks import leak_findings
from scalespace.study.pairs import Paired, both_ends, by_seed, paired, two_sided
from scalespace.study.results import MethodInfo, Results


def compares(results: Results) -> bool:
    """Whether a study has variants to compare."""
    return len(results.study.variants) > 1


def metrics(results: Results) -> list[str]:
    """The scores by which variants are compared."""
    return [name for name in ("cas", "fd") if name in results.study.config.study.metrics]


def variant_table(results: Results, method: MethodInfo) -> Table:
    """A row for each variant of a method: its scores, and how they differ from its base's."""
    arms, seeds = results.study.arms(method.name), results.study.seeds
    columns: list[tuple[str, str, list[str]]] = []
    bases = {arm.base for arm in arms if arm.base != arm.name}
    if len(bases) > 1:
        against = [NONE if arm.base == arm.name else arm.base for arm in arms]
        columns.append(("base", "compared with", against))
    for metric in metrics(results):
        name = metric.upper()
        found = [by_seed(results, metric, method.name, arm.name) for arm in arms]
        columns.append((metric, name, [_mean(metric, one) for one in found]))
        if len(seeds) > 1:
            each = [_each(metric, one, seeds) for one in found]
            columns.append((f"{metric}-seeds", f"{name} of seeds {_list(seeds)}", each))
        gaps = [_gap(results, metric, method.name, arm) for arm in arms]
        columns.append((f"{metric}-difference", f"{name}, difference", gaps))
    for name in BESIDE:
        found = [by_seed(results, name, method.name, arm.name) for arm in arms]
        columns.append((name, name, [_mean(name, one) for one in found]))
    for name, title in OUTSIDE.items():
        shares = [results.of(arm.name).value(name, method=method.name) for arm in arms]
        columns.append((name, title, [NONE if s is None else f"{s:.2%}" for s in shares]))
    kept = [column for column in columns if any(cell != NONE for cell in column[2])]
    rows = [
        TableRow(arm.name, tuple(column[2][k] for column in kept), "" if k else "control")
        for k, arm in enumerate(arms)
    ]
    return Table(
        tuple(key for key, _, _ in kept),
        tuple(title for _, title, _ in kept),
        tuple(rows),
        tuple(_notes(results, arms)),
        f"{method.title}: {len(arms)} variant{'s' if len(arms) > 1 else ''}",
    )


BESIDE = ("variety", "detail")
"""What is told of each variant besides: neither more nor less of it is better than 1."""
OUTSIDE = {
    "outside_pixels": "pixels outside",
    "outside_images": "images with any",
    "outside_x0_hat": "x0 estimates outside",
}
"""What is told of values outside the images' domain, and how tables call it."""


def switch_table(results: Results, method: MethodInfo) -> Table | None:
    """A row for each switch: what it brings turned right alone, and costs left wrong alone.

    None for a method of which `study.only` has the ends alone: its variants say it all.
    """
    switches = list(results.study.config.study.switches)
    if not switches:
        return None
    arms = {arm.name for arm in results.study.arms(method.name)}
    wanted = metrics(results)
    directions = ("right alone", "wrong alone")
    titles = [f"{m.upper()}, {words}" for m in wanted for words in directions]
    rows = []
    for switch in switches:
        if not {only_right(switch), only_wrong(switch)} & arms:
            continue
        both = [one for metric in wanted for one in two_sided(results, metric, method.name, switch)]
        cells = zip((m for m in wanted for _ in directions), both, strict=True)
        rows.append(TableRow(switch, tuple(_difference(metric, gap) for metric, gap in cells)))
    if not rows:
        return None
    ends = [both_ends(results, metric, method.name) for metric in wanted]
    every = [
        text
        for metric, gap in zip(wanted, ends, strict=True)
        for text in (_difference(metric, gap), _difference(metric, gap and gap.turned))
    ]
    rows.append(TableRow("all of them", tuple(every), "control"))
    n = len(results.study.seeds)
    notes = (
        f"Right alone: this switch turned right, the difference to “{ALL_WRONG}”. Wrong alone: "
        f"this one left wrong, the difference to “{ALL_RIGHT}”. Mean ± sample standard deviation "
        f"of the differences paired over {n} training seed{'s' if n > 1 else ''}. A switch whose "
        "mistake matters gains in the first column and loses in the second; one that does so in "
        "the second alone is hidden by the others' mistakes.",
    )
    return Table(tuple(titles), tuple(titles), tuple(rows), notes, f"{method.title}: switches")


def headline(results: Results) -> str:
    """The main result in one sentence: of the method with the most variants."""
    study = results.study
    method = max(study.methods, key=lambda one: len(study.arms(one.name)), default=None)
    wanted = metrics(results)
    if method is None or not wanted:
        return "This study measured neither CAS nor FD of its variants."
    if study.config.study.switches:
        told = switch_findings(results, method)
        return told[0] if told else "No variant of this study has been scored at both ends yet."
    return best_variant(results, method, wanted[0]) or "No variant has been scored yet."


def findings(results: Results) -> list[str]:
    """What a study of variants found, in sentences computed from its numbers."""
    out: list[str] = []
    for method in results.study.methods:
        if results.study.config.study.switches:
            out += switch_findings(results, method)
        else:
            out += filter(None, (best_variant(results, method, m) for m in metrics(results)))
    return out + leak_findings(results)


def best_variant(results: Results, method: MethodInfo, metric: str) -> str:
    """Which variant of a method is best by a metric, and by how much; empty if not known."""
    arms = results.study.arms(method.name)
    found = {arm.name: by_seed(results, metric, method.name, arm.name) for arm in arms}
    means = {name: np.mean(list(of.values())) for name, of in found.items() if of}
    if len(means) < 2:
        return ""
    sign = 1 if metric == "cas" else -1
    best = max(means, key=lambda name: sign * means[name])
    start = f"{method.title}, {metric.upper()}: “{best}” is best of {len(means)} variants"
    text = f"{start}, {_mean(metric, found[best])}"
    if best == arms[0].name:
        return f"{text}: no change is better than none."
    gap = paired(results, metric, method.name, best, arms[0].name)
    if gap is None:
        return f"{text}."
    chance = ", which chance explains as well"
    if gap.certain:  # by a test that knows nothing of the choice
        chance = " (its interval does not count the choice)" if len(means) > 2 else ""
    chance = " (one seed)" if len(gap.values) == 1 else chance
    return f"{text}, {_difference(metric, gap)} beside “{arms[0].name}”{chance}."


def switch_findings(results: Results, method: MethodInfo) -> list[str]:
    """Which switches carry the loss of a method, by the first metric that was measured."""
    wanted, switches = metrics(results), list(results.study.config.study.switches)
    if not wanted:
        return []
    metric, name = wanted[0], wanted[0].upper()
    sign = 1 if metric == "cas" else -1
    ends = both_ends(results, metric, method.name)
    out = []
    if ends is not None:
        wrong, right = (
            _mean(metric, by_seed(results, metric, method.name, one))
            for one in (ALL_WRONG, ALL_RIGHT)
        )
        out.append(
            f"{method.title}: turning all {len(switches)} switches right takes {name} from {wrong} "
            f"to {right} ({_difference(metric, ends)}, n = {len(ends.values)})."
        )
    sides = {switch: two_sided(results, metric, method.name, switch) for switch in switches}
    gains = {s: gain for s, (gain, _) in sides.items() if gain is not None}
    losses = {s: loss for s, (_, loss) in sides.items() if loss is not None}

    single = len(results.study.seeds) == 1
    caution = " (one seed: chance is not told apart)" if single else ""
    nothing = "no switch" if single else "no switch, by what these seeds can tell"

    def ranked(gaps: dict[str, Paired], direction: int) -> str:
        """Those that matter, the largest first."""
        chosen = [s for s, g in gaps.items() if (g.certain or single) and direction * g.mean > 0]
        chosen.sort(key=lambda s: -direction * gaps[s].mean)
        return join(f"“{s}” ({_difference(metric, gaps[s])})" for s in chosen)

    if gains:
        alone = f"{method.title}, turned right alone, what"
        out.append(f"{alone} helps{caution}: {ranked(gains, sign) or nothing}.")
        if harmful := ranked(gains, -sign):
            out.append(f"{alone} makes it worse{caution}: {harmful}.")
    if losses:
        words = ranked(losses, -sign) or nothing
        out.append(f"{method.title}, left wrong alone, what costs{caution}: {words}.")
    idle = [
        s for s in switches if s in gains and s in losses
        and not gains[s].certain and not losses[s].certain
    ]  # fmt: skip
    if idle and not single:
        quoted = join(f"“{s}”" for s in idle)
        out.append(f"{method.title}, neither way told from no change by these seeds: {quoted}.")
    if ends is not None and len(gains) == len(switches) > 1:
        total = Paired(np.array([sum(gap.mean for gap in gains.values())]))
        out.append(
            f"{method.title}: the single gains add up to {_difference(metric, total)}; all "
            f"switches together bring {_difference(metric, Paired(np.array([ends.mean])))}."
        )
    return out


def missing(results: Results) -> list[str]:
    """The arms besides the first variant's that are not scored yet."""
    study = results.study
    out = []
    for method in study.methods:
        for arm in study.arms(method.name)[1:]:
            for metric in metrics(results):
                if metric == "cas" and arm.name in method.unlabelled:
                    continue
                found = by_seed(results, metric, method.name, arm.name)
                if lacking := [seed for seed in study.seeds if seed not in found]:
                    plural = "s" if len(lacking) > 1 else ""
                    what = f"{metric.upper()} of {method.title}, {arm.name}"
                    out.append(f"{what} (seed{plural} {_list(lacking)})")
    return out


def markdown(results: Results) -> list[str]:
    """The tables and findings in Markdown, a line each; [] for a study without variants."""
    if not compares(results):
        return []
    lines = [*(f"- {sentence}" for sentence in findings(results)), ""]
    for method in results.study.methods:
        for table in filter(None, (switch_table(results, method), variant_table(results, method))):
            lines += [f"**{table.title}**", "", *markdown_lines(table), ""]
            lines += [*(f"- {note}" for note in table.notes), ""]
    return lines


def _notes(results: Results, arms: Sequence[Variant]) -> list[str]:
    study = results.study
    n, cas = len(study.seeds), study.config.cas
    spread = f"mean ± sample standard deviation over {n} training seeds" if n > 1 else "one seed"
    notes = [
        f"Each seed is scored on {study.config.study.images:,} images of its own, {spread}; CAS is "
        f"the mean of {cas.classifiers} classifier{'s' if cas.classifiers > 1 else ''} examined on "
        f"the real {study.part} images."
    ]
    bases = {arm.base for arm in arms[1:]}
    if len(bases) == 1:
        notes.append(f"Differences are to “{bases.pop()}”, paired over the seeds (n = {n}).")
    elif bases:
        notes.append(f"Differences are paired over the seeds (n = {n}).")
    notes.append(
        "Outside: share of what the sampler gives, before it is clipped to pixels, that lies "
        "outside [0, 1] by more than 1e-6 or is no number; of the estimates of x0, over a whole "
        "reverse process of 12 images."
    )
    return notes


def _mean(metric: str, found: dict[int, float]) -> str:
    if not found:
        return NONE
    values = np.array(list(found.values()))
    mean, sd = float(values.mean()), sample_sd(values)
    if metric == "cas":
        return plus_minus(mean, sd)
    return digits(mean) if math.isnan(sd) else f"{digits(mean)} ± {digits(sd, 2)}"


def _each(metric: str, found: dict[int, float], seeds: Sequence[int]) -> str:
    write = (lambda value: f"{value:.4f}") if metric == "cas" else digits
    return ", ".join(write(found[s]) if s in found else NONE for s in seeds) if found else NONE


def _gap(results: Results, metric: str, method: str, arm: Variant) -> str:
    if arm.base == arm.name:
        return NONE
    return _difference(metric, paired(results, metric, method, arm.name, arm.base))


def _difference(metric: str, gap: Paired | None) -> str:
    if gap is None:
        return NONE
    if metric == "cas":
        spread = "" if math.isnan(gap.sd) else f" ± {gap.sd:.4f}"
        return signed(round(gap.mean, 4) + 0.0) + spread  # no zero below 0
    sign = "+" if gap.mean > 0 else ""
    spread = "" if math.isnan(gap.sd) else f" ± {digits(gap.sd, 2)}"
    return f"{sign}{digits(gap.mean)}{spread}"


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
