"""The report in a real browser: two widths, mouse, finger and keyboard, and without script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake import make_series

from browsers import PHONE, WIDE
from scalespace.report import page as report


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    methods = ("small", "cascaded", "latent")
    folder = make_series(
        tmp_path_factory.mktemp("series"), methods=methods, seeds=(0,), distances={"cascaded": 1.0}
    )
    return report.build(folder)


def visit(browser: Any, path: Path, **device: Any) -> Any:
    """The page in a window of its own; what goes wrong in it fails the test by `leave`."""
    page = browser.new_context(**device).new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "request",
        lambda one: (
            None if one.url.startswith(("file:", "data:")) else page.complaints.append(one.url)
        ),
    )
    page.goto(path.as_uri())
    return page


def leave(page: Any) -> None:
    complaints = page.complaints
    page.context.close()
    assert not complaints


@pytest.mark.parametrize("device", [WIDE, PHONE])
def test_nothing_scrolls_sideways(browser: Any, built: Path, device: dict[str, Any]) -> None:
    page = visit(browser, built, **device)
    page.locator(".film").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = """nodes => nodes.filter(one => one.scrollWidth > one.clientWidth + 1
        && getComputedStyle(one).overflowX !== "visible" && one.offsetWidth > 1
        && !one.closest("thead")).map(one => one.outerHTML.slice(0, 80))"""
    assert page.locator("body *").evaluate_all(wide) == []
    edges = "nodes => Math.max(...nodes.map(one => one.getBoundingClientRect().right))"
    for what in ("table", "td", "figure", "picture img", ".film"):
        assert page.locator(f"main {what}").evaluate_all(edges) <= device["viewport"]["width"]
    leave(page)


def shown(film: Any) -> list[str]:
    return film.locator("canvas").evaluate_all("nodes => nodes.map(one => one.toDataURL())")


def test_the_slider_goes_through_the_states_by_keyboard(browser: Any, built: Path) -> None:
    page = visit(browser, built, **WIDE)
    film = page.locator(".film", has_text="Cascaded")
    film.wait_for()
    slider, words = film.get_by_role("slider"), film.locator("output")
    assert words.inner_text() == "28×28, t = 0 (30 of 30)"
    last = shown(film)
    assert len(set(last)) == 10
    slider.focus()
    page.keyboard.press("Home")
    assert words.inner_text() == "14×14, t = 19 (1 of 30)"
    assert slider.get_attribute("aria-valuetext") == "14×14, t = 19"
    first = shown(film)
    page.keyboard.press("ArrowRight")
    assert words.inner_text() == "14×14, t = 18 (2 of 30)"
    assert shown(film) != first != last
    film.get_by_role("button", name="28×28").press("Enter")
    assert words.inner_text() == "28×28, t = 9 (21 of 30)"
    page.keyboard.press("Tab")  # from the button to the slider
    page.keyboard.press("End")
    assert shown(film) == last
    play = film.locator(".play")
    play.click()
    assert play.inner_text() == "Stop"
    page.wait_for_function("one => one.textContent.startsWith('14×14')", arg=words.element_handle())
    play.click()
    assert play.inner_text() == "Play"
    leave(page)


def test_a_page_that_refreshes_stays_as_its_reader_has_left_it(
    browser: Any, built: Path, tmp_path: Path
) -> None:
    # it never does so by itself here: how much of the test comes first would depend on the machine
    html, late = built.read_text(), '<meta http-equiv="refresh" content="600">'
    path = tmp_path / "running.html"
    path.write_text(html.replace("<title>", f"{late}<title>"))
    page = visit(browser, path, **WIDE)
    film = page.locator(".film", has_text="Cascaded")
    film.wait_for()
    film.get_by_role("slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    first = shown(film)
    page.get_by_text("Recipe of each stage").click()
    page.locator("#reverse").scroll_into_view_if_needed()
    before = page.evaluate("window.mark = 1; scrollY")
    path.write_text(html)
    page.reload()
    page.wait_for_function("() => !window.mark && document.readyState === 'complete'")
    film.wait_for()
    assert film.locator("output").inner_text() == "14×14, t = 18 (2 of 30)"
    assert shown(film) == first
    page.wait_for_function("before => Math.abs(scrollY - before) < 50", arg=before)
    opened = page.locator("details").evaluate_all("nodes => nodes.map(one => one.open)")
    assert opened.count(True) == 1
    leave(page)
    other = visit(browser, path, **WIDE)  # another reader
    film = other.locator(".film", has_text="Cascaded")
    film.wait_for()
    assert film.locator("output").inner_text() == "28×28, t = 0 (30 of 30)"
    leave(other)


def test_a_pointer_a_finger_and_the_arrow_keys_tell_of_an_image(browser: Any, built: Path) -> None:
    page = visit(browser, built, **WIDE)
    tip, grid = page.locator(".tip"), page.locator("#samples-small .spots").first
    assert grid.locator("i").count() == 40
    grid.locator("i").nth(13).hover()
    assert tip.inner_text() == "seed 0, index 13, label 3"
    page.mouse.move(5, 5)
    assert tip.is_hidden()
    grid.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    assert tip.inner_text() == "seed 0, index 10, label 0"
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    leave(page)
    page = visit(browser, built, **PHONE)
    page.locator("#samples-small .spots i").nth(21).tap()
    assert page.locator(".tip").inner_text() == "seed 0, index 21, label 1"
    box = page.locator(".tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.locator(".film", has_text="Cascaded").locator("canvas").nth(4).tap()
    assert page.locator(".tip").inner_text() == "seed 0, index 4, label 4"
    leave(page)


def test_a_small_chart_can_be_had_large(browser: Any, built: Path) -> None:
    page = visit(browser, built, **PHONE)
    page.locator("#cas-per-class, main figure").first.scroll_into_view_if_needed()
    page.get_by_role("button", name="Enlarge").first.tap()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("img").evaluate("one => one.clientWidth") > 390
    dialog.get_by_role("button", name="Close").tap()
    assert dialog.is_hidden()
    leave(page)


def test_without_script_and_in_print_strips_stand_for_the_slider(
    browser: Any, built: Path, tmp_path: Path
) -> None:
    page = visit(browser, built, **PHONE, java_script_enabled=False)
    assert page.locator("#reverse-cascaded img").is_visible()
    assert page.locator(".film").first.is_hidden()
    spot = page.locator("#samples-small .spots i").nth(13)
    assert spot.get_attribute("title") == "seed 0, index 13, label 3"
    leave(page)
    page = visit(browser, built, **PHONE)
    page.locator(".film").first.wait_for()
    assert page.locator("#reverse-cascaded").is_hidden()
    page.emulate_media(media="print")
    assert page.locator("#reverse-cascaded img").is_visible()
    assert page.locator(".film").first.is_hidden()
    leave(page)


def test_an_old_page_of_a_running_study_says_that_it_was_killed(
    browser: Any, built: Path, tmp_path: Path
) -> None:
    from datetime import datetime, timedelta

    from scalespace.report.page import status_block
    from scalespace.report.status import Status

    html = built.read_text()
    for minutes, words in ((1, "This study is running."), (90, "its page is 90 minutes old")):
        now = datetime.now().astimezone() - timedelta(minutes=minutes)
        _, told = status_block(Status(3, ("train small-seed0",)), now)
        path = tmp_path / f"{minutes}.html"
        path.write_text(html.replace("<main>", f"{told}<main>"))
        page = visit(browser, path, **WIDE)
        assert words in page.locator(".status").inner_text()
        leave(page)
