"""`temporalkd report` on trained runs: one page, the numbers of `evaluate`, and in a browser what the systems saw."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from temporalkd.data.source import Frame
from temporalkd.data.street import PALETTE, Street, streets
from temporalkd.evaluation import FramePrediction, averaged, network
from temporalkd.models import load_segmenter
from temporalkd.visualization.overlay import enlarge, overlay, to_picture
from tests.cli_support import LENGTH, SIZE, World, isolated, results, run_main, tiny_config, write_config

Call = Callable[..., tuple[str, str]]
TWO_SCENES = ["--set", "data.val.count=2"]
PAIRS = 2 * LENGTH - 1
COLUMNS = {
    "mIoU": "miou", "mAcc": "macc", "boundary IoU": "boundary_iou", "consistency": "consistency",
    "flips": "flip_rate", "interior flips": "flip_interior", "stays right": "gated", "right twice": "right_twice",
    "E_warp": "warp_error", "VC8": "vc8", "VC16": "vc16",
}  # fmt: skip


@dataclass
class Page:
    """The file, read without a browser."""

    path: Path

    def __post_init__(self) -> None:
        self.text = self.path.read_text()
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.text, re.DOTALL)
        assert found is not None
        self.data = json.loads(found[1])
        table = self.text[self.text.index('id="comparison"') :].split("</table>")[0]
        head, body = table.split("<tbody>")
        self.headings = [h.strip() for h in re.findall(r'<button[^>]*class="sort"[^>]*>\s*([^<]+?)\s*<', head)]
        self.rows: dict[str, dict[str, tuple[str, str]]] = {}
        self.kinds: dict[str, str] = {}
        for kind, row in re.findall(r'<tr class="(\w+)"[^>]*>(.*?)</tr>', body, re.DOTALL):
            name = html.unescape(re.findall(r'<th scope="row" data-value="([^"]*)"', row)[0])
            cells = re.findall(r'<td data-value="([^"]*)"[^>]*>\s*<span class="value">([^<]*)', row)
            self.rows[name] = dict(zip(self.headings[1:], cells, strict=True))
            self.kinds[name] = kind

    def holds(self, rows: list[dict[str, Any]]) -> None:
        """These very numbers, and as they are shown."""
        assert list(self.rows) == [row["system"] for row in rows]
        for row in rows:
            for heading, key in COLUMNS.items():
                value, text = self.rows[row["system"]].get(heading, ("", "–"))
                assert (float(value) if value else None) == row[key], (row["system"], key)
                assert text.replace("−", "-") == ("–" if row[key] is None else f"{row[key]:.2f}")


@pytest.fixture(scope="module")
def other(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second run, that began elsewhere."""
    folder = tmp_path_factory.mktemp("second")
    config = write_config(folder / "config.yaml", tiny_config(seed=5))
    with isolated(folder / "cache", folder):
        assert run_main(["train", str(config), "-o", "other"]) == 0
    return folder / "other"


@pytest.fixture(scope="module")
def compared(world: World, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Two runs with their moving averages on two scenes."""
    folder = tmp_path_factory.mktemp("page")
    words = ["report", str(world.run), str(other), "--ema", "0.8", *TWO_SCENES, "-o", "new/folder/page.html"]
    with isolated(folder / "cache", folder):
        assert run_main(words) == 0
        assert [p.name for p in (folder / "new/folder").iterdir()] == ["page.html"]
        assert {p.name for p in folder.iterdir()} <= {"new", "cache"}
    return Page(folder / "new/folder/page.html")


SYSTEMS = ("run", "other", "run EMA 0.8", "other EMA 0.8")


def test_the_numbers_are_those_of_evaluate(world: World, other: Path, compared: Page, call: Call) -> None:
    first, second = (
        {row["system"]: row for row in results(call("evaluate", run, "--ema", "0.8", *TWO_SCENES, "--json")[0])}
        for run in (world.run, other)
    )
    both = second | first
    rows = [both[name] for name in (*SYSTEMS, "ceiling", "floor", "constant")]
    compared.holds(rows)
    assert [compared.kinds[name] for name in SYSTEMS] == ["student", "student", "ema", "ema"]
    assert set(list(compared.kinds.values())[4:]) == {"reference"}
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", compared.text))
    row = both["run"]
    assert (facts["protocol"], facts["flow"], facts["size"], facts["frames"]) == ("visible", "exact", "64x80", "10")
    assert facts["coverage"] == f"{row['coverage']:.1f} %"


def test_curves_have_a_number_a_pair_and_a_gap_between_scenes(
    world: World, other: Path, compared: Page, call: Call
) -> None:
    assert len(compared.data["frames"]) == PAIRS + 1
    evaluated = {
        row["system"]: row
        for run in (other, world.run)
        for row in results(call("evaluate", run, "--ema", "0.8", *TWO_SCENES, "--json")[0])
    }
    assert [c["key"] for c in compared.data["curves"]] == ["consistency", "flip_interior", "flip_rate"]
    assert [s["name"] for s in compared.data["systems"]] == [*SYSTEMS, "ceiling", "floor", "constant"]
    for system in compared.data["systems"]:
        for key, numbers in system["pairs"].items():
            if numbers == [] or (system["name"] == "floor" and key != "consistency"):
                assert all(number is None for number in numbers), "a reference that has no such number"
                continue
            each = evaluated[system["name"]]["per_pair"][key]
            assert numbers == [*each[: LENGTH - 1], None, *each[LENGTH - 1 :]], (system["name"], key)


def test_the_worst_moments_come_first(compared: Page) -> None:
    cards = re.findall(r'<div class="cards" data-of="(\d+)"(.*?)(?=<div class="cards"|</section>)', compared.text, re.S)
    assert [int(index) for index, _ in cards] == [0, 1, 2, 3]
    for index, text in cards:
        shown = [float(value) for value in re.findall(r"<b>([\d.]+) %</b>", text)]
        frames = [int(frame) for frame in re.findall(r'data-frame="(\d+)"', text)]
        numbers = compared.data["systems"][int(index)]["pairs"]["flip_interior"]
        known = sorted((n for n in numbers if n), reverse=True)[:8]
        assert shown == [float(f"{n:.2f}") for n in known] and shown
        assert [numbers[frame] for frame in frames] == known


def test_one_run_alone(world: World, call: Call) -> None:
    out, err = call("report", world.run, "--flow", "dis", "--protocol", "etc2020")
    assert out == "" and err.splitlines() == ["wrote report.html"]
    page = Page(Path("report.html"))
    page.holds(results(call("evaluate", world.run, "--flow", "dis", "--protocol", "etc2020", "--json")[0]))
    assert len(page.data["systems"][0]["pairs"]["consistency"]) == LENGTH - 1
    assert page.data["scatter"] is None, "there is nothing to compare"
    assert "differing" not in page.text and "Settings in which the runs differ" not in page.text


def test_checkpoints_beside_runs_on_other_data(world: World, call: Call, tmp_path: Path) -> None:
    street = {"dataset": "street", "count": 1, "length": 3, "size": [53, 61], "seed": 2}
    config = write_config(tmp_path / "other.yaml", tiny_config(data={"val": street}))
    shutil.copy(world.run / "student.safetensors", "best-0.5.safetensors")
    shutil.copy(world.run / "student.json", "best-0.5.json")
    call("report", "best-0.5.safetensors", world.run, "--data", config, "-o", "page.html")
    page = Page(Path("page.html"))
    (row, *references) = results(call("evaluate", world.run, "--data", config, "--json")[0])
    page.holds([row | {"system": "best-0.5"}, row, *references])
    assert "61" in page.text and len(page.data["frames"]) == 3
    gmacs = (5 * 5 * 3 * 8 + 8 * 9) * 14 * 16 / 1e9
    assert float(page.rows["best-0.5"]["GMACs"][0]) == pytest.approx(gmacs), "at the size of that data"


def test_runs_of_one_name_are_told_apart(world: World, other: Path, call: Call) -> None:
    for name, run in (("one", world.run), ("two", other)):
        shutil.copytree(run, Path(name) / "weight-0.1")
    checkpoint = world.run / "student.safetensors"
    call("report", "one/weight-0.1", "two/weight-0.1", checkpoint, world.run, "-o", "page.html")
    page = Page(Path("page.html"))
    assert list(page.rows)[:4] == ["weight-0.1", "weight-0.1 (2)", "run", "run (2)"]
    assert page.rows["weight-0.1"]["mIoU"] == page.rows["run"]["mIoU"] == page.rows["run (2)"]["mIoU"]
    assert page.rows["weight-0.1"]["mIoU"] != page.rows["weight-0.1 (2)"]["mIoU"]


def test_what_the_students_learned_from_is_no_student(world: World, call: Call, tmp_path: Path) -> None:
    teacher = world.run / "student.safetensors"
    taught = tiny_config(method={"name": "kd"}, teacher={"weights": str(teacher)})
    call("train", write_config(tmp_path / "kd.yaml", taught), "-o", "kd", "--no-score")
    call("report", world.run, "kd", "-o", "page.html")
    page = Page(Path("page.html"))
    assert [page.kinds[name] for name in ("run", "kd")] == ["teacher", "student"]
    assert "★" not in page.text, "one student is not the best of one"
    assert page.headings[1:4] == ["mIoU", "consistency", "flips"]
    assert page.headings[-3:] == ["Parameters", "GMACs", "Frames/s"]


def test_a_page_that_is_there_is_replaced_when_the_new_one_is_whole(
    world: World, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("page.html").write_text("old")

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("temporalkd.cli.work.report.write_whole", full)
        _, err = call("report", world.run, "-o", "page.html", code=1)
    assert err == "error: page.html: No space left on device\n"
    assert Path("page.html").read_text() == "old"
    call("report", world.run, "-o", "page.html")
    assert "<!doctype html>" in Path("page.html").read_text()


# In a browser


def of_systems(world: World, other: Path) -> list[tuple[Path, float | None]]:
    """The run and the decay of each of SYSTEMS."""
    return [(world.run, None), (other, None), (world.run, 0.8), (other, 0.8)]


def maps_of(run: Path, source: Street, decay: float | None) -> list[Tensor]:
    system = network(load_segmenter(run / "student.safetensors")[0])
    if decay is not None:
        system = averaged(system, decay)
    answers: list[FramePrediction] = [system(Frame(source, i, source.frame(i))) for i in range(len(source))]
    return [answer.map for answer in answers]


def test_each_canvas_shows_its_own_system(
    world: World, other: Path, compared: Page, open_page: Callable[[Path], Any]
) -> None:
    tab = open_page(compared.path)
    tab.settle(0)
    scenes = streets(2, 9, length=LENGTH, size=SIZE)
    maps = [[m for scene in scenes for m in maps_of(run, scene, decay)] for run, decay in of_systems(world, other)]
    palette = torch.tensor(PALETTE, dtype=torch.uint8)
    told_apart = 0
    for frame in (0, 3, LENGTH - 1, LENGTH, PAIRS):
        tab.page.fill("#scrub", str(frame))
        tab.settle(frame)
        scale = tab.pictures()[0].shape[1] // SIZE[1]
        pixels = enlarge(scenes[frame // LENGTH].frame(frame % LENGTH), scale, smooth=True)
        expected = [
            to_picture(overlay(pixels, m[frame].repeat_interleave(scale, 0).repeat_interleave(scale, 1), palette))
            for m in maps
        ]
        pictures = seen(tab, lambda pictures, e=expected: max(map(gap, pictures, e)) < 6)  # type: ignore[misc]
        for shown, picture in enumerate(pictures):
            for wrong in range(len(SYSTEMS)):
                if not torch.equal(maps[shown][frame], maps[wrong][frame]):
                    far, near = gap(picture, expected[wrong]), gap(picture, expected[shown])
                    assert near < far, (frame, shown, wrong)
                    told_apart += far > 3 * near
    assert told_apart > 20
    tab.calm()


def seen(tab: Any, fits: Callable[[list[np.ndarray]], bool]) -> list[np.ndarray]:
    """The pictures, as soon as they fit: under load they may arrive a little after the page has settled."""
    for _ in range(60):
        pictures = tab.pictures()
        assert len(pictures) == len(SYSTEMS)
        if fits(pictures):
            return pictures
        tab.page.wait_for_timeout(100)
    raise AssertionError("the canvases never show what they should")


def gap(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())
