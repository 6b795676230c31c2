"""`report.html` and `table.md`: pure functions of a study folder."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scalespace.figures.album import Album
from scalespace.figures.picture import DARK, LIGHT
from scalespace.files import write_text
from scalespace.report.cards import cards
from scalespace.report.figures import FIGURES
from scalespace.report.figures.forward import kinds
from scalespace.report.figures.reverse import films
from scalespace.report.html import image, png_uri
from scalespace.report.inside import encoders_of_study, judge_of_study
from scalespace.report.markdown import markdown
from scalespace.report.narrative import narrative, warnings
from scalespace.report.results import Results
from scalespace.report.status import (
    REFRESH_HERE,
    REFRESH_SECONDS,
    SILENT_SECONDS,
    STATUS_HERE,
    Status,
)
from scalespace.report.tables import methods_table, quality_table, variant_tables
from scalespace.report.words import join

TEMPLATES = Path(__file__).parent / "templates"
REPORT = "report.html"
HEROES = ("frontier", "variants", "samples")
"""The figures whose first picture may stand beside the headline, the first that there is."""


def build(folder: Path | str, album: Album | None = None) -> Path:
    """Writes `report.html` and `table.md` into a study folder, from its other files.

    An unfinished study gives an unfinished report, which says what is missing.

    Args:
        folder: the study's.
        album: pictures that are drawn already, by their content.

    Returns:
        the path of `report.html`.

    Raises:
        InputError: the folder, its `study.json`, `results.jsonl` or a file that these name is
            absent or damaged, or the reports cannot be written. Nothing is written then.
    """
    results = Results(folder)
    html = page(results, album)
    write_text(results.folder / "table.md", markdown(results))
    path = results.folder / REPORT
    write_text(path, html)
    return path


def page(
    results: Results, album: Album | None = None, *, running: bool = False, pictures: bool = True
) -> str:
    """The report as one HTML document that needs no other file.

    Args:
        results: the study's.
        album: pictures that are drawn already, by their content.
        running: leave out sections that have nothing to show yet, and leave room for what
            `status_block` gives.
        pictures: draw any.
    """
    study, told = results.study, narrative(results)
    compared = study.methods if study.compares else ()
    drawn = {name: figure(results) if pictures else [] for name, figure in FIGURES.items()}
    return (
        environment(album or Album())
        .get_template("page.html.jinja")
        .render(
            results=results,
            study=study,
            headline=told.headline,
            lead=told.lead,
            hero=next((drawn[name][0] for name in HEROES if drawn[name]), None),
            remarks=told.remarks,
            warnings=warnings(results),
            missing=results.missing,
            running=running,
            refresh_here=Markup(REFRESH_HERE),
            status_here=Markup(STATUS_HERE),
            comparisons=[(method.title, variant_tables(results, method)) for method in compared],
            cards=cards(results),
            kinds=kinds(results),
            has_cas=study.has_cas,
            table=methods_table(results),
            quality=quality_table(results),
            judge=judge_of_study(results),
            encoders=encoders_of_study(results),
            films=films(results) if pictures else [],
            figures=drawn,
            recipes=_yaml(study.details["recipes"]),
            config=_yaml(study.details["config"]),
            colors=(LIGHT, DARK),
        )
    )


def status_block(status: Status, now: datetime) -> tuple[str, str]:
    """What stands at `REFRESH_HERE` and `STATUS_HERE` in the page of a running study."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
    told = (
        environment(Album())
        .get_template("status.html.jinja")
        .render(status=status, now=now, refresh=REFRESH_SECONDS, silent=SILENT_SECONDS)
    )
    return "" if status.stopped else refresh, told


def environment(album: Album) -> Environment:
    """Templates with what all pages need: filters, and the script with its checksum.

    A page's policy lets only that script run.
    """
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    templates.globals |= {"script": Markup(script), "script_seal": f"sha256-{seal}"}
    draw: dict[str, Any] = {"image": partial(image, album=album), "png_uri": png_uri}
    written: dict[str, Any] = {"fields": _fields, "enumerated": join}
    templates.filters |= {**draw, **written}
    return templates


def _fields(changes: Mapping[str, Any], above: str = "") -> str:
    """Nested fields in words: 'process.x0: clip, train.epochs: 3'."""
    told = [
        _fields(value, f"{above}{key}.") if isinstance(value, Mapping) else f"{above}{key}: {value}"
        for key, value in changes.items()
    ]
    return ", ".join(told)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=100)
