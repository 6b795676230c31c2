"""A model's card: its README.md, with the header that the Hugging Face Hub reads.

https://huggingface.co/docs/hub/model-cards tells the header's fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalespace import plugins
from scalespace.hub.figures import Figures, Measure

TEMPLATE = Path(__file__).parent / "card.md.jinja"
HUB_DATASETS = {"mnist": "mnist", "digits": "mnist", "fashion-mnist": "fashion_mnist"}
"""The Hub's names of the data sets that it has, by their names here."""
MNIST = ("mnist", "digits")  # the embedded digits are MNIST's
TITLES = {
    "mnist": "MNIST",
    "digits": "5,000 digits of MNIST",
    "fashion-mnist": "Fashion-MNIST",
}
TAGS = ("diffusion", "ddpm", "class-conditional", "scale-space")
HUB_METRICS = {
    "cas": "classification-accuracy-score",
    "fd": "frechet-distance",  # not FID: that names another extractor
    "kid": "kid",
    "precision": "precision",
    "recall": "recall",
}
"""The figures that the header names, in words for readers who see nothing else."""


@dataclass(frozen=True)
class About:
    """What a card tells of a model.

    Args:
        title, doc: of its method.
        config: what its `config.json` holds.
        parameters: trained numbers of each stage, by name.
        figures: what was measured of it, if anything was.
        modules: outside the package, from which its method is.
    """

    title: str
    doc: str
    config: Mapping[str, Any]
    parameters: Mapping[str, int]
    figures: Figures | None = None
    modules: Sequence[str] = ()


def card(about: About, source: str) -> str:
    """The card's text.

    Args:
        about: the model.
        source: what a reader gives to `Model.from_pretrained` to have it.
    """
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.finalize = _harmless
    environment.filters |= {"number": number, "spread": _spread, "yaml": _yaml}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    figures, data = about.figures, about.config["data"]
    controls = dict.fromkeys(
        title for measure in (figures.measures if figures else ()) for title in measure.controls
    )
    known = [k for k in range(len(data["classes"])) if k not in data.get("absent", ())]
    modules = {*about.modules, *_of_networks(about.config)}
    return template.render(
        header=_yaml(header(about)),
        about=about,
        data=data,
        data_title=_title(data),
        stages=about.config["stages"],
        guided=[
            name
            for name, stage in about.config["stages"].items()
            if stage["recipe"].get("objective", {}).get("unlabelled")
        ],
        figures=figures,
        measured={measure.metric for measure in figures.measures} if figures else set(),
        controls=list(controls),
        source=source,
        modules=sorted(modules - {plugins.MAIN}),
        in_program=plugins.MAIN in modules,  # which nobody can import
        labels=[known[k % len(known)] for k in (2, 0, 2, 6)],
        is_mnist=data["name"] in MNIST and not data.get("own"),
        is_fashion=data["name"] == "fashion-mnist" and not data.get("own"),
    )


def _of_networks(config: Mapping[str, Any]) -> Iterator[str]:
    """The modules of networks that are not the package's own."""
    for stage in config["stages"].values():
        module, colon, _ = stage["recipe"].get("net", {}).get("kind", "").partition(":")
        if colon:
            yield module


def _title(data: Mapping[str, Any]) -> str:
    """The card's name of the data set, which tells a user's own files from the published ones."""
    title = TITLES.get(data["name"], data["name"])
    return f"own files in the form of {title}" if data.get("own") else title


def header(about: About) -> dict[str, Any]:
    """The fields of the card's YAML header."""
    name, config = about.config["data"]["name"], about.config
    own = about.config["data"].get("own", False)
    measured = {measure.metric for measure in about.figures.measures} if about.figures else set()
    fields = {
        "license": "mit",
        "library_name": "scalespace",
        "pipeline_tag": "unconditional-image-generation",  # the Hub has none for class labels
        "tags": list(dict.fromkeys((*TAGS, config["method"], name))),  # each once
        "datasets": [HUB_DATASETS[name]] if name in HUB_DATASETS and not own else [],
        "metrics": [title for metric, title in HUB_METRICS.items() if metric in measured],
    }
    return {field: value for field, value in fields.items() if value}


def number(value: float | None) -> str:
    """A figure as tables show it; a dash for one that was not measured."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _spread(measure: Measure) -> str:
    """Mean ± sample standard deviation over the training seeds; a dash for a single one."""
    if len(measure.seeds) < 2:
        return "–"
    return f"{number(mean(measure.seeds))} ± {number(stdev(measure.seeds))}"


def _yaml(value: Any) -> Markup:
    return Markup(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).strip())


def _harmless(value: Any) -> Any:
    """Escapes a value of the card, so that a name makes neither markup nor a table column."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return value.replace("<", "&lt;").replace("|", "\\|")
