"""`scalespace plot` draws one figure of a study, a judge or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import pretrained
from scalespace.verbs.common import check_target, data_dir_option, refuse_given


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
    from scalespace.figures.picture import FORMATS, save
    from scalespace.report.figures import pictures_of
    from scalespace.studies.folder import ABOUT

    check_target("--out", options.out, *(f".{name}" for name in FORMATS))
    shipped = pretrained.is_shipped(options.folder)
    folder = pretrained.find(options.folder) if shipped else Path(options.folder)
    if options.figure == "training" or (folder / ABOUT).exists():
        reason = "is for a figure that looks at images, of a judge or a model: this one does not"
        refuse_given(options, ("data", "data_dir", "size"), reason)
    where = {name: options[name] for name in ("data", "data_dir", "size")}
    pictures = pictures_of(folder, options.figure, **where)
    save(options.out, pictures)
    for picture in pictures:
        print(f"{picture.title}. {picture.caption}\n")
    print(f"figure: {options.out}")
