"""`report.html` and `table.md`: pure functions of a study folder."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalespace.evaluation.controls import CONTROLS
from scalespace.figures.grids import tile
from scalespace.figures.picture import DARK, LIGHT, Picture
from scalespace.files import write_text
from scalespace.study import findings, table
from scalespace.study.figures import FIGURES, color
from scalespace.study.results import Results

TEMPLATE = Path(__file__).with_name("report.html.jinja")


@dataclass(frozen=True)
class Card:
    """A method at a glance: its colours on light and dark, a strip of images and its figures."""

    title: str
    light: str
    dark: str
    strip: str
    score: str
    spread: str
    difference: str
    facts: tuple[str, ...]


def build(folder: Path | str) -> Path:
    """Writes `report.html` and `table.md` into a study folder, from what else it holds.

    An unfinished study gives an unfinished report, which says what is missing.

    Returns:
        the path of `report.html`.

    Raises:
        InputError: the folder, its `study.json`, `results.jsonl` or a file that these name is
            absent or damaged, or the reports cannot be written. Nothing is written then.
    """
    results = Results(folder)
    html = page(results)
    write_text(results.folder / "table.md", table.markdown(results))
    path = results.folder / "report.html"
    write_text(path, html)
    return path


def page(results: Results) -> str:
    """The report as one HTML document that needs no other file."""
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters["image"] = image
    study = results.study
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        results=results,
        study=study,
        headline=findings.headline(results),
        remarks=findings.remarks(results),
        warnings=findings.warnings(results),
        missing=findings.missing(results),
        cards=[_card(results, name) for name in results.titles],
        table=table.make_table(results),
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


def _card(results: Results, name: str) -> Card:
    study, score = results.study, results.scores.get(name)
    shade = color(results, name)
    methods = [method for method in study.methods if method.name == name]
    difference, facts = "", []
    for method in methods:
        control = results.control(method)
        if score and control in results.scores:
            gap = table.signed(score.mean - results.scores[control].mean)
            difference = f"{gap} to {CONTROLS[control]}"
        facts.append(f"{method.calls} network calls")
        if (macs := results.value("macs", method=name)) is not None:
            facts.append(f"{macs / 1e6:,.0f} M multiply-adds")
        if (latency := results.value("latency_median", method=name)) is not None:
            facts.append(f"{table.milliseconds(latency)} ms")
    return Card(
        title=results.titles[name],
        light=LIGHT.color(shade),
        dark=DARK.color(shade),
        strip=_strip(results, name),
        score=f"{score.mean:.4f}" if score else table.NONE,
        spread=f"± {score.sd:.4f}" if score and len(score.accuracy) > 1 else "",
        difference=difference if methods else "control",
        facts=tuple(facts),
    )


def _strip(results: Results, name: str) -> str:
    """The first image of up to ten classes as a data URI; empty if there are none."""
    seeds = [None] if name in CONTROLS else results.study.seeds
    found = (results.examples(name, seed) for seed in seeds)
    images = next((examples for examples in found if examples is not None), None)
    if images is None:
        return ""
    strip = images[:10, 0]
    buffer = io.BytesIO()
    tile(strip, -(-len(strip) // 2)).save(buffer, format="PNG")
    return _uri(buffer.getvalue())


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=100)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
