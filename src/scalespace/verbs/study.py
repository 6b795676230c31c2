"""`scalespace study` runs a study and prints its table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.data.origins import find_origin
from scalespace.settings import load_config
from scalespace.verbs.common import (
    data_dir_option,
    engine_option,
    make_runtime,
    note,
    preset_option,
    runtime_options,
)


def add_options(parser: ArgumentParser) -> None:
    preset_option(parser)
    parser.add_argument("--out", help="the study's folder (default: runs/PRESET-DATA)")
    parser.add_argument("--jobs", type=int, default=1, help="tasks at a time")
    parser.add_argument(
        "--cluster",
        default="",
        help="run the tasks on a cluster that shares the study's folder: local:N, "
        "tcp://HOST:PORT (a dask scheduler), slurm or slurm:FILE.yaml; needs the extra cluster",
    )
    data_dir_option(parser)
    runtime_options(parser)
    engine_option(parser)
    opt.add_config(parser, unset="the preset")


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.report.study import study

    config = load_config(options.preset, opt.config_fields(given))
    name = Path(options.preset).stem
    out = Path(options.out or Path("runs") / f"{name}-{find_origin(config.data).name}")
    report = study(
        out,
        config,
        preset=name,
        data_dir=options.data_dir,
        runtime=make_runtime(options),
        jobs=options.jobs,
        command=shlex.join(["scalespace", *_without_paths(sys.argv[1:])]),
        say=note,
        cluster=options.cluster,
    )
    print((report.parent / "table.md").read_text(encoding="utf-8"))
    print(f"report: {report}")


def _without_paths(arguments: Sequence[str]) -> list[str]:
    """The command without --data-dir, which only this machine knows."""
    out, skip = [], False
    for word in arguments:
        if not skip and word != "--data-dir" and not word.startswith("--data-dir="):
            out.append(word)
        skip = word == "--data-dir"
    return out
