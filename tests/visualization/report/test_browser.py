"""The page in a real browser: it plays, steps, sorts and asks the network for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from temporalkd.visualization.report import Report, render_page
from temporalkd.visualization.report.mosaic import VIEWS

from . import support
from .browser import Opened

LAST = support.FRAMES - 1


@pytest.fixture
def opened(open_page: Any, tmp_path: Path) -> Any:
    """Render a report and open it."""

    def open_(report: Report, **options: Any) -> Opened:
        path = tmp_path / "report.html"
        path.write_text(render_page(report), encoding="utf-8")
        return open_page(path, **options)

    return open_


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Report:
    video = support.numbered_mosaic(tmp_path_factory.mktemp("video") / "m.mp4")
    return support.report(support.with_curves_and_moments(), video, scatter=("miou", "consistency"))


def shows(pictures: list[np.ndarray], view: str, frame: int) -> None:
    """Every system's canvas has this very frame, and its own tile of it."""
    assert len(pictures) == len(support.NAMES)
    for system, picture in enumerate(pictures):
        assert support.number_in(picture, view) == frame, f"canvas {system}"
        if view == "overlay":
            colour = (np.array(support.COLOURS[system]) + 30) / 2
            assert np.abs(support.strip_of(picture) - colour).max() < 14, f"canvas {system}"


def test_all_canvases_show_exactly_the_frame_sought(opened: Any, full: Report) -> None:
    tab = opened(full)
    tab.settle(0)
    for view in VIEWS:
        tab.page.check(f"[name=view][value={view}]", force=True)
        for frame in (0, 7, LAST, 12, 11, 0):
            tab.page.fill("#scrub", str(frame))
            tab.settle(frame)
            shows(tab.pictures(), view, frame)
            assert tab.frame() == frame
            assert tab.page.inner_text("#frame-name") == f"frame_{frame:03d}"
            assert tab.page.inner_text("#frame-time") == f"{frame / support.FPS:.2f} s"
    tab.calm()


def test_the_video_plays_in_step_and_stops_on_the_frame_it_names(opened: Any, full: Report) -> None:
    tab = opened(full)
    tab.settle(0)
    tab.page.click("#toggle")
    tab.page.wait_for_selector("#toggle[aria-label=Pause]")
    seen = []
    for _ in range(8):
        tab.page.wait_for_timeout(120)
        pictures = tab.pictures()
        numbers = {support.number_in(picture, "overlay") for picture in pictures}
        assert len(numbers) == 1  # all of one picture, also in the middle of playing
        seen.append(numbers.pop())
    assert len(set(seen)) >= 4 and seen[3] > seen[0]
    assert tab.page.evaluate("document.querySelector('video').currentTime") > 0.3
    tab.page.click("#toggle")
    frame = tab.frame()
    tab.settle(frame)
    tab.page.wait_for_timeout(150)
    assert tab.frame() == frame > 0
    shows(tab.pictures(), "overlay", frame)
    tab.calm()


def test_keys(opened: Any, full: Report) -> None:
    tab = opened(full)
    tab.settle(0)
    tab.page.locator("#player").scroll_into_view_if_needed()
    tab.page.wait_for_timeout(100)  # until the observer knows that the player is on the screen
    for key, frame in [
        ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Shift+ArrowRight", 11), ("Shift+ArrowLeft", 1),
        ("End", LAST), ("ArrowRight", LAST), ("Home", 0), ("ArrowLeft", 0),
    ]:  # fmt: skip
        tab.page.keyboard.press(key)
        tab.settle(frame)
        assert tab.frame() == frame, key
    shows(tab.pictures(), "overlay", 0)
    for _ in range(5):  # faster than the video can follow: it ends where the last key says
        tab.page.keyboard.press("ArrowRight")
    tab.settle(5)
    shows(tab.pictures(), "overlay", 5)
    tab.page.focus("#scrub")
    tab.page.keyboard.press("Shift+ArrowRight")
    tab.settle(15)
    tab.page.evaluate("document.activeElement.blur()")
    tab.page.keyboard.press("Space")
    tab.until("!document.querySelector('video').paused")
    tab.page.keyboard.press("Space")
    tab.until("document.querySelector('video').paused")
    tab.calm()


def test_systems_are_switched_off_everywhere(opened: Any, full: Report) -> None:
    tab = opened(full)
    tab.settle(0)
    tab.page.uncheck('#runs input[value="1"]')
    assert tab.page.locator("#stage figure:visible").count() == 2
    assert tab.page.locator("path.curve").count() == 2
    assert tab.page.locator('.measure[data-system="1"]:visible').count() == 0
    assert tab.page.locator('.measure[data-system="0"]:visible').count() > 0
    tab.page.fill("#scrub", "9")
    tab.settle(9)
    tab.page.check('#runs input[value="1"]')
    shows(tab.pictures(), "overlay", 9)
    tab.calm()


def test_sorting(opened: Any, full: Report) -> None:
    tab = opened(full)

    def order() -> list[str]:
        return tab.page.evaluate("[...document.querySelectorAll('#comparison tbody th')].map(h => h.dataset.value)")

    heading = tab.page.locator("#comparison .sort", has_text="Consistency")
    assert order() == ["first", "second", "third"]
    heading.click()
    assert order() == ["second", "first", "third"]  # the highest first; none comes last
    heading.click()
    assert order() == ["first", "second", "third"]
    tab.page.locator("#comparison .sort", has_text="Interior flips").focus()
    tab.page.keyboard.press("Enter")
    assert order() == ["second", "first", "third"]  # the lowest first
    tab.page.locator("#comparison .sort", has_text="mIoU").click()
    assert order() == ["third", "first", "second"]
    states = tab.page.evaluate("[...document.querySelectorAll('#comparison thead th')].map(h => h.ariaSort)")
    assert states.count("descending") == 1 and states.count("none") == len(states) - 1
    assert tab.page.inner_text("#tip") == "How right. Higher is better."


def test_curves(opened: Any, full: Report) -> None:
    tab = opened(full)
    tab.settle(0)
    before = tab.page.get_attribute('path.curve[data-system="1"]', "d")
    assert before.count("M") == 2  # the gap
    assert tab.page.get_attribute('path.curve[data-system="0"]', "d").count("M") == 1
    tab.page.check("[name=curve][value='1']", force=True)
    assert tab.page.get_attribute('path.curve[data-system="1"]', "d") != before
    tab.page.locator("#plot").scroll_into_view_if_needed()
    box = tab.page.locator("#plot svg").bounding_box()
    pair = 20
    x = box["x"] + 46 + pair / (LAST - 1) * (box["width"] - 60)
    tab.page.mouse.move(x, box["y"] + 60)
    value = full.systems[0].per_pair["interior"][pair]
    text = tab.page.inner_text(".readout")
    assert f"frames {pair + 1} → {pair + 2}" in text and f"{value:.2f}" in text and "second" in text
    tab.page.mouse.click(x, box["y"] + 60)
    tab.settle(pair)
    shows(tab.pictures(), "overlay", pair)
    assert float(tab.page.get_attribute(".playhead", "x1")) == pytest.approx(x - box["x"], abs=1)
    tab.page.mouse.move(box["x"] + 46 + 11 / (LAST - 1) * (box["width"] - 60), box["y"] + 60)
    assert "–" in tab.page.inner_text(".readout")
    tab.calm()


def test_moments(opened: Any, full: Report) -> None:
    tab = opened(full)
    tab.settle(0)
    card = tab.page.locator(".cards:visible .card").first
    card.scroll_into_view_if_needed()
    style = "getComputedStyle(document.querySelector('.card .after')).clipPath"
    before = tab.page.evaluate(style)
    card.locator("input").focus()
    tab.page.keyboard.press("ArrowRight")
    by_key = tab.page.evaluate(style)
    box = card.locator(".before-after").bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20, steps=4)
    tab.page.mouse.up()
    by_mouse = tab.page.evaluate(style)
    assert len({before, by_key, by_mouse}) == 3, (before, by_key, by_mouse)
    assert 80 < int(card.locator("input").input_value()) <= 100
    png = np.frombuffer(card.locator(".before-after").screenshot(), np.uint8)
    row = cv2.imdecode(png, 1)[-60, :, 0]
    width = len(row)
    assert (
        abs(int(row[width // 4]) - 60) < 3 and abs(int(row[-width // 50]) - 220) < 3
    )  # before at the left, after at the right
    assert tab.page.locator(".card:visible").count() == 2
    tab.page.select_option("#moments-of", "1")
    card = tab.page.locator(".cards:visible .card").first
    card.locator(".show").click()
    tab.settle(8)
    shows(tab.pictures(), "overlay", 8)
    tab.calm()


def test_scatter(opened: Any, full: Report) -> None:
    tab = opened(full)
    places = "d => ['cx', 'cy'].map(name => Number(d.getAttribute(name)))"
    dots = f"[...document.querySelectorAll('#scatter .dot')].map({places})"
    (x0, y0), (x1, y1) = tab.page.evaluate(dots)
    assert x1 < x0 and y1 < y0  # the second is less accurate and steadier: to the left, and above
    assert tab.page.locator("#scatter .whisker").count() == 4
    tab.page.uncheck('#runs input[value="0"]')
    assert tab.page.evaluate(dots) == [[x1, y1]]
    tab.calm()


@pytest.mark.parametrize("scheme", ["dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_and_shows_in_both_schemes(opened: Any, full: Report, tmp_path: Path, width: int, scheme: str) -> None:
    long = replace(full.systems[0], name="runs/" + "a_very_long_name_of_a_run_" * 6)
    tiles = {long.name: full.video.tiles["first"], "second": full.video.tiles["second"]}  # type: ignore[union-attr]
    video = replace(full.video, tiles=tiles)  # type: ignore[type-var]
    tab = opened(
        replace(full, systems=[long, *full.systems[1:]], video=video, title="long" * 30),
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    tab.settle(0)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    tab.page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    shot = cv2.imread(str(tmp_path / f"{scheme}-{width}.png"))
    paper = shot[5, 5].mean()
    assert paper > 230 if scheme == "light" else paper < 40
    tab.calm()
