"""How the page behaves in a real browser: by keyboard, in the dark, when something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from answers import grey

pytest.importorskip("uvicorn", reason="the page needs the extra 'web'")

from browsing import Visit, shown
from serving import LONG, Endless, serving

import scalespace as sc
from browsers import PHONE, WIDE
from scalespace.web.library import Library


@pytest.fixture(scope="module")
def models() -> Library:
    return Library({name: sc.Model.from_pretrained(name) for name in ("cascaded", "small")})


@pytest.fixture
def server(models: Library) -> Iterator[SimpleNamespace]:
    with serving(models) as found:
        yield found


FOCUS = """() => {
    const node = document.activeElement, board = node.closest(".board") ?? node;
    const style = getComputedStyle(board), box = node.getBoundingClientRect();
    return {
        name: node.id || node.textContent.trim().slice(0, 30) || node.tagName,
        body: node === document.body,
        outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
        inside: box.top < innerHeight && box.bottom > 0 && box.width > 0 && box.height > 0,
    };
}"""
REACHABLE = """() => [...document.querySelectorAll("a, button, input, select, summary, [tabindex]")]
    .filter((node) => !node.disabled && node.checkVisibility() && !node.closest("[hidden]"))
    .map((node) => node.id || node.textContent.trim().slice(0, 30) || node.tagName)"""


@pytest.mark.parametrize("visit", [WIDE, PHONE], ids=["wide", "phone"], indirect=True)
def test_tab_reaches_all_in_order_and_shows_where_it_is(visit: Visit) -> None:
    visit.part("Make").get_by_role("button", name="Make").click()
    card = visit.finished("Make").first
    card.locator("summary").click()
    visit.page.evaluate("document.activeElement.blur()")
    wanted, reached = visit.page.evaluate(REACHABLE), []
    visit.page.locator("h1").click()  # from the top of the page
    for _ in range(len(wanted) + 5):
        visit.page.keyboard.press("Tab")
        at = visit.page.evaluate(FOCUS)
        if at["body"]:
            break
        assert at["outline"] >= 2, at
        assert at["inside"], at
        reached.append(at["name"])
    assert reached == wanted
    assert len(wanted) > 40


def test_everything_by_keyboard_alone(visit: Visit) -> None:
    """A seven is drawn, read, and enlarged; images are made; a slider turns."""
    press = visit.page.keyboard.press

    def go_to(node: str) -> None:
        for _ in range(80):
            press("Tab")
            if visit.page.evaluate("query => document.activeElement.matches(query)", node):
                return
        raise AssertionError(f"no way to {node}")

    go_to("#labels")
    press("Control+A")
    visit.page.keyboard.type("4")
    press("Enter")
    card = visit.finished("Make").first
    model = sc.Model.from_pretrained("cascaded")
    np.testing.assert_array_equal(shown(card), grey(model.sample([4], 1).images))
    go_to("figure input[type=range]")
    press("Home")
    assert "14×14" in card.locator("figcaption").inner_text()
    go_to("#board")
    for key, times in {"ArrowLeft": 7, "ArrowUp": 7}.items():
        for _ in range(times):
            press(key)
    press("Space")
    for _ in range(14):
        press("ArrowRight")
    for k in range(14):
        press("ArrowDown")
        if k % 2:
            press("ArrowLeft")
    press("Space")
    assert visit.page.locator(".pen").is_visible()
    go_to("#enlarge")
    press("Enter")
    visit.finished("Draw")
    assert visit.page.locator(".reading b").inner_text() == "7"
    go_to("#where, #between button.main")
    press("Enter")
    visit.finished("Between two seeds")
    go_to("#board")
    press("Control+z")
    go_to("#read")
    press("Enter")
    visit.page.get_by_text("Draw something first.").wait_for()


CONTRAST = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const [r, g, b] = numbers(colour).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const colour = getComputedStyle(node).backgroundColor;
            if (numbers(colour)[3] !== 0) return light(colour);
        }
        return 1;
    };
    const found = [];
    for (const node of document.querySelectorAll("body *")) {
        const words = [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
        if (!words || node.disabled || !node.checkVisibility()) continue;
        const pair = [light(getComputedStyle(node).color), ground(node)].sort((a, b) => b - a);
        found.push([(pair[0] + 0.05) / (pair[1] + 0.05), node.textContent.trim().slice(0, 30)]);
    }
    return { found, ground: ground(document.body) };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(scheme: str, browser: Any, server: SimpleNamespace) -> None:
    """By the contrast that WCAG 2 asks for, 4.5 to 1; and dark is dark."""
    visit = Visit(browser, server.place, **WIDE, color_scheme=scheme)
    visit.part("Make").get_by_role("button", name="Make").click()
    visit.finished("Make").first.locator("summary").click()
    seen = visit.page.evaluate(CONTRAST)
    assert len(seen["found"]) > 40
    assert not [one for one in seen["found"] if one[0] < 4.5]
    assert (seen["ground"] < 0.05) == (scheme == "dark")
    visit.leave()


def test_what_is_wrong_is_told_where_it_was_asked(visit: Visit) -> None:
    status = visit.part("Make").locator(".status")
    make = visit.part("Make").get_by_role("button", name="Make")
    visit.choose()
    make.click()
    assert status.inner_text() == "Choose a model first."
    visit.choose("cascaded")
    for words, told in {
        "2, x": "x is none of the classes",
        "12": "label 12 is none",
        "": "1 to 64 classes",
    }.items():
        visit.page.get_by_label("Classes").fill(words)
        make.click()
        visit.part("Make").get_by_text(told).wait_for()
        assert status.inner_text().startswith("Not done: ")
        assert "Traceback" not in visit.page.content()
    # the browser itself notes each refusal; the page adds nothing
    assert all("status of 400" in text for text in visit.complaints)
    visit.complaints.clear()
    visit.page.get_by_role("button", name="Read it").click()
    assert visit.part("Draw").locator(".status").inner_text() == "Draw something first."


def test_a_wrong_setting_shows_itself(visit: Visit) -> None:
    visit.setting("cascaded", "temperature", 99)
    visit.page.locator(".model summary").first.click()
    assert not visit.page.get_by_label("temperature").first.is_visible()
    visit.part("Make").get_by_role("button", name="Make").click()
    assert visit.page.get_by_label("temperature").first.is_visible()
    assert not visit.page.locator("figure").count()


@pytest.mark.parametrize("how", ["close", "stop", "again"])
def test_who_leaves_ends_the_work(
    how: str, browser: Any, server: SimpleNamespace, endless: Endless
) -> None:
    visit = Visit(browser, server.place, **WIDE)
    part = visit.part("Between two seeds")
    part.get_by_role("button", name="Make").click()
    part.get_by_role("button", name="Stop").wait_for()
    while not endless.begun:
        visit.page.wait_for_timeout(20)
    assert not endless.closed
    if how == "stop":
        part.get_by_role("button", name="Stop").click()
        part.get_by_text("stopped").wait_for()
    elif how == "again":
        part.get_by_role("button", name="Make").click()
    visit.leave()
    assert endless.end.wait(LONG)


def test_a_server_that_goes(browser: Any, server: SimpleNamespace, endless: Endless) -> None:
    visit = Visit(browser, server.place, **WIDE)
    part = visit.part("Between two seeds")
    part.get_by_role("button", name="Make").click()
    while not endless.begun:
        visit.page.wait_for_timeout(20)
    server.stop()
    part.get_by_text("Not done: the server").wait_for()
    assert not part.get_by_role("button", name="Stop").is_visible()
    visit.part("Make").get_by_role("button", name="Make").click()
    visit.part("Make").get_by_text("the server does not answer").wait_for()
    visit.complaints.clear()  # the browser's own, of the connection
    visit.leave()


@pytest.mark.slow
def test_ten_people_at_once(browser: Any, server: SimpleNamespace) -> None:
    people = [Visit(browser, server.place, **(WIDE, PHONE)[k % 2]) for k in range(10)]
    for k, visit in enumerate(people):
        visit.part("Make").get_by_label("Seed").fill(str(k))
        visit.part("Make").get_by_role("button", name="Make").click()
    model = sc.Model.from_pretrained("cascaded")
    for k, visit in enumerate(people):
        found = shown(visit.finished("Make").first)
        np.testing.assert_array_equal(found, grey(model.sample([2, 0, 2, 6], k).images))
        visit.leave()
