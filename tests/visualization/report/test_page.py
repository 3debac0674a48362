"""What stands in the page: the numbers given, marked where they are better; nothing that runs or loads."""

from __future__ import annotations

import builtins
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from temporalkd.visualization.report import Column, Value, render_page
from temporalkd.visualization.report.contents import System, hues

from .support import COLUMNS, FRAMES, SYSTEMS, report, with_curves_and_moments

VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """The page as a browser reads it: texts of the table's cells, of headings and of scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.headings: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"
        self.rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, text: str) -> None:
        names = [tag for tag, _ in self.open]
        if names and names[-1] == "script":
            self.scripts.append((self.open[-1][1], text))
            return
        if "style" in names:
            return
        self.text += text
        if "h2" in names:
            self.headings[-1] += text
        elif ("td" in names or "th" in names) and self.rows:
            self.rows[-1][-1] += text

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(next(text for attrs, text in self.scripts if attrs.get("id") == "data"))


def test_the_table_holds_the_numbers_given() -> None:
    rows = Page(render_page(report())).rows[:4]
    assert rows[0] == ["System", "mIoU %↑", "Consistency %↑", "Interior flips %↓", "Parameters M", "GMACs", "Frames/s"]
    assert rows[1] == ["first", "61.25★ 60.50 to 62.75", "81.50 80.25 to 82.50", "2.75", "3.43", "4.21", "31.4"]
    assert rows[2] == [
        "second",
        "60.75 59.50 to 61.50 −0.50 −1.25 to +0.25",  # the interval holds 0: not marked
        "85.25★ 84.50 to 86.75 ▲ +3.75 +2.50 to +4.50",
        "1.12★ ▲ −1.62 −2.00 to −1.00",  # fewer flips are better
        "3.43",
        "–",
        "–",
    ]
    assert rows[3] == ["third reference", "100.00", "–", "–", "–", "–", "–"]  # never the best


def test_curves_carry_the_values_and_the_gaps() -> None:
    systems = with_curves_and_moments()
    systems[0] = replace(systems[0], per_pair={"consistency": [None, *[50.0] * (FRAMES - 2)]})
    data = Page(render_page(report(systems))).data
    assert [curve["heading"] for curve in data["curves"]] == ["Consistency", "Interior flips"]
    assert data["systems"][0]["pairs"]["consistency"][:2] == [None, 50.0]
    assert data["systems"][0]["pairs"]["interior"] == []
    assert data["systems"][1]["pairs"]["interior"] == list(systems[1].per_pair["interior"])
    assert data["video"] is None


def test_moments_come_worst_first() -> None:
    html = render_page(report(with_curves_and_moments()))
    assert re.findall(r"<b>([\d.]+) %</b> frames (\d+)", html) == [
        ("4.50", "8"),
        ("1.50", "4"),
        ("4.50", "9"),
        ("1.50", "4"),
    ]
    assert "Show in video" not in html  # there is none


def test_hostile_names_stay_text() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"
    system = replace(
        with_curves_and_moments()[0],
        name=evil,
        config=f"a: {evil}",
        environment={evil: evil},
        difference={"miou": Value(1)},
    )
    harmless = Page(render_page(report([replace(system, name="x", config="a: 1", environment={"b": "c"}), SYSTEMS[1]])))
    html = render_page(
        report(
            [system, SYSTEMS[1]],
            title=evil,
            caption=evil,
            facts={evil: evil},
            notes=[evil],
            class_names=[evil] * 3,
            frame_names=[evil] * FRAMES,
            columns=[Column("miou", evil, True, evil), *COLUMNS[1:]],
            curves=[Column("consistency", evil, True, evil)],
        )
    )
    page = Page(html)
    assert len(page.scripts) == len(harmless.scripts)
    assert not [
        attrs for tag, attrs in page.seen if tag == "img" and not (attrs["src"] or "").startswith("data:image/jpeg;")
    ]
    assert not [name for _, attrs in page.seen for name in attrs if name.startswith("on")]
    assert page.data["systems"][0]["name"] == evil and page.data["frames"][0] == evil
    assert evil in page.text and "49" not in page.rows[1][0]


def test_nothing_is_loaded() -> None:
    html = render_page(report(with_curves_and_moments()))
    assert "default-src 'none'" in html
    for tag, attrs in Page(html).seen:
        for name in ("src", "href"):
            assert (attrs.get(name) or "data:").startswith(("data:", "#")), (tag, attrs)
    assert not re.search(
        r"@import|url\(|fetch\(|XMLHttpRequest|//[a-z]+\.[a-z]+/", html.replace("http://www.w3.org/", "")
    )


def test_missing_jinja_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **keywords: Any) -> Any:
        if name == "jinja2":
            raise ImportError(name)
        return real(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[report\]' in the checkout"):
        render_page(report())


def test_references_share_no_colour_with_systems() -> None:
    kinds = ["student", "reference", *["prediction"] * 6, "reference"]
    found = hues([System(str(number), kind) for number, kind in enumerate(kinds)])  # type: ignore[arg-type]
    of = {
        reference: {hue for hue, kind in zip(found, kinds) if (kind == "reference") == reference}
        for reference in (True, False)
    }
    assert not of[True] & of[False] and len(of[False]) == 6
