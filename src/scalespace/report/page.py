"""`report.html` and `table.md`: pure functions of a study folder."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scalespace.config import Recipe
from scalespace.evaluation.controls import TITLES
from scalespace.figures.grids import tile
from scalespace.figures.picture import DARK, LIGHT, Picture
from scalespace.files import write_text
from scalespace.report import words
from scalespace.report.figures import FIGURES, color
from scalespace.report.inside import encoders_of_study, judge_of_study
from scalespace.report.markdown import markdown
from scalespace.report.narrative import narrative, warnings
from scalespace.report.results import Results
from scalespace.report.tables import methods_table, quality_table, variant_tables
from scalespace.report.tables.methods import cas, gap
from scalespace.report.tables.quality import ratio_to_floor

TEMPLATES = Path(__file__).parent / "templates"


def build(folder: Path | str) -> Path:
    """Writes `report.html` and `table.md` into a study folder, from its other files.

    An unfinished study gives an unfinished report, which says what is missing.

    Returns:
        the path of `report.html`.

    Raises:
        InputError: the folder, its `study.json`, `results.jsonl` or a file that these name is
            absent or damaged, or the reports cannot be written. Nothing is written then.
    """
    results = Results(folder)
    html = page(results)
    write_text(results.folder / "table.md", markdown(results))
    path = results.folder / "report.html"
    write_text(path, html)
    return path


def page(results: Results) -> str:
    """The report as one HTML document that needs no other file."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["image"] = image
    environment.filters["cosine_alone"] = _cosine_alone
    environment.filters["fields"] = _fields
    study, told = results.study, narrative(results)
    compared = study.methods if study.compares else ()
    return environment.get_template("page.html.jinja").render(
        results=results,
        study=study,
        headline=told.headline,
        remarks=told.remarks,
        warnings=warnings(results),
        missing=results.missing,
        comparisons=[(method.title, variant_tables(results, method)) for method in compared],
        cards=[_card(results, name) for name in _on_cards(results)],
        has_cas=study.has_cas,
        table=methods_table(results),
        quality=quality_table(results),
        judge=judge_of_study(results),
        encoders=encoders_of_study(results),
        figures={name: figure(results) for name, figure in FIGURES.items()},
        recipes=_yaml(study.details["recipes"]),
        config=_yaml(study.details["config"]),
        colors=(LIGHT, DARK),
    )


def image(picture: Picture) -> Markup:
    """The <picture> element of a picture, in both themes where they differ."""
    drawing = picture.drawing
    dark = ""
    if drawing.themed:
        source = _uri(picture.png(DARK))
        dark = f'<source srcset="{source}" media="screen and (prefers-color-scheme: dark)">'
    height = round(drawing.size[1] / drawing.size[0] * picture.css_width)
    return Markup('<picture>{}<img src="{}" alt="{}" width="{}" height="{}"></picture>').format(
        Markup(dark), _uri(picture.png(LIGHT)), picture.alt, picture.css_width, height
    )


def _on_cards(results: Results) -> dict[str, str]:
    """The titles of the sets with a card: all that CAS scores or, without CAS, all measured."""
    return results.titles if results.study.has_cas else results.measured


def _card(results: Results, name: str) -> dict[str, Any]:
    """A control or method at a glance: its colours, a strip of images and its numbers."""
    study, title = results.study, _on_cards(results)[name]
    method, shade = study.method(name), color(results, name)
    of_classes = results.of_classes(name)
    score, spread, difference = _score(results, name)
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
        "strip": _strip(results, name),
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


def _strip(results: Results, name: str) -> str:
    """The first image of up to ten classes as a data URI; empty if there are none."""
    seeds = [None] if name in TITLES else results.study.seeds
    found = (results.examples(name, seed) for seed in seeds)
    images = next((examples for examples in found if examples is not None), None)
    if images is None:
        return ""
    strip = images[:10, 0]
    buffer = io.BytesIO()
    tile(strip, -(-len(strip) // 2), zoom=2).save(buffer, format="PNG")
    return _uri(buffer.getvalue())


def _cosine_alone(recipes: dict[str, Any]) -> bool:
    """Whether every process has the cosine schedule."""
    processes = [recipe.process for recipe in recipes.values() if isinstance(recipe, Recipe)]
    return all(process.schedule == "cosine" for process in processes)


def _fields(changes: Mapping[str, Any], above: str = "") -> str:
    """Nested fields in words: 'process.x0: clip, train.epochs: 3'."""
    told = [
        _fields(value, f"{above}{key}.") if isinstance(value, Mapping) else f"{above}{key}: {value}"
        for key, value in changes.items()
    ]
    return ", ".join(told)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=100)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
