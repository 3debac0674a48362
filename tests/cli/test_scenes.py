"""Several scenes in one command: videos and folders, class maps of each by its name, in tables, pages and films."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from temporalkd.data.image_folder import MapFolder
from temporalkd.data.label_maps import write_map
from temporalkd.data.scenes import open_maps, scene_names
from temporalkd.data.street import Street
from temporalkd.data.video import VideoFile
from temporalkd.visualization import VideoWriter
from tests.cli_support import SIZE, World, results

Call = Callable[..., tuple[str, str]]
LENGTHS = {"junction": 3, "avenue": 4}
FLOW = ["--flow", "dis"]


@pytest.fixture
def streets(tmp_path: Path) -> Path:
    """Two scenes: frames/NAME, labels/NAME and maps/NAME as folders, videos/NAME.mp4, and flicker/NAME, wrong maps."""
    (tmp_path / "videos").mkdir()
    for number, (name, length) in enumerate(LENGTHS.items()):
        street = Street(seed=number, length=length, size=SIZE)
        for folder in ("frames", "labels", "flicker"):
            (tmp_path / folder / name).mkdir(parents=True)
        with VideoWriter(tmp_path / "videos" / f"{name}.mp4", fps=10) as writer:
            for index, frame in enumerate(street.frames()):
                writer.write(frame)
                label = street.label(index)
                assert label is not None
                Image.fromarray(frame.permute(1, 2, 0).numpy()).save(tmp_path / "frames" / name / f"{index}.png")
                write_map(tmp_path / "labels" / name / f"{index}.png", label)
                wrong = (label + index) % 9 if name == "avenue" else label
                write_map(tmp_path / "flicker" / name / f"{index}.png", wrong)
    return tmp_path


def write_graph(path: Path) -> None:
    """Nine classes by a convolution of one pixel, of frames of any size."""
    onnx = pytest.importorskip("onnx", reason="needs temporalkd[export]")
    pytest.importorskip("onnxruntime", reason="needs temporalkd[export]")
    sizes = [(name, [1, channels, "height", "width"]) for name, channels in (("frames", 3), ("logits", 9))]
    frames, logits = (onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in sizes)
    weight = onnx.numpy_helper.from_array(torch.randn(9, 3, 1, 1).numpy(), "weight")
    node = onnx.helper.make_node("Conv", ["frames", "weight"], ["logits"])
    graph = onnx.helper.make_graph([node], "graph", [frames], [logits], [weight])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.mark.parametrize("several", ["a folder of scenes", "each scene named"])
def test_maps_of_scenes_are_scored_with_labels(streets: Path, call: Call, several: str) -> None:
    frames = ["--frames", streets / "frames"]
    if several == "each scene named":
        frames = [word for name in LENGTHS for word in ("--frames", streets / "frames" / name)]
    maps = [streets / "labels", streets / "flicker"]
    out, _ = call("consistency", *maps, *frames, "--labels", streets / "labels", *FLOW, "--json")
    right, flicker, *_ = results(out)
    assert right["frames"] == sum(LENGTHS.values()) and right["miou"] == 100 > flicker["miou"]
    assert set(flicker["per_scene"]) == set(LENGTHS)
    for name in LENGTHS:
        one = ["--frames", streets / "frames" / name, "--labels", streets / "labels" / name]
        (alone, *_) = results(call("consistency", streets / "flicker", *one, "--classes", 9, *FLOW, "--json")[0])
        for key, value in flicker["per_scene"][name].items():
            assert value == alone[key], "a scene's numbers are those of scoring it alone"
    assert flicker["per_scene"]["avenue"]["flip_rate"] > 90 > flicker["per_scene"]["junction"]["flip_rate"]


def test_the_table_names_the_scenes_least_consistent_first(streets: Path, call: Call) -> None:
    out, _ = call("consistency", streets / "flicker", "--frames", streets / "videos", *FLOW)
    assert "By scene" in out and 0 < out.index("avenue") < out.index("junction")
    out, _ = call("consistency", streets / "flicker", "--frames", streets / "videos" / "avenue.mp4", *FLOW)
    assert "By scene" not in out


def test_a_network_predicts_several_videos_into_folders_that_are_scored(
    world: World, streets: Path, call: Call
) -> None:
    videos = [streets / "videos" / f"{name}.mp4" for name in LENGTHS]
    _, err = call("predict", world.run, *videos, "-o", "maps")
    assert "wrote 7 class maps" in err
    assert {str(p.relative_to("maps")) for p in Path("maps").rglob("*.png")} == {
        f"{name}/{index:06d}.png" for name, length in LENGTHS.items() for index in range(length)
    }
    frames = [word for video in videos for word in ("--frames", video)]
    by_maps, by_network = results(call("consistency", "maps", world.run, *frames, *FLOW, "--json")[0])
    for key in ("consistency", "flip_rate", "per_scene"):
        assert by_maps[key] == by_network[key]


def test_evaluate_takes_runs_graphs_and_maps_of_scenes_at_once(world: World, streets: Path, call: Call) -> None:
    write_graph(Path("student.onnx"))
    folder = {"dataset": "folder", "images": str(streets / "frames"), "labels": str(streets / "labels")}
    names = [f"class {number}" for number in range(9)]
    config = ["--set", f"data.val={folder | {'class_names': names}}", "--set", "evaluation.flow=dis"]
    systems = [world.run, "graph=student.onnx", f"maps={streets / 'flicker'}"]
    out, err = call("evaluate", *systems, *config, "--ema", "0.8", "--json")
    rows = {row["system"]: row for row in results(out)}
    assert list(rows)[:5] == ["run", "graph", "maps", "run EMA 0.8", "graph EMA 0.8"]
    assert "no moving average of maps" in err
    for name in ("run", "graph"):
        assert None is not rows[f"{name} EMA 0.8"]["warp_error"] != rows[name]["warp_error"] is not None
    assert rows["maps"]["warp_error"] is None


def test_a_page_and_a_film_of_each_scene(world: World, streets: Path, call: Call) -> None:
    pytest.importorskip("jinja2", reason="needs temporalkd[report]")
    call("report", world.run, streets / "flicker", "--frames", streets / "videos", *FLOW, "-o", "page.html")
    page = Path("page.html").read_text()
    assert '<h2 id="h-scenes">Scenes</h2>' in page and page.count('<th scope="row">junction</th>') == 1
    assert '"frames": ["avenue, frame 0"' in page and '"junction, frame 2"]' in page
    _, err = call("render", world.run, streets / "flicker", "--frames", streets / "videos", *FLOW, "-o", "film.mp4")
    assert "film-avenue.mp4" in err and not Path("film.mp4").exists()
    assert {name: len(VideoFile(Path(f"film-{name}.mp4"))) for name in LENGTHS} == LENGTHS


def test_videos_of_class_maps_by_scene(streets: Path, call: Call) -> None:
    import av

    (streets / "filmed").mkdir()
    for name in LENGTHS:
        with av.open(str(streets / "filmed" / f"{name}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.height, stream.width, stream.pix_fmt = *SIZE, "gray"
            for labels in MapFolder(streets / "flicker" / name):
                for packet in stream.encode(av.VideoFrame.from_ndarray(labels.numpy(), format="gray")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    assert list(open_maps(streets / "filmed")) == ["avenue", "junction"]
    systems = [streets / "filmed", streets / "flicker"]
    filmed, folders = results(call("consistency", *systems, "--frames", streets / "frames", *FLOW, "--json")[0])
    assert filmed | {"system": ""} == folders | {"system": ""}


def test_a_scene_without_maps_is_named(streets: Path, call: Call) -> None:
    (streets / "flicker" / "avenue").rename(streets / "flicker" / "Avenue2")
    _, err = call("consistency", streets / "flicker", "--frames", streets / "frames", *FLOW, code=1)
    assert "no class maps of scene 'avenue'" in err and "Avenue2" in err
    maps = streets / "flicker" / "junction"
    _, err = call("consistency", maps, "--frames", streets / "frames", *FLOW, code=1)
    assert str(maps) in err and "folder of its name" in err


def test_scenes_of_one_name_take_that_of_the_folder_around_them(tmp_path: Path) -> None:
    sources = []
    for place in ("left", "right"):
        (tmp_path / place).mkdir()
        with VideoWriter(tmp_path / place / "cam.mp4", fps=10) as writer:
            writer.write(torch.from_numpy(np.zeros((3, 32, 32), np.uint8)))
        sources.append(VideoFile(tmp_path / place / "cam.mp4"))
    assert scene_names(sources) == ["left/cam", "right/cam"]
    assert scene_names([sources[0], sources[0]]) == ["left/cam (1)", "left/cam (2)"]
