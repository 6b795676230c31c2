"""`scalespace logs` writes TensorBoard event files from the metrics of trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace.errors import InputError
from scalespace.files import no_folder
from scalespace.training.events import write_events
from scalespace.training.metrics import METRICS_FILE


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "folder", help="of a training, or one that holds trainings: a model's, or a study's"
    )


def act(options: Namespace, given: dict[str, Any]) -> None:
    folder = Path(options.folder)
    if not folder.is_dir():
        raise no_folder("training", folder)
    found = sorted(folder.rglob(METRICS_FILE))
    if not found:
        raise InputError(
            f"{folder}: no {METRICS_FILE} in it or below it, which each training writes"
        )
    for path in found:
        write_events(path.parent)
        print(path.parent)
    print(f"{len(found)} event file{'s' * (len(found) > 1)}: tensorboard --logdir {folder}")
