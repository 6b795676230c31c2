"""What people do on the page, in a browser: pictures are those of the same calls in Python."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from answers import grey

pytest.importorskip("uvicorn", reason="the page needs the extra 'web'")

from browsing import SEVEN, SIX, Visit, code, shown
from serving import serving

import scalespace as sc
from browsers import PHONE, WIDE
from scalespace.cli import main
from scalespace.web.library import Library

MODELS = ("cascaded", "baseline", "guided")


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    """Shipped models, which a judge ships for, too."""
    with serving(Library({name: sc.Model.from_pretrained(name) for name in MODELS})) as found:
        yield found


on_both = pytest.mark.parametrize("visit", [WIDE, PHONE], ids=["wide", "phone"], indirect=True)


def saved(visit: Visit, folder: Path) -> np.ndarray:
    """The drawing as a samples file in a folder; gives its image [1, h, w]."""
    with visit.page.expect_download() as download:
        visit.page.get_by_role("button", name="Save the drawing").click()
    assert download.value.suggested_filename == "drawing.npz"
    download.value.save_as(folder / "drawing.npz")
    return sc.read_samples(folder / "drawing.npz").images


def copied(card: Any, visit: Visit, folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """What a card's Python makes, as it is copied, in a folder; grey values [n, h, w]."""
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card.locator("summary").click()
    button = card.get_by_role("button", name="Copy: Python")
    button.click()
    card.get_by_text("Copied").wait_for()
    program = visit.page.evaluate("navigator.clipboard.readText()")
    assert program.strip() == code(card)[0]
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(program, "page", "exec"), names)
    assert (folder / "out.png").stat().st_size
    return grey(names["samples"].images)


@on_both
def test_models_side_by_side(visit: Visit) -> None:
    visit.choose("cascaded", "baseline")
    visit.page.get_by_label("Classes").fill("7, 1, 4")
    visit.part("Make").get_by_label("Seed").fill("5")
    visit.part("Make").get_by_role("button", name="Make").click()
    cards = visit.finished("Make", 2)
    assert visit.part("Make").locator(".status").inner_text() == "finished"
    for k, name in enumerate(("cascaded", "baseline")):
        model = sc.Model.from_pretrained(name)
        np.testing.assert_array_equal(shown(cards.nth(k)), grey(model.sample([7, 1, 4], 5).images))
        assert cards.nth(k).locator("b").first.inner_text() == name
        # back to the first noise, at the scale that it was drawn at
        slider = cards.nth(k).get_by_role("slider")
        slider.fill("0")
        first = next(iter(model.trajectory([7, 1, 4], 5)))
        noise = grey(model.data.to_unit(first.x)[:, 0].numpy())
        np.testing.assert_array_equal(shown(cards.nth(k)), noise)
        size = "14×14" if name == "cascaded" else "28×28"
        assert f", {size}" in cards.nth(k).locator("figcaption").inner_text()


def test_every_step_is_watched(browser: Any, server: SimpleNamespace) -> None:
    visit = Visit(browser, server.place, **WIDE, reduced_motion="no-preference")
    visit.page.evaluate("""() => {
        window.told = [];
        new MutationObserver(() => {
            const text = document.querySelector("figcaption .facts")?.textContent;
            if (text && text !== told.at(-1)) told.push(text);
        }).observe(document.querySelector(".results"), { childList: true, subtree: true });
    }""")
    visit.part("Make").get_by_role("button", name="Make").click()
    visit.finished("Make")
    steps = sc.Model.from_pretrained("cascaded").trajectory([2, 0, 2, 6], 1)
    wanted = [f"state {s.t:g} of {s.segment}, {s.x.shape[2]}×{s.x.shape[3]}" for s in steps]
    assert visit.page.evaluate("told") == wanted
    visit.leave()


def test_settings_and_the_code(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit.choose("guided")
    visit.setting("guided", "calls of small", 3)
    visit.setting("guided", "guidance", 1.5)
    visit.setting("guided", "temperature", 0.8)
    visit.page.get_by_label("Classes").fill("3 8")
    visit.part("Make").get_by_role("button", name="Make").click()
    card = visit.finished("Make").first
    model = sc.Model.from_pretrained("guided").stepped({"small": 3})
    model = model.resampled({"process.temperature": 0.8}).guided(1.5)
    found = shown(card)
    np.testing.assert_array_equal(found, grey(model.sample([3, 8], 1).images))
    np.testing.assert_array_equal(copied(card, visit, tmp_path, monkeypatch), found)
    (tmp_path / "out.png").unlink()
    name, *words = shlex.split(code(card)[1])
    assert name == "scalespace"
    main([*words, "--device", "cpu", "--quiet"])
    assert (tmp_path / "out.png").exists()


@on_both
def test_a_drawing_is_read_and_enlarged(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit.draw(SEVEN)
    visit.page.get_by_role("button", name="Read it").click()
    visit.page.get_by_text("The judge reads 7").wait_for()
    drawing = saved(visit, tmp_path)
    assert drawing.shape == (1, 28, 28)
    lit = np.argwhere(drawing[0] > 0.5)
    assert 19 <= np.ptp(lit, axis=0).max() + 1 <= 21  # as large as MNIST's
    visit.page.get_by_role("button", name="Enlarge it").click()  # as what the judge reads
    card = visit.finished("Draw").first
    model = sc.Model.from_pretrained("cascaded")
    last = model.legs[-1].segment.schedule.last
    expected = sc.redraw(model, drawing, [7], {"upscaler": last}, seed=1)
    found = shown(card)
    np.testing.assert_array_equal(found, grey(expected.images))
    np.testing.assert_array_equal(copied(card, visit, tmp_path, monkeypatch), found)


def test_a_drawing_is_redrawn_from_a_state(visit: Visit, tmp_path: Path) -> None:
    visit.draw(SIX)
    visit.page.get_by_label("Make it a").select_option("6")
    visit.page.locator("#state").select_option("state 4 of upscaler")
    visit.page.get_by_role("button", name="Redraw it").click()
    card = visit.finished("Draw").first
    model, drawing = sc.Model.from_pretrained("cascaded"), saved(visit, tmp_path)
    expected = sc.redraw(model, drawing, [6], {"upscaler": 4}, seed=1)
    np.testing.assert_array_equal(shown(card), grey(expected.images))


@pytest.mark.parametrize(
    ("visit", "part"),
    [(WIDE, "left half"), (PHONE, "part of your choice")],
    ids=["wide", "phone"],
    indirect=["visit"],
)
def test_a_part_stays_and_the_rest_is_filled_in(
    part: str, visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit.draw(SEVEN)
    visit.page.get_by_label("and keep the").select_option(part)
    stays = np.s_[:, :14]
    assert visit.page.locator(".frame").is_visible() == (part != "left half")
    if part != "left half":
        for name, value in {"top": 3, "bottom": 11, "left": 2, "right": 26}.items():
            visit.page.locator(f"#part-{name}").fill(str(value))
        stays = np.s_[3:11, 2:26]
    visit.page.get_by_role("button", name="Fill it in").click()
    card = visit.finished("Draw").first
    drawing, found = grey(saved(visit, tmp_path)), shown(card)
    np.testing.assert_array_equal(found[0][stays], drawing[0][stays])
    assert (found != drawing).any()
    np.testing.assert_array_equal(copied(card, visit, tmp_path, monkeypatch), found)


@on_both
def test_between_two_seeds(visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = visit.part("Between two seeds")
    part.get_by_label("Class").select_option("3")
    part.get_by_label("in images").fill("5")
    part.get_by_role("button", name="Make").click()
    card = visit.finished("Between two seeds").first
    expected = grey(sc.interpolate(sc.Model.from_pretrained("cascaded"), [3], 5, 1, 2).images)
    slider = part.get_by_label("Between the two")
    for k in (0, 3, 4):
        slider.fill(str(k))
        np.testing.assert_array_equal(shown(card), expected[k : k + 1])
    slider.press("ArrowLeft")
    np.testing.assert_array_equal(shown(card), expected[3:4])
    np.testing.assert_array_equal(copied(card, visit, tmp_path, monkeypatch), expected)


def test_a_picture_goes_to_the_board_and_back(visit: Visit, tmp_path: Path) -> None:
    visit.part("Make").get_by_role("button", name="Make").click()
    made = shown(visit.finished("Make").first)
    visit.page.locator(".picture").nth(3).click()
    visit.page.locator("#board:focus").wait_for()
    np.testing.assert_array_equal(grey(saved(visit, tmp_path)), made[3:4])
    visit.page.get_by_role("button", name="Undo").click()
    assert not saved(visit, tmp_path).any()
