"""Parsers, on whatever hypothesis comes up with: what is written comes back, anything else is refused in one line."""

from __future__ import annotations

import string
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from flow import read_flo, read_kitti, write_flo, write_kitti
from temporalkd.config import Config, ConfigError, dump, load
from temporalkd.config.yaml_io import parse_yaml
from temporalkd.data.image_folder import natural
from temporalkd.data.label_maps import read_map, write_map
from temporalkd.data.layout import read_list
from tests.tiny import config

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is in the extra 'dev'")
given, st = hypothesis.given, hypothesis.strategies
few = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))


def refused(read: Any, path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises((ValueError, OSError)) as caught:
        read(path)
    said = str(caught.value)
    assert path.name in said and "\n" not in said
    return said


@few
@given(data=st.data(), size=sizes)
def test_flo_gives_back_any_field(data: Any, size: tuple[int, int], tmp_path: Path) -> None:
    count = 2 * size[0] * size[1]
    values = data.draw(st.lists(st.floats(width=32), min_size=count, max_size=count))
    field = torch.tensor(values, dtype=torch.float32).reshape(2, *size)
    write_flo(tmp_path / "a.flo", field)
    assert read_flo(tmp_path / "a.flo").numpy().tobytes() == field.numpy().tobytes()


@few
@given(content=st.binary(max_size=64) | st.binary(max_size=40).map(lambda rest: b"PIEH" + rest))
def test_flo_is_what_its_header_says_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.flo"
    path.write_bytes(content)
    if len(content) >= 12 and content[:4] == b"PIEH":
        width, height = struct.unpack("<ii", content[4:12])
        if min(width, height) > 0 and len(content) == 12 + 8 * width * height:
            assert read_flo(path).shape == (2, height, width)
            return
    refused(read_flo, path)


@few
@given(size=sizes, seed=st.integers(0, 2**32 - 1))
def test_kitti_gives_back_what_it_can_hold(size: tuple[int, int], seed: int, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(seed)
    field = torch.randint(-(2**15), 2**15, (2, *size), generator=random) / 64
    valid = torch.rand(1, *size, generator=random) > 0.3
    write_kitti(tmp_path / "a.png", field, valid)
    flow, mask = read_kitti(tmp_path / "a.png")
    assert torch.equal(mask, valid) and torch.equal(flow, field * valid)


@few
@given(data=st.data(), size=sizes)
def test_class_maps_give_back_any_classes(data: Any, size: tuple[int, int], tmp_path: Path) -> None:
    count = size[0] * size[1]
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 255), min_size=count, max_size=count))).reshape(size)
    write_map(tmp_path / "a.png", labels)
    assert torch.equal(read_map(tmp_path / "a.png").long(), labels)


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(string.printable)
keys = st.sampled_from(
    ["name", "seed", "data", "train", "size", "student", "training", "lr", "steps", "weights", "flow"]
)
overrides = st.builds(lambda path, value: f"{'.'.join(path)}={value}", st.lists(keys | st.text(max_size=5)), st.text())


@few
@given(words=st.lists(overrides | st.text(max_size=20), max_size=3))
def test_overrides_give_a_config_or_one_line(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path)))
    try:
        assert isinstance(load(path, words), Config)
    except ConfigError as error:
        assert "\n" not in str(error)


@few
@given(steps=st.integers(1, 10**9), lr=st.floats(1e-9, 1e3), name=st.text(string.ascii_letters, min_size=1))
def test_overrides_win_and_what_is_shown_is_what_was_meant(steps: int, lr: float, name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(config(tmp_path)))
    loaded = load(path, [f"training.steps={steps}", f"training.lr={lr:.17e}", f"name='{name}'"])
    assert (loaded.training.steps, loaded.training.lr, loaded.name) == (steps, lr, name)
    path.write_text(dump(loaded))
    assert load(path) == loaded


@few
@given(values=st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=9))
def test_yaml_gives_back_plain_values(values: Any) -> None:
    assert parse_yaml(yaml.safe_dump(values), "text") == values


@few
@given(text=st.text() | st.text("[]{}:,&*!?|>-'\"%@ \n\tab01.~<="))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    try:
        parse_yaml(text, "text")
    except ConfigError as error:
        assert str(error).startswith("text: ") and "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2001-13-45", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_code_and_impossible_dates_are_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse_yaml(text, "text")
    assert len(str(caught.value)) < 600


names = st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), min_size=1)


@few
@given(lines=names, blank=st.sampled_from(["", "\n", " \n\t\n"]), end=st.sampled_from(["\n", "\r\n"]))
def test_lists_give_back_their_names_with_their_lines(lines: list[str], blank: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(blank + end.join(lines) + end, "utf-8", newline="")
    first = blank.count("\n") + 1
    assert read_list(path, "layout") == [(first + i, name) for i, name in enumerate(lines)]


@few
@given(content=st.binary())
def test_any_bytes_are_a_list_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(content)
    try:
        entries = read_list(path, "layout")
    except ValueError as error:
        assert "train.txt" in str(error)
        return
    assert entries and all(number >= 1 and name == name.strip() != "" for number, name in entries)


@few
@given(numbers=st.lists(st.integers(0, 10**9), unique=True), width=st.integers(0, 6))
def test_frames_are_in_the_order_of_their_numbers(numbers: list[int], width: int) -> None:
    paths = sorted((Path(f"frame_{number:0{width}d}.png") for number in numbers), key=natural)
    assert [int(path.stem[6:]) for path in paths] == sorted(numbers)
