"""Every command once, through the real entry point, and what it leaves behind."""

from __future__ import annotations

import csv
import gc
import json
import re
import runpy
import shutil
import sys
import weakref
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import pytest
import torch
import yaml
from torch import Tensor

import flow
from temporalkd.data.image_folder import FrameFolder, MapFolder, open_frames
from temporalkd.data.label_maps import read_map, write_map
from temporalkd.data.source import Source
from temporalkd.data.street import Street
from temporalkd.evaluation import FramePrediction, evaluate, folder_of_maps
from temporalkd.models import load_segmenter
from tests.cli_support import (
    LENGTH,
    ROOT,
    SIZE,
    World,
    results,
    run_main,
    tiny_config,
    write_config,
    write_frames,
)

COMMANDS = ("demo", "train", "evaluate", "consistency", "predict", "render", "config", "doctor")


pytestmark = pytest.mark.usefixtures("elsewhere")


def test_a_run_folder_holds_all_that_is_needed_to_use_and_to_repeat_it(world: World) -> None:
    run = world.run
    names = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert {n for n in names if not n.startswith("events.out")} == {
        "config.yaml",
        "environment.json",
        "resources.json",
        "log.jsonl",
        "metrics.csv",
        "evaluation.json",
        "checkpoints/last.pt",
        "checkpoints/previous.pt",
        "checkpoints/best.pt",
        "student.safetensors",
        "student.json",
    }
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == [1, 2]
    assert all(r["loss"] == pytest.approx(r["cross_entropy"]) for r in records)
    (row,) = csv.DictReader((run / "metrics.csv").open())
    stored = {r["system"]: r for r in json.loads((run / "evaluation.json").read_text())["results"]}
    assert set(stored) == {"student", "ceiling", "floor", "constant"}
    assert (row["step"], float(row["miou"])) == ("2", stored["student"]["miou"])
    assert stored["ceiling"]["miou"] == 100
    last = torch.load(run / "checkpoints/last.pt", weights_only=True)
    assert last["step"] == 2
    segmenter, spec = load_segmenter(run / "student.safetensors")
    assert (segmenter.classes, len(spec.class_names), len(spec.palette)) == (9, 9, 9)
    for name, tensor in segmenter.network.state_dict().items():
        assert torch.equal(tensor, last["trainables"]["students"][f"student.network.{name}"])
    assert json.loads((run / "environment.json").read_text())["torch"] == torch.__version__


def test_resume_goes_on_to_the_same_student(call: Any) -> None:
    """Two steps, stop, two more: the same weights as four at once."""
    training = {"steps": 4, "schedule": "constant"}
    config = write_config(Path("four.yaml"), tiny_config(training=training))
    for folder, steps in (("at-once", 4), ("halves", 2)):
        call("train", config, "-o", folder, "--set", f"training.steps={steps}")
    shutil.copy("at-once/config.yaml", "halves/config.yaml")
    call("train", config, "-o", "halves", "--resume")
    one, other = (load_segmenter(Path(f"{f}/student.safetensors"))[0].state_dict() for f in ("at-once", "halves"))
    assert all(torch.equal(one[k], other[k]) for k in one)
    steps = [json.loads(line)["step"] for line in Path("halves/log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 4]
    call("train", config, "-o", "halves", "--resume")  # at the end there is nothing left to do, and no harm done
    assert Path("halves/evaluation.json").read_text() == Path("at-once/evaluation.json").read_text()


def test_evaluate_gives_the_numbers_of_the_training(world: World, call: Any) -> None:
    out, err = call("evaluate", world.run, "--json")
    assert not re.search("error|Traceback", err)
    rows = {row["system"]: row for row in results(out)}
    stored = {r["system"]: r for r in json.loads((world.run / "evaluation.json").read_text())["results"]}
    for system, name in (("run", "student"), ("ceiling", "ceiling"), ("floor", "floor"), ("constant", "constant")):
        assert rows[system] | {"system": name} == stored[name]
    row = rows["run"]
    assert (row["protocol"], row["flow"], row["size"], row["frames"]) == ("visible", "exact", "64x80", LENGTH)
    for key in ("consistency", "flip_rate", "coverage", "miou"):
        assert 0 <= row[key] <= 100
    assert row["coverage"] > 30 and rows["ceiling"]["consistency"] > rows["floor"]["consistency"] > 1


def test_evaluate_with_other_flow_data_and_protocols(world: World, call: Any) -> None:
    out, _ = call("evaluate", world.run, "--flow", "dis", "--protocol", "visible", "--protocol", "unmasked", "--json")
    rows = [r for r in results(out) if r["system"] == "run"]
    assert [(r["protocol"], r["flow"]) for r in rows] == [("visible", "dis"), ("unmasked", "dis")]
    out, _ = call("evaluate", world.run, "--set", "data.val.length=3", "--json")
    assert results(out)[0]["frames"] == 3
    config = write_config(Path("other.yaml"), tiny_config(data={"val": {"dataset": "street", "count": 1, "length": 4}}))
    student = world.run / "student.safetensors"
    out, _ = call("evaluate", student, "--data", config, "--set", "data.val.size=[40,48]", "--json")
    assert (results(out)[0]["frames"], results(out)[0]["size"]) == (4, "40x48")


def test_evaluate_on_a_video_without_labels(world: World, call: Any) -> None:
    footage = {"dataset": "video", "path": str(world.folder / "video.mp4")}
    config = write_config(Path("video.yaml"), tiny_config(data={"val": footage}, evaluation={"flow": "dis"}))
    out, _ = call("evaluate", world.run, "--data", config, "--json")
    (row,) = results(out)
    assert row["miou"] is None and row["frames"] == LENGTH
    assert 0 < row["consistency"] <= 100
    call("train", config, "-o", "out")  # and at the end of a training
    (row,) = json.loads(Path("out/evaluation.json").read_text())["results"]
    assert row["miou"] is None and row["consistency"] > 0


def test_consistency_of_the_labels_themselves_equals_the_api(world: World, call: Any) -> None:
    arguments = ["--frames", world.frames, "--predictions", world.labels, "--labels", world.labels, "--flow", "dis"]
    out, _ = call("consistency", *arguments, "--classes", 9, "--json")
    row, ceiling, *_ = results(out)
    assert (row["system"], row["miou"], row["macc"]) == ("labels", 100, 100)
    assert ceiling == row | {"system": "ceiling"}
    source = FrameFolder(world.frames, world.labels, classes=9)
    maps = {"labels": folder_of_maps(MapFolder(world.labels, classes=9))}
    flows, cache = {"dis": flow.build("dis")}, flow.FlowCache("other-cache")
    (expected,) = evaluate([source], maps, 9, flows, references=False, cache=cache)
    assert row == json.loads(json.dumps(expected.as_dict()))
    without, _ = call("consistency", *arguments[:4], *arguments[6:], "--json")
    assert results(without)[0]["miou"] is None
    assert results(without)[0]["consistency"] is not None


def test_consistency_on_a_video(world: World, call: Any) -> None:
    arguments = ["--predictions", world.labels, "--flow", "dis", "--json"]
    out, _ = call("consistency", "--frames", world.folder / "video.mp4", *arguments)
    assert results(out)[0]["frames"] == LENGTH


def test_classes_that_only_the_labels_have_count(world: World, call: Any, tmp_path: Path) -> None:
    """A prediction of one class: every class of the labels is missed, although no number of classes is given."""
    maps = tmp_path / "maps"
    shutil.copytree(world.labels, maps)
    for path in maps.iterdir():
        write_map(path, torch.zeros(SIZE, dtype=torch.uint8))
    arguments = ["--frames", world.frames, "--predictions", maps, "--labels", world.labels, "--flow", "dis", "--json"]
    row, *_ = results(call("consistency", *arguments)[0])
    given, *_ = results(call("consistency", *arguments, "--classes", 9)[0])
    present = torch.cat([m.unique() for m in MapFolder(world.labels)]).unique()
    iou = row["per_class"]["iou"]
    assert 0 not in iou[:1] and iou[1:].count(0.0) == len(present) - 1
    assert (row["miou"], row["consistency"]) == (given["miou"], given["consistency"])


def test_replace_reads_a_value_as_another_class(world: World, call: Any, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    for stem, labels in zip(MapFolder(world.labels).stems, MapFolder(world.labels)):
        write_map(tmp_path / "maps" / f"{stem}.png", torch.where(labels == 2, 200, labels))
    same = ["--frames", world.frames, "--flow", "dis", "--classes", 9, "--json"]
    (straight,) = results(call("consistency", "--predictions", world.labels, *same)[0])
    (replaced,) = results(call("consistency", "--predictions", tmp_path / "maps", "--replace", "200:2", *same)[0])
    assert replaced | {"system": ""} == straight | {"system": ""}


@pytest.mark.parametrize("footage", ["frames", "video.mp4"])
def test_predict_writes_the_arg_max_of_every_frame(world: World, call: Any, footage: str) -> None:
    call("predict", world.run, world.folder / footage, "-o", "new/maps")
    segmenter, _ = load_segmenter(world.run / "student.safetensors")
    source = open_frames(world.folder / footage)
    stems = source.stems if isinstance(source, FrameFolder) else [f"{i:06d}" for i in range(LENGTH)]
    assert sorted(p.name for p in Path("new/maps").iterdir()) == [f"{stem}.png" for stem in stems]
    assert [p.name for p in Path("new").iterdir()] == ["maps"]
    for stem, frame in zip(stems, source.frames()):
        with torch.no_grad():
            expected = segmenter.eval()(frame[None].float() / 255).logits[0].argmax(0)
        assert torch.equal(read_map(Path(f"new/maps/{stem}.png"), classes=9).long(), expected)


def test_predict_and_consistency_equal_evaluate(world: World, call: Any) -> None:
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": str(world.frames), "labels": str(world.labels), "class_names": names}
    config = write_config(Path("folder.yaml"), tiny_config(data={"val": footage}, evaluation={"flow": "dis"}))
    row, *_ = results(call("evaluate", world.run, "--data", config, "--json")[0])
    call("predict", world.run, world.frames, "-o", "run")
    arguments = ["--predictions", "run", "--labels", world.labels, "--classes", 9, "--flow", "dis", "--json"]
    scored, *_ = results(call("consistency", "--frames", world.frames, *arguments)[0])
    assert row["warp_error"] > 0, "maps have no probabilities"
    assert scored == row | {"warp_error": None}


@pytest.mark.parametrize("footage", ["frames", "video.mp4"])
def test_render_writes_what_a_browser_plays(world: World, call: Any, footage: str) -> None:
    _, err = call(
        "render", world.run, world.labels, "--frames", world.folder / footage, "--flow", "dis", "-o", "new/flicker.mp4"
    )
    assert "wrote new/flicker.mp4" in err and [p.name for p in Path("new").iterdir()] == ["flicker.mp4"]
    with av.open("new/flicker.mp4") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.width % 2 == stream.height % 2 == 0 and stream.width >= 2 * SIZE[1]
        assert float(stream.average_rate) == (25 if footage == "frames" else 10)
        assert sum(1 for _ in container.decode(stream)) == LENGTH


def test_odd_sizes_work_everywhere(call: Any, tmp_path: Path) -> None:
    write_frames(tmp_path, size=(53, 61), length=4)
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": "frames", "labels": "labels", "class_names": names}
    config = tiny_config(data={"train": footage, "val": footage, "root": str(tmp_path)}, evaluation={"flow": "dis"})
    config["method"]["terms"] = [{"term": "motion_consistency"}]
    config["flow"] = {"kind": "dis"}
    config["student"] = {"architecture": "torchvision.lraspp_mobilenet_v3_large"}
    call("train", write_config(tmp_path / "odd.yaml", config), "-o", "run")
    row, *_ = results(call("evaluate", "run", "--json")[0])
    assert row["size"] == "53x61"
    call("predict", "run", "frames", "-o", "maps")
    assert {tuple(m.shape) for m in MapFolder(tmp_path / "maps", classes=9)} == {(53, 61)}
    arguments = ["--frames", "frames", "--predictions", "maps", "--labels", "labels", "--classes", 9, "--flow", "dis"]
    scored, *_ = results(call("consistency", *arguments, "--json")[0])
    assert scored | {"system": "run", "warp_error": row["warp_error"]} == row
    call("render", "run", "maps", "--frames", "frames", "--flow", "dis", "-o", "odd.mp4")
    with av.open("odd.mp4") as container:
        assert sum(1 for _ in container.decode(container.streams.video[0])) == 4


def test_config_check_and_show(world: World, call: Any) -> None:
    config = world.folder / "config.yaml"
    out, _ = call("config", "check", config)
    assert out == f"{config}: ok, baseline for 2 steps\n"
    shown, _ = call("config", "show", config, "--set", "training.steps=7")
    Path("shown.yaml").write_text(shown)
    again, _ = call("config", "show", "shown.yaml")
    assert again == shown
    assert yaml.safe_load(shown)["training"]["steps"] == 7
    assert (world.run / "config.yaml").read_text() == call("config", "show", config)[0]


@pytest.mark.parametrize("command", ["", *COMMANDS, "config check", "config show"])
def test_help(command: str, call: Any) -> None:
    out, _ = call(*command.split(), "--help")
    assert "Usage:" in out and len(out.splitlines()) > 5
    if not command:
        assert all(name in out for name in COMMANDS)


def test_debug_shows_a_traceback_and_only_debug(call: Any) -> None:
    _, err = call("--debug", "config", "check", "nowhere.yaml", code=2)
    assert "Traceback (most recent call last)" in err
    assert err.rstrip().splitlines()[-1].startswith("error: no config file nowhere.yaml")
    _, err = call("config", "check", "nowhere.yaml", code=2)
    assert err.startswith("error: ") and len(err.splitlines()) == 1


def test_an_unforeseen_error_is_one_line_and_says_how_to_see_more(
    world: World, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temporalkd.cli.work.predict.predict", lambda *_: {}["key"])
    _, err = call("predict", world.run, world.frames, "-o", "out", code=1)
    assert err == "error: KeyError: 'key' (temporalkd --debug COMMAND shows where)\n"


def test_a_label_that_cannot_be_used_is_found_before_the_training(world: World, call: Any, tmp_path: Path) -> None:
    for name in ("frames", "labels"):
        shutil.copytree(world.folder / name, tmp_path / name)
    whole = (tmp_path / "labels/002.png").read_bytes()
    (tmp_path / "labels/002.png").write_bytes(whole[:60])
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": "frames", "labels": "labels", "class_names": names}
    config = tiny_config(data={"val": footage, "root": str(tmp_path)}, evaluation={"flow": "dis"})
    path = write_config(tmp_path / "config.yaml", config)
    _, err = call("train", path, "-o", "out", code=1)
    assert "labels/002.png: " in err.splitlines()[-1] and not Path("out").exists()
    (tmp_path / "labels/002.png").write_bytes(whole)
    call("train", path, "-o", "out")
    assert {"student.safetensors", "student.json", "evaluation.json"} <= {p.name for p in Path("out").iterdir()}


def test_an_interrupted_training_leaves_no_ruin(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first checkpoint nothing can be resumed, so nothing stands in the way of the next attempt."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    config = write_config(Path("config.yaml"), tiny_config())
    with monkeypatch.context() as patched:
        patched.setattr("temporalkd.training.trainer.Trainer._keep", interrupt)
        assert run_main(["train", str(config), "-o", "out"]) in (1, 130)
    assert not Path("out").exists()
    call("train", config, "-o", "out")


def test_tools_run_as_scripts(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames, labels = str(world.frames), str(world.labels)
    common = ["--frames", frames, "--flow", "dis"]
    scripts = {  # in this process, as importing torch takes seconds
        "measure_tc": [*common, "--predictions", labels, "--json"],
        "render_flicker": [labels, *common, "-o", "flicker.mp4"],
        "cache_flow": [frames, "--kind", "dis", "--cache", "kept"],
    }
    for name, arguments in scripts.items():
        with patch.object(sys, "argv", [name, *arguments]), pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")
        assert not end.value.code
    assert (tmp_path / "flicker.mp4").stat().st_size > 1000
    out, err = capsys.readouterr()
    assert results(out)[0]["consistency"] > 0
    assert f"{2 * (LENGTH - 1)} fields computed, 0 found, in kept" in err
    assert len(list((tmp_path / "kept").rglob("*.flow"))) == 2 * (LENGTH - 1)


class Watched(Source):
    """A street that counts how many of its frames are alive at once."""

    name = "watched"

    def __init__(self, length: int):
        self.street = Street(seed=1, length=length, size=(16, 24), light=0, grain=0)
        self.alive: weakref.WeakSet[Frame] = weakref.WeakSet()
        self.most = 0

    def __len__(self) -> int:
        return len(self.street)

    def frame(self, index: int) -> Tensor:
        frame = self.street.frame(index).as_subclass(Frame)
        self.alive.add(frame)
        self.most = max(self.most, len(self.alive))
        return frame

    def motion(self, source: int, target: int) -> Any:
        return self.street.motion(source, target)


class Frame(Tensor):
    """A frame that a set can hold weakly: compared and hashed by identity."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return self is other


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    most = []
    gc.disable()
    try:
        for length in (16, 32):
            source = Watched(length)
            flows, cache = {"zero": flow.build("zero"), "exact": None}, flow.FlowCache(tmp_path / "kept")
            systems = {"still": lambda frame: FramePrediction(torch.zeros(frame.size, dtype=torch.uint8))}
            row, *_ = evaluate([source], systems, 2, flows, cache=cache)
            assert (row.frames, row["consistency"]) == (length, 100)
            most.append(source.most)
    finally:
        gc.enable()
    assert max(most) <= 8  # two at hand, some read ahead


def test_systems_of_every_kind_are_named_the_same_way(world: World, call: Any, tmp_path: Path) -> None:
    """A run, weights, an .onnx file, and class maps as images or video, for four commands."""
    pytest.importorskip("onnxruntime", reason="needs temporalkd[export]")
    call("export", world.run, "-o", "student.onnx")
    call("predict", world.run, world.frames, "-o", "maps")
    with av.open("maps.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "gray"
        for labels in MapFolder(Path("maps")):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(labels.numpy(), format="gray")))
        container.mux(stream.encode())
    names = [f"class {i}" for i in range(9)]
    footage = {"dataset": "folder", "images": str(world.frames), "labels": str(world.labels), "class_names": names}
    config = write_config(Path("folder.yaml"), tiny_config(data={"val": footage}, evaluation={"flow": "dis"}))
    kinds = [world.run, world.run / "student.safetensors", "graph=student.onnx", "maps", "video=maps.mkv"]
    data, frames = ["--data", config, "--json"], ["--frames", world.frames, "--flow", "dis"]
    rows = results(call("evaluate", *kinds, *data)[0])
    assert [row["system"] for row in rows[:5]] == ["run", "run (2)", "graph", "maps", "video"]
    assert len({row["consistency"] for row in rows[:5]}) == len({row["miou"] for row in rows[:5]}) == 1
    scored = results(call("consistency", *kinds, *frames, "--labels", world.labels, "--json")[0])
    assert [row["miou"] for row in scored[:5]] == [row["miou"] for row in rows[:5]]
    call("render", *kinds[1:], *frames, "-o", "all.mp4")
    call("report", *kinds, *data[:2], "-o", "page.html")
    assert all(f'data-value="{row["system"]}"' in Path("page.html").read_text() for row in rows[:5])
