"""What several verbs have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from scalespace import presets, pretrained
from scalespace.errors import InputError
from scalespace.files import at_home, check_suffix
from scalespace.methods import METHODS
from scalespace.model import Model
from scalespace.training.runtime import DEVICES, ENGINE_NAMES, LOGS, PRECISIONS, Runtime

if TYPE_CHECKING:
    import torch

MODEL = "a model folder, or the name of a shipped model (scalespace models lists them)"


def engine_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        default="auto",
        choices=ENGINE_NAMES,
        help="what runs the networks: auto is the fastest that is there (pip install "
        "'scalespace[fast]' for ONNX Runtime on a CPU), and torch for few images",
    )


def runtime_options(parser: ArgumentParser, training: bool = True) -> None:
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to compute")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    if training:
        parser.add_argument(
            "--precision", default="32-true", choices=PRECISIONS, help="floating-point precision"
        )
        parser.add_argument("--devices", type=int, default=1, help="devices that train together")
        parser.add_argument(
            "--logs",
            choices=LOGS[1:],
            help="write event files for TensorBoard beside each training's metrics.jsonl",
        )


def data_dir_option(parser: ArgumentParser, size: bool = False) -> None:
    """How to find real data; with `size` also how large a folder's images are to be."""
    if size:
        parser.add_argument(
            "--size", type=int, help="side in pixels that an image folder's images are brought to"
        )
    parser.add_argument(
        "--data-dir", help="root folder of the data (else $SCALESPACE_DATA, else the user's cache)"
    )


def preset_option(parser: ArgumentParser) -> None:
    known = ", ".join(presets.names())
    parser.add_argument("--preset", default="default", help=f"{known}, or a YAML file")


def make_runtime(options: Namespace) -> Runtime:
    chosen = {
        name: options[name]
        for name in ("precision", "devices", "engine", "logs")
        if options.get(name) is not None
    }
    return Runtime(device=options.device, progress=not options.quiet, **chosen)


def find_model(name: str, device: torch.device | str = "cpu") -> Model:
    """The model that a command names; notes it if a folder hides a shipped one."""
    if name in METHODS and not pretrained.is_shipped(name) and not Path(name).is_dir():
        raise InputError(
            f"no trained '{name}' ships with the package: train it "
            f"(scalespace train {name} --out FOLDER) and name the folder"
        )
    folder = pretrained.find(at_home(name))
    model = Model.load(folder, device)
    if pretrained.is_shipped(name) and folder == Path(name):
        note(f"{name}: the model in the folder of that name here, not the shipped one")
    return model


def check_target(option: str, path: str | None, *suffixes: str) -> None:
    """Refuses, before any work, a file that could not be written."""
    if path is None:
        return
    check_suffix(path, suffixes, option)
    if Path(path).is_dir():
        raise InputError(f"{option} {path} is a folder: name a file")
    check_folder(option, Path(path).parent)


def check_apart(**targets: str | None) -> None:
    """Refuses, before any work, two options whose files would be one, however it is spelt."""
    options: dict[str, str] = {}
    for option, path in targets.items():
        if path is None:
            continue
        first = options.setdefault(os.path.realpath(path), option)
        if first != option:
            raise InputError(
                f"--{first} and --{option} would write the same file, {path}: name two"
            )


def refuse_given(options: Namespace, names: Iterable[str], reason: str) -> None:
    """Raises `InputError` for a named option that is given and has no effect here."""
    for name in names:
        if options[name] is not None:
            raise InputError(f"--{name.replace('_', '-')} {reason}")


def check_new_folder(option: str, path: Path) -> None:
    """Refuses, before any work, a folder that is there already, or could not be made."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{option} {path} is there already: name a file (.npz) or a new folder")
    check_folder(option, path.parent)


def check_folder(option: str, path: Path) -> None:
    """Refuses a folder that files could not be written into; it need not be there yet."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise InputError(f"{option}: {there} is a file, and a folder is needed there")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{option}: cannot write into {there}: Permission denied")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
