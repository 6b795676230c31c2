"""The cards of a report: a control or method at a glance."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from scalespace.evaluation.controls import TITLES
from scalespace.figures.grids import GAP, tile
from scalespace.figures.picture import DARK, LIGHT, Spots
from scalespace.report import words
from scalespace.report.figures import color
from scalespace.report.figures.common import about_image
from scalespace.report.html import png_uri, spots
from scalespace.report.results import Results
from scalespace.report.tables.methods import cas, gap
from scalespace.report.tables.quality import ratio_to_floor

IMAGES = 10  # on a card, one of each of the first classes, in two rows


def cards(results: Results) -> list[dict[str, Any]]:
    """What the template shows of each control and method."""
    return [_card(results, name) for name in _on_cards(results)]


def _on_cards(results: Results) -> dict[str, str]:
    """The titles of the sets with a card: all that CAS scores or, without CAS, all measured."""
    return results.titles if results.study.has_cas else results.measured


def _card(results: Results, name: str) -> dict[str, Any]:
    """A control or method at a glance: its colours, a strip of images and its numbers."""
    study, title = results.study, _on_cards(results)[name]
    method, shade = study.method(name), color(results, name)
    of_classes = results.of_classes(name)
    score, spread, difference = _score(results, name)
    strip, places = _strip(results, name)
    facts = []
    if study.has_cas and (fd := results.measurement("fd", name)):
        ratio = ratio_to_floor(results, name)
        floor = f", {words.times(ratio)} × floor" if ratio is not None else ""
        facts.append(f"FD {words.digits(fd['value'])}{floor}")
    if method:
        facts.append(words.plural(method.calls, "network call"))
        if (macs := results.value("macs", method=name)) is not None:
            facts.append(f"{macs / 1e6:,.0f} M multiply-adds")
        if (latency := results.value("latency_median", method=name)) is not None:
            facts.append(f"{words.milliseconds(latency)} ms")
    return {
        "title": title,
        "light": LIGHT.color(shade),
        "dark": DARK.color(shade),
        "strip": strip,
        "spots": places,
        "alt": f"One image for each of the first classes, {title}" if of_classes else title,
        "score": score,
        "spread": spread,
        "difference": difference if method else ", ".join(filter(None, ("control", difference))),
        "facts": facts,
    }


def _score(results: Results, name: str) -> tuple[str, str, str]:
    """A card's score, its spread, and its difference to the control."""
    if not results.study.has_cas:
        row, ratio = results.measurement("fd", name), ratio_to_floor(results, name)
        value = f"FD {words.digits(row['value'])}" if row else words.NONE
        return value, "", f"{words.times(ratio)} × floor" if ratio is not None else ""
    score = results.scores.get(name)
    if score is None:
        return cas(results, name), "", ""
    beside = gap(results, name, "{} to {}")
    spread = f"± {score.sd:.4f}" if len(score.accuracy) > 1 else ""
    return f"{score.mean:.4f}", spread, "" if beside == words.NONE else beside


def _strip(results: Results, name: str) -> tuple[str, Markup]:
    """The first image of up to `IMAGES` classes as a data URI, and what is known of each.

    Both are empty if there are no images.
    """
    study = results.study
    seeds = [None] if name in TITLES else study.seeds
    found = ((seed, results.examples(name, seed)) for seed in seeds)
    seed, examples = next(((s, one) for s, one in found if one is not None), (None, None))
    if examples is None:
        return "", Markup("")
    images, places = examples.images[:IMAGES, 0], examples.places[:IMAGES, 0]
    columns = -(-len(images) // 2)
    picture = tile(images, columns, zoom=2)
    (width, height), names = picture.size, study.data.classes if results.of_classes(name) else ()
    told = [about_image(seed, int(place), label, names) for label, place in enumerate(places)]
    box = (GAP / 2 / width, GAP / 2 / height, 1 - GAP / width, 1 - GAP / height)
    what = f"{_on_cards(results)[name]}: index and label of each image"
    return png_uri(picture), spots([Spots(box, columns, tuple(told))], what)
