"""`scalespace serve` shows a live page on which trained models make images."""

from __future__ import annotations

import importlib.util
import webbrowser
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from scalespace import pretrained
from scalespace.errors import InputError
from scalespace.training.runtime import DEVICES, Runtime
from scalespace.verbs.common import MODEL, find_model, note

NEEDED = ("starlette", "uvicorn")


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="*", help=f"those on the page (default: all shipped ones); each {MODEL}"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen; the default is this machine alone"
    )
    parser.add_argument("--port", type=int, default=8000, help="0 for any that is free")
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, and open no browser"
    )
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to compute")


def act(options: Namespace, given: dict[str, Any]) -> None:
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"a page needs the package {' and '.join(missing)}: pip install {' '.join(NEEDED)} (or "
            "scalespace's extra 'web')"
        )
    if not 0 <= options.port <= 65_535:
        raise InputError(f"--port must lie from 0 to 65535, got {options.port}")
    from scalespace.web.guard import answers_to
    from scalespace.web.library import Library
    from scalespace.web.server import address, listen, make_server

    device = Runtime(device=options.device, progress=False).torch_device
    with listen(options.host, options.port) as listening:
        names = list(dict.fromkeys(options.models or pretrained.names()))
        library = Library({name: find_model(name, device) for name in names})
        hosts = answers_to(options.host, listening.getsockname()[0])
        place = address(options.host, listening)
        print(f"{', '.join(names)}: {place}", flush=True)
        if hosts is None:
            note("whoever reaches this machine can use the page: --host 127.0.0.1 keeps it private")
        elif not options.no_browser:
            _open(place)
        try:
            make_server(library, hosts).run(sockets=[listening])
        except KeyboardInterrupt:
            note("stopped")


def _open(place: str) -> None:
    """Opens a browser with a window; one in the terminal would cover what this command says."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(place)
