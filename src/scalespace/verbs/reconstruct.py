"""`scalespace reconstruct` sends images through a trained autoencoder and back."""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace.data import load_told, write_samples
from scalespace.data.exchange import read_any
from scalespace.model.reconstruction import autoencoder, reconstruct
from scalespace.verbs.common import (
    check_target,
    data_dir_option,
    find_model,
    make_runtime,
    note,
    refuse_given,
    runtime_options,
)


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="a model folder of a method with an autoencoder")
    parser.add_argument(
        "--samples", help="a samples file, or a folder of images (default: the data's test images)"
    )
    parser.add_argument("--out", required=True, help="the samples file to write (.npz)")
    parser.add_argument("--grid", help="also a picture: originals above their reconstructions")
    parser.add_argument("--data", help="the data set (default: the one the model was trained on)")
    data_dir_option(parser, size=True)
    runtime_options(parser, training=False)


def act(options: Namespace, given: dict[str, Any]) -> None:
    import numpy as np

    from scalespace.evaluation.controls import FLOOR, control
    from scalespace.figures.grids import PICTURES, save_grid

    check_target("--out", options.out, ".npz")
    check_target("--grid", options.grid, *PICTURES)
    model = find_model(options.model, make_runtime(options).torch_device)
    autoencoder(model)
    if options.samples:
        reason = "is for the data's test images, and not for --samples"
        refuse_given(options, ("data", "data_dir", "size"), reason)
        originals, assumed = read_any(options.samples, model.data.classes, model.data.channels > 1)
        for sentence in assumed:
            note(sentence)
    else:
        where = options.data, options.data_dir, options.size
        splits = load_told(model.data, options.model, *where)
        originals = control(FLOOR, splits, len(splits.test()))
    rebuilt = reconstruct(model, originals)
    write_samples(options.out, rebuilt)
    if options.grid:
        columns = min(10, len(rebuilt))
        shown = [part.images[: 100 // columns * columns] for part in (originals, rebuilt)]
        shown = [part[: len(part) // columns * columns] for part in shown]
        rows = [part.reshape(-1, columns, *part.shape[1:]) for part in shown]
        both = np.stack(rows, axis=1)  # a row of originals, then the same images rebuilt
        save_grid(options.grid, both.reshape(-1, *both.shape[3:]), columns)
    error = float(np.square(rebuilt.images - originals.images).mean())
    print(f"{len(rebuilt)} images, mean squared error {error:.5f}: {options.out}")
