"""What is read takes no memory or time that its size does not say, and spoils no result."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from flow.files import read_flo, read_kitti
from temporalkd.data.images import image_size, read_image
from temporalkd.data.maps import read_map
from temporalkd.models.weights import read_spec
from temporalkd.records import read_json, read_lines
from tests.cli_support import World, tiny_config, write_config


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"normalisation": {"std": [0, 1, 1]}}, r"std \(0, 1, 1\): expected finite numbers, std more than 0"),
        ({"normalisation": {"mean": [float("nan"), 1, 1]}}, "expected finite numbers"),
        ({"normalisation": {"mean": ["a", 1, 1]}}, "must be real number, not str"),
        ({"normalisation": {"divisor": 0}}, "divisor is 0, expected 1 to 1024"),
        ({"normalisation": {"divisor": 10**6}}, "divisor is 1000000, expected 1 to 1024"),
        ({"roles": {"native": "head", "low": [5]}}, "'5' is not a name"),
        ({"roles": {"native": "head", "head": None}}, "TypeError"),
        ({"class_names": [1, 2, 3]}, "'1' is not a name"),
        ({"class_names": ["x" * 10**5]}, "is not a name of up to 200 characters"),
        ({"palette": [[0, 0, 999]]}, r"palette: \[0, 0, 999\] is not a colour"),
        ({"palette": ["abc"]}, "palette: abc is not a colour"),
        ({"junk": "x" * 2**24}, "larger than the limit of 16777216 bytes"),
    ],
)
def test_no_card_spoils_or_hangs_what_is_made_with_it(
    changed: dict[str, Any], says: str, world: World, tmp_path: Path
) -> None:
    card = json.loads((world.run / "student.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(card | changed))
    with pytest.raises(ValueError, match=rf"(?s)a\.json does not describe a network: .*{says}"):
        read_spec(tmp_path / "a.json")


@pytest.mark.parametrize("read", [read_image, read_map])
def test_a_picture_of_a_thousand_scans_is_refused(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("L", (64, 64), 128).save(path, progressive=True)
    assert read_image(path).shape == (3, 64, 64)
    content = path.read_bytes()
    last = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + 1000 * last + content[-2:])
    with pytest.raises(ValueError, match=r"a\.jpg: refused, 10\d\d scans are more than the limit of 100"):
        read(path)


def test_what_follows_a_photo_is_not_counted(tmp_path: Path) -> None:
    """The film of a moving photo, say; and a small picture within it, which cameras write."""
    path = tmp_path / "a.jpg"
    Image.new("L", (64, 64), 128).save(path, progressive=True)
    content = path.read_bytes()
    small = b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content
    path.write_bytes(content[:2] + small + content[2:] + 1000 * b"\xff\xda")
    assert read_image(path).shape == (3, 64, 64)
    last = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:2] + small + content[2:-2] + 1000 * last + content[-2:])
    with pytest.raises(ValueError, match=r"10\d\d scans are more than the limit"):
        read_image(path)


def test_gigapixels_are_refused_by_their_header(tmp_path: Path) -> None:
    header = struct.pack(">II5B", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b"")]
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    )
    for read in (read_image, read_map, image_size):
        with pytest.raises(ValueError, match=r"bomb\.png: refused, .*limit of 134217728 pixels"):
            read(path)


@pytest.mark.parametrize("read", [read_image, read_map, image_size, read_flo, read_kitti, read_json, read_lines])
def test_a_file_with_a_hole_is_not_read_as_a_whole(read: Any, tmp_path: Path) -> None:
    """40 GiB of nothing, which take no room on the disk."""
    path = tmp_path / "a.png"
    head = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(struct.pack("<fii", 202021.25, 70_000, 70_000) if read is read_flo else head)
    os.truncate(path, 12 + 8 * 70_000**2 if read is read_flo else 40 * 2**30)
    with pytest.raises(ValueError, match=r"a\.png: refused, .* the limit of"):
        read(path)


def test_what_merges_to_more_than_the_limit_is_not_merged(call: Any) -> None:
    layers = [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 20)]
    Path("a.yaml").write_text("\n".join(["a0: &a0 {x: 1, y: 2}", *layers]))
    _, err = call("config", "check", "a.yaml", code=2)
    assert "a.yaml: refused, more values than the limit of 20000" in err


STREET = {"dataset": "street", "count": 1, "length": 5, "size": [64, 80]}


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"data": {"train": {**STREET, "count": 10**9}}}, "data.train.count"),
        ({"data": {"train": {**STREET, "length": 10**12}}}, "data.train.length"),
        ({"data": {"train": {**STREET, "size": [200_000, 200_000]}}}, "data.train.size"),
        ({"data": {"crop": [200_000, 200_000]}}, "data.crop"),
        ({"data": {"scale": [1, 1000]}}, "data.scale"),
        ({"data": {"gaps": [1, 10**15]}}, "data.gaps"),
        ({"data": {"semi": {"margin": 30_000}}}, "data.semi.margin"),
        ({"student": {"normalisation": {"divisor": 10**6}}}, "student.normalisation.divisor"),
        ({"training": {"workers": 10**6}}, "training.workers"),
        ({"training": {"devices": 10**6}}, "training.devices"),
        ({"flow": {"cache_gigabytes": float("inf")}}, "flow.cache_gigabytes"),
        ({"method": {"name": "selfcorrecting", "students": 10**6}}, "method.students"),
        ({"seed": 10**30}, "seed"),
    ],
)
def test_numbers_that_would_take_the_machine_are_refused(section: dict[str, Any], key: str, call: Any) -> None:
    config = write_config(Path("a.yaml"), tiny_config(**section))
    _, err = call("config", "check", config, code=2)
    assert f"a.yaml: {key}" in err and any(words in err for words in ("at most", "less than", "finite")), err


def test_a_quoted_megabyte_is_cut(world: World, call: Any, tmp_path: Path) -> None:
    card = json.loads((world.run / "student.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(card | {"architecture": "x" * 2**20}))
    (tmp_path / "a.safetensors").write_bytes((world.run / "student.safetensors").read_bytes())
    _, err = call("predict", tmp_path / "a.safetensors", world.frames, "-o", "maps", code=1)
    assert len(err) < 5000 and "unknown architecture 'xxx" in err


@pytest.mark.parametrize("shape", [[1, 300, 8, 8], [1, 3, 2, 2], [2, 3, 8, 8], [1, 0, 8, 8]])
def test_a_graph_whose_answer_is_not_the_frames_is_refused(shape: list[int], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is in the extra 'export'")
    session = pytest.importorskip("temporalkd.export.session", reason="onnx is in the extra 'export'")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    frames = helper.make_tensor_value_info("frames", kind, [1, 3, "height", "width"])
    logits = helper.make_tensor_value_info("logits", kind, shape)
    given = [
        helper.make_tensor("zero", kind, [1], [0.0]),
        helper.make_tensor("shape", onnx.TensorProto.INT64, [4], shape),
    ]
    graph = helper.make_graph(
        [helper.make_node("Expand", ["zero", "shape"], ["logits"])], "s", [frames], [logits], given
    )
    (tmp_path / "a.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )
    with pytest.raises(ValueError, match=r"a\.onnx gives \(.*\) of a frame of 8x8, expected 1 to 256 classes"):
        session.OnnxStudent(tmp_path / "a.onnx")(torch.zeros(3, 8, 8, dtype=torch.uint8))
