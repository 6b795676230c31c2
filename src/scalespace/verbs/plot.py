"""`scalespace plot` draws one figure of a study, a judge or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import pretrained
from scalespace.verbs.common import data_dir_option


def add_options(parser: ArgumentParser) -> None:
    from scalespace.report.figures import FIGURES

    parser.add_argument("figure", help=f"one of {', '.join(FIGURES)}")
    parser.add_argument(
        "folder",
        help="of a study; for a judge's figures also of a judge, for a training's and an "
        "autoencoder's also of a model",
    )
    parser.add_argument("--out", required=True, help="the picture to write (.png, .svg or .pdf)")
    parser.add_argument(
        "--data", help="the data set (default: the one that the judge or the model was trained on)"
    )
    data_dir_option(parser, size=True)


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.figures.picture import save
    from scalespace.report.figures import pictures_of

    shipped = pretrained.is_shipped(options.folder)
    folder = pretrained.find(options.folder) if shipped else Path(options.folder)
    where = {name: options[name] for name in ("data", "data_dir", "size")}
    pictures = pictures_of(folder, options.figure, **where)
    save(options.out, pictures)
    for picture in pictures:
        print(f"{picture.title}. {picture.caption}\n")
    print(f"figure: {options.out}")
