"""`scalespace report` writes a study's report anew, or an index that compares several studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace.verbs.common import check_target, note

INDEX = "studies.html"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "folders", nargs="+", help="a study's folder; or several, or one that holds several"
    )
    parser.add_argument(
        "--out",
        help=f"the page that compares several studies (default: {INDEX})",
    )


def act(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.report.index import build_index
    from scalespace.report.page import build
    from scalespace.studies.folder import ABOUT

    folders = [Path(folder) for folder in options.folders]
    check_target("--out", options.out, ".html")
    if len(folders) == 1 and options.out is None and (folders[0] / ABOUT).exists():
        print(f"report: {build(folders[0])}")
        return
    page = Path(options.out or INDEX)
    count, refused = build_index(folders, page)
    for line in refused:
        note(line)
    print(f"index of {count} {'study' if count == 1 else 'studies'}: {page}")
