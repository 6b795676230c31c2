"""Drives the live page in a real browser, as somebody who uses it."""

from __future__ import annotations

from typing import Any

import numpy as np
from answers import pixels

PATIENCE = 40_000
"""Milliseconds after which a test gives up; none takes anything near it."""
DONE = "figcaption ~ p:has-text('network calls an image')"
SIX = [(0.68, 0.15), (0.42, 0.35), (0.34, 0.65), (0.5, 0.85), (0.68, 0.7), (0.6, 0.55), (0.38, 0.6)]
SEVEN = [(0.25, 0.25), (0.75, 0.25), (0.45, 0.8)]
"""Digits as lines on a board of side 1."""


class Visit:
    """Somebody with the page open, who notes what goes wrong in it.

    Args:
        browser: it opens there, in a window of its own.
        place: of the server.
        device: `WIDE` or `PHONE` of `browsers`, or other options of a window.
    """

    def __init__(self, browser: Any, place: str, **device: Any) -> None:
        self.place = place
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.context = browser.new_context(**{"reduced_motion": "reduce", **device})
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(place)
        self.page.wait_for_selector(".model")

    def leave(self) -> None:
        """Closes the window, and checks what holds on every visit."""
        wide = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], "it scrolls sideways"
        self.context.close()
        assert not self.complaints
        own = (self.place, "data:", f"blob:{self.place}")
        assert not [url for url in self.asked if not url.startswith(own)]

    def choose(self, *names: str) -> None:
        """Ticks these models, and no others."""
        for box in self.page.locator(".model").all():
            name = box.locator("> label").inner_text().strip()
            box.locator("input[type=checkbox]").set_checked(name in names)

    def setting(self, model: str, name: str, value: object) -> None:
        """Fills in a field of a model's settings."""
        box = self.page.locator(".model", has=self.page.locator(f"label:text-is('{model}')"))
        if not box.locator("details").evaluate("node => node.open"):
            box.locator("summary").click()
        box.get_by_label(name).fill(str(value))

    def part(self, title: str) -> Any:
        """A part of the page, by its heading."""
        return self.page.get_by_role("region", name=title, exact=True)

    def finished(self, title: str, cards: int = 1) -> Any:
        """The cards of a part, once all have ended."""
        found = self.part(title).locator("figure")
        for k in range(cards):
            found.nth(k).locator(DONE).wait_for()
        assert found.count() == cards
        return found

    def draw(self, points: list[tuple[float, float]]) -> None:
        """Draws a line by the mouse."""
        board = self.page.locator("#board")
        board.scroll_into_view_if_needed()
        box = board.bounding_box()
        x, y, width, height = (box[name] for name in ("x", "y", "width", "height"))
        places = [(x + a * width, y + b * height) for a, b in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=6)
        self.page.mouse.up()


def shown(card: Any) -> np.ndarray:
    """The pictures of a card, grey values [n, h, w]."""
    urls = card.locator(".picture img").evaluate_all("nodes => nodes.map(node => node.src)")
    return np.stack([pixels(url) for url in urls])


def code(card: Any) -> tuple[str, str]:
    """The Python and the command line of a card."""
    python, shell = card.locator("pre").all_text_contents()
    return python, shell
