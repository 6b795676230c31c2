"""How numbers and lists are written in tables, figures and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from scalespace.errors import plural as plural

NONE = "–"


def plus_minus(mean: float, sd: float) -> str:
    """'0.9764 ± 0.0043', without the spread where it is not known."""
    return f"{mean:.4f}" if math.isnan(sd) else f"{mean:.4f} ± {sd:.4f}"


def signed(value: float) -> str:
    """'+0.0123' or '−0.0123', with a minus sign that is as wide as the plus."""
    return f"{value:+.4f}".replace("-", "−")


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds: '60.7', '1,234'."""
    value = 1000 * seconds
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def digits(value: float, most: int = 3) -> str:
    """A number of any size in at least three digits: '48.4', '0.00511', '12,300', '0'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, most - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", "−")


def times(ratio: float) -> str:
    """A ratio: '3.1', '472'."""
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def compared(value: float, unit: float) -> str:
    """A number relative to another: '4.1 times', '24% of'."""
    ratio = value / unit
    if ratio < 0.01:
        return "less than 1% of"
    return f"{times(ratio)} times" if ratio >= 1 else f"{ratio:.0%} of"


def join(words: Iterable[str]) -> str:
    """'a, b and c'."""
    listed = list(words)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def by_size(sizes: Mapping[str, int]) -> str:
    """How many images each set has: '10,000', or '1,000 (A, B); 10,000 (C)'; empty for no sets."""
    found: dict[int, list[str]] = {}
    for title, n in sizes.items():
        found.setdefault(n, []).append(title)
    if len(found) < 2:
        return "".join(f"{n:,}" for n in found)
    return "; ".join(f"{n:,} ({', '.join(titles)})" for n, titles in sorted(found.items()))


def of_seeds(seeds: Iterable[int | None]) -> str:
    """'training seeds 0, 1 and 2'."""
    listed = [str(seed) for seed in seeds]
    return f"training seed{'s' if len(listed) > 1 else ''} {join(listed)}"


def spread(mean: float, sd: float, *, share: bool = False) -> str:
    """A mean with its deviation: shares of 1 in four places, others in three digits."""
    if share:
        return plus_minus(mean, sd)
    return digits(mean) if math.isnan(sd) else f"{digits(mean)} ± {digits(sd, 2)}"


def difference(mean: float, sd: float, *, share: bool = False) -> str:
    """A difference with its deviation, signed."""
    if share:
        return signed(round(mean, 4) + 0.0) + ("" if math.isnan(sd) else f" ± {sd:.4f}")
    return ("+" if mean > 0 else "") + spread(mean, sd)
