"""`temporalkd render`: up to four systems of any kind, any range, and never half a video."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from temporalkd.cli.work import render as command
from temporalkd.cli.work import systems as opened
from temporalkd.data.image_folder import MapFolder
from temporalkd.data.label_maps import write_map
from temporalkd.data.video import VideoFile
from tests.cli_support import LENGTH, SIZE, World, isolated, run_main, write_frames

HEIGHT, WIDTH = SIZE
Call = Callable[..., str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path) -> Iterator[None]:
    with isolated(tmp_path / "cache", tmp_path):
        yield


@pytest.fixture
def call(world: World, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `render` into out.mp4, with the given exit code; its stderr."""

    def run(*arguments: object, frames: Path = world.frames, code: int = 0) -> str:
        capsys.readouterr()
        words = ["render", "--frames", frames, "--flow", "zero", "-o", "out.mp4", *arguments]
        got = run_main([str(word) for word in words])
        err = capsys.readouterr().err
        assert got == code, err
        return err

    return run


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command hands to the renderer, maps read to their end, in place of a video."""
    seen: dict[str, Any] = {}

    def spy(frames: Any, systems: Any, out: Path, **rest: Any) -> int:
        seen.update(rest, frames=list(frames), systems={name: list(maps) for name, maps in systems.items()})
        return len(seen["frames"])

    monkeypatch.setattr(command, "render_flicker", spy)
    return seen


def written() -> list[torch.Tensor]:
    assert sorted(p.name for p in Path().glob("*mp4*")) == ["out.mp4"]
    assert not list(Path().glob(".*partial"))
    return list(VideoFile(Path("out.mp4")).frames())


def test_four_panels_of_every_kind(world: World, call: Call) -> None:
    call(world.run, world.labels, world.run / "student.safetensors", world.run)
    frames = written()
    assert len(frames) == LENGTH
    four = frames[0].shape
    call(world.run, world.labels)
    two = written()[0].shape
    call(world.labels)
    one = written()[0].shape
    assert four[2] > 1.9 * two[2] > 3.6 * one[2] > 3.6 * 390


def test_panels_of_the_same_name_are_all_there(world: World, call: Call, shown: dict[str, Any]) -> None:
    call(world.run, world.run, world.run / "student.safetensors", world.labels)
    assert list(shown["systems"]) == ["run", "run (2)", "run (3)", "labels"]
    assert len(shown["classes"]) == len(shown["palette"]) == 9
    call(f"a={world.run}", *[f"{name}={world.labels}" for name in ("b", "a", "a (2)")])
    assert list(shown["systems"]) == ["a", "b", "a (2)", "a (2) (2)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["B", *["C"] * 3], "5 systems, of which 4 fit"),
        (["--scale", "0"], "--scale 0, expected a number more than 0"),
        (["--scale", "-2"], "--scale -2, expected"),
        (["--scale", "nan"], "--scale nan, expected"),
        (["--scale", "big"], "--scale"),
        (["--void", "-1"], "--void"),
    ],
)
def test_wrong_usage(world: World, call: Call, arguments: list[str], message: str) -> None:
    assert message in " ".join(call(world.labels, *arguments, code=2).replace("│", " ").split())
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize("footage", ["frames", "video.mp4"])
@pytest.mark.parametrize(("span", "start", "stop"), [("1:4", 1, 4), ("4:", 4, 5)])
def test_range(world: World, call: Call, shown: dict[str, Any], footage: str, span: str, start: int, stop: int) -> None:
    call(world.labels, world.run, "--range", span, frames=world.folder / footage)
    assert (len(shown["frames"]), shown["first"]) == (stop - start, start)
    labels = list(MapFolder(world.labels))[start:stop]
    assert all(torch.equal(a, b) for a, b in zip(shown["systems"]["labels"], labels, strict=True))
    assert len(shown["systems"]["run"]) == stop - start


def test_what_is_outside_the_range_is_neither_read_nor_run(
    world: World, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path)
    (tmp_path / "frames/000.png").write_bytes(b"broken")
    (tmp_path / "labels/000.png").write_bytes(b"broken")
    (tmp_path / "labels/004.png").unlink()
    ran = []
    real = opened.class_maps
    monkeypatch.setattr(opened, "class_maps", lambda *a: (ran.append(1) or m for m in real(*a)))
    systems = [world.run, tmp_path / "labels"]
    call(*systems, "--range", "1:4", frames=tmp_path / "frames")
    assert (len(written()), len(ran)) == (3, 3)
    err = call(*systems, "--range", "1:5", frames=tmp_path / "frames", code=1)
    assert "'004'" in err and "frames without a map" in err
    (tmp_path / "labels/003.png").rename(tmp_path / "labels/003x.png")
    err = call(*systems, "--range", "1:3", frames=tmp_path / "frames", code=1)
    assert "maps without a frame" in err and "'003x'" in err


def test_void_is_the_bare_frame_and_never_flips(
    world: World, call: Call, shown: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "maps").mkdir()
    for index in range(LENGTH):
        values = np.full(SIZE, 11)
        values[:9], values[-9:] = index % 2, 255
        write_map(tmp_path / "maps" / f"{index:03d}.png", torch.from_numpy(values))
    assert "value 11" in call(tmp_path / "maps", world.run, code=1)
    call(tmp_path / "maps", world.run, "--void", 11)
    for index, map_ in enumerate(shown["systems"]["maps"]):
        assert (map_[:9] == index % 2).all() and (map_[9:] == 255).all()


def test_scale_fps_and_a_single_frame(world: World, call: Call) -> None:
    call(world.labels, "--scale", 2.5, "--fps", 7)
    assert (written()[0].shape[2], VideoFile(Path("out.mp4")).fps) == (200, 7)
    call(world.labels, "--scale", 0.5)
    assert written()[0].shape[2] == WIDTH // 2
    call(world.run, frames=world.folder / "one.mp4")
    assert len(written()) == 1


@pytest.mark.parametrize("change", ["order", "number"])
def test_networks_of_other_classes_are_refused(world: World, call: Call, change: str) -> None:
    card = json.loads((world.run / "student.json").read_text())
    tensors = load_file(world.run / "student.safetensors")
    if change == "order":
        card["class_names"] = card["class_names"][::-1]
    else:
        card |= {"class_names": [], "palette": [], "classes": 4, "sha256": None}
        tensors = {name: t[:4].clone() if "head" in name else t for name, t in tensors.items()}
    Path("x.json").write_text(json.dumps(card))
    save_file(tensors, "x.safetensors")
    err = call(world.run, "x.safetensors", code=1)
    expected = {"order": "x.safetensors has other classes than", "number": "x.safetensors has 4 classes, "}
    assert expected[change] in err and len(err.splitlines()) == 1


def test_the_footage_is_not_written_over(world: World, call: Call) -> None:
    footage = (world.folder / "video.mp4").read_bytes()
    Path("out.mp4").write_bytes(footage)
    err = call(world.run, frames=Path("out.mp4"), code=1)
    assert "out.mp4 is the footage itself" in err
    assert Path("out.mp4").read_bytes() == footage


def left() -> list[str]:
    """What lies in the working folder, but for kept flow."""
    return sorted(p.name for p in Path().iterdir() if p.name != "cache")


@pytest.mark.parametrize(
    ("footage", "what"), [("frames", "81x64, expected 80x64"), ("video.mp4", "81x64"), ("frames", "one line")]
)
def test_a_map_that_fails_halfway_leaves_what_was_there(
    world: World, call: Call, tmp_path: Path, footage: str, what: str
) -> None:
    write_frames(tmp_path)
    path = tmp_path / "labels/003.png"
    if what == "one line":
        path.write_bytes(path.read_bytes()[:60])
    else:
        Image.fromarray(np.zeros((HEIGHT, WIDTH + 1), np.uint8)).save(path)
    Path("out.mp4").write_bytes(b"the old one")
    before = left()
    err = call(world.run, tmp_path / "labels", frames=world.folder / footage, code=1)
    assert len(err.splitlines()) == 1 and "labels/003.png" in err
    assert what in err or what == "one line"
    assert Path("out.mp4").read_bytes() == b"the old one"
    assert left() == before
