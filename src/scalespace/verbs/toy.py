"""`scalespace toy` diffuses points on a line, beside the exact answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonargparse import ActionYesNo, ArgumentParser, Namespace

from scalespace import options as opt
from scalespace.verbs.common import check_folder


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="the folder to write")
    parser.add_argument("--seeds", default="0,1,2", help="each arm is trained once with each")
    parser.add_argument("--points", default="-1,1", help="the data, each point equally likely")
    parser.add_argument("--epochs", type=int, default=200, help="of 100 x 128 points")
    parser.add_argument("--samples", type=int, default=10_000, help="trajectories a seed")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.1,
        help="a stray ends further than this from every point, in halves of the smallest distance "
        "between two",
    )
    parser.add_argument(
        "--cures", action=ActionYesNo(no_prefix="no-"), default=True, help="also try the cures"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.toy.config import ToyConfig
    from scalespace.toy.experiment import experiment
    from scalespace.toy.report import strays_table

    check_folder("--out", Path(options.out))
    results = experiment(
        Path(options.out),
        ToyConfig(tuple(opt.reals(options.points, "--points")), epochs=options.epochs),
        opt.numbers(options.seeds, "--seeds"),
        options.samples,
        options.tolerance,
        options.cures,
        progress=not (options.quiet or options.json),
    )
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print("\n".join(strays_table(results)))
    print(f"tables and pictures: {Path(options.out) / 'toy.md'}")
