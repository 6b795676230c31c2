"""The system's Chromium, driven by Playwright's Python package, and windows of two widths."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SEEN = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE: dict[str, Any] = {"viewport": {"width": 1200, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "color_scheme": "dark",
}


@contextmanager
def launched() -> Iterator[Any]:
    """A browser without a window; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the extra 'browser'")
    found = next(filter(None, map(shutil.which, SEEN)), None)
    if found is None:
        pytest.skip(f"there is no browser here: none of {', '.join(SEEN)} is on the PATH")
    away = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # no network
    root = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[away, *root])
        yield browser
        browser.close()
