"""`scalespace data` fetches, verifies and shows a data set."""

from __future__ import annotations

import json
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace.data import first_of_each, load
from scalespace.data.catalog import DATASETS
from scalespace.data.info import has_names
from scalespace.data.pixels import pictures
from scalespace.verbs.common import check_target, data_dir_option

PARTS = ("train", "validation", "test")


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", help=f"data set: {', '.join(DATASETS)}, folder:PATH, npz:FILE")
    parser.add_argument("--grid", help="write a picture of some images of each class")
    parser.add_argument("--json", action="store_true", help="print JSON")
    data_dir_option(parser, size=True)


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.data.summary import summary
    from scalespace.figures.grids import PICTURES, save_grid

    check_target("--grid", options.grid, *PICTURES)
    splits = load(options.name, options.data_dir, size=options.size)
    about = summary(splits)
    if options.grid:
        train = splits.train
        columns = len(train.classes)
        found = first_of_each(pictures(train.images), train.labels.numpy(), columns, 10) / 255
        names = train.classes if has_names(train.classes) else ()
        images = found.swapaxes(0, 1).reshape(-1, *found.shape[2:])
        save_grid(options.grid, images, columns, names=names)
    if options.json:
        print(json.dumps(about, indent=2))
        return
    counted = [about.pop("classes"), *(about.pop(f"{part} per class") for part in PARTS)]
    for key, value in about.items():
        print(f"{key}: {' x '.join(map(str, value)) if key == 'size' else value}")
    rows = [("class", *PARTS), *zip(*counted, strict=True)]
    width = max(len(name) for name, *_ in rows)
    for name, *cells in rows:
        print(f"{name:<{width}}", *(f"{cell:>10}" for cell in cells), sep="  ")
