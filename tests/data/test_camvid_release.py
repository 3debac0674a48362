"""From CamVid's own release, tiny and generated, to the layout that `camvid` reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer import BadParameter

from temporalkd.data.camvid import CLASSES, CamVid
from temporalkd.data.camvid_neighbours import add_neighbours, find_videos
from temporalkd.data.camvid_release import COLOURS, GROUPS, convert, convert_label, segnet_split, splits_of, stills_of
from temporalkd.data.clip import collate
from temporalkd.data.images import ImageFiles
from temporalkd.data.motion import MovedStill
from temporalkd.data.palettes import palette
from temporalkd.data.sampler import ClipSampler
from tests.fake_data import SIZE, drive, fake_camvid_release, opened, stripes
from tools.prepare_camvid import prepare_camvid

OFF = {"0001TP": -8500, "0006R0": -1, "Seq05VD": 4}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return fake_camvid_release(tmp_path / "release", OFF)


def prepared(release: Path, root: Path, size: tuple[int, int] | None = None) -> dict[str, str]:
    splits = splits_of(list(stills_of(release)))
    convert(release, root, splits, size)
    return splits


def test_the_table_has_32_colours_and_groups_them_all() -> None:
    assert len(COLOURS) == len(set(COLOURS.values())) == 32
    members = [name for group in GROUPS.values() for name in group]
    assert sorted(members) == sorted(COLOURS.keys() - {"Void"}) and len(members) == 31
    assert tuple(GROUPS) == CLASSES == palette("camvid").names
    for name, colour in zip(CLASSES, palette("camvid").colours):
        assert colour == COLOURS[{"Pole": "Column_Pole", "Sign": "SignSymbol"}.get(name, name)]


def test_the_tutorials_splits() -> None:
    numbers = {"0001TP_{:06d}": range(6690, 10381, 30), "0006R0_f{:05d}": range(930, 3931, 30)}
    numbers |= {"Seq05VD_f{:05d}": range(0, 5101, 30), "0016E5_{:05d}": range(7959, 8160, 2)}
    stems = [name.format(number) for name, them in numbers.items() for number in them]
    counts = [sum(segnet_split(stem) == split for stem in stems) for split in ("train", "val", "test")]
    assert counts == [367 - 204, 101, 233]
    assert segnet_split("0001TP_008520") == "train" and segnet_split("0001TP_008550") == "test"
    assert {segnet_split(f"0016E5_{n:05d}") for n in (390, 7920, 8190, 8640)} == {"train"}
    with pytest.raises(ValueError, match=r"0002XY_000001: expected the name of a still of CamVid"):
        segnet_split("0002XY_000001")


@pytest.mark.real
def test_the_splits_are_those_of_the_real_copy(data_root: Path) -> None:
    place = data_root / "data" / "camvid"
    if not place.is_dir():
        pytest.skip(f"no {place}")
    stems = {split: [p.stem for p in (place / split).glob("*.png")] for split in ("train", "val")}
    assert [len(s) for s in stems.values()] == [367, 101]
    assert all(segnet_split(stem) == split for split, them in stems.items() for stem in them)


def test_labels_come_out_by_the_table(release: Path, tmp_path: Path) -> None:
    prepared(release, tmp_path / "out")
    train = opened(CamVid, tmp_path / "out", "train", synthetic_motion=False).sources[0]
    stored = np.asarray(Image.open(sorted((tmp_path / "out" / "trainannot").iterdir())[0]))
    names = np.array(list(COLOURS))[stripes(32, SIZE, 5)]
    group = {member: CLASSES.index(name) for name, members in GROUPS.items() for member in members}
    wanted = np.vectorize(lambda name: group.get(name, 11))(names)
    assert np.array_equal(stored, wanted) and set(np.unique(stored)) == set(range(12))
    label = train.label(0)
    assert label is not None and np.array_equal(label.numpy(), np.where(wanted == 11, 255, wanted))


def test_half_size(release: Path, tmp_path: Path) -> None:
    prepared(release, tmp_path / "half", (24, 32))
    source = opened(CamVid, tmp_path / "half", "train", synthetic_motion=False).sources[0]
    original = np.asarray(Image.open(sorted((release / "701_StillsRaw_full").iterdir())[0])).astype(float)
    mean = original.reshape(24, 2, 32, 2, 3).mean((1, 3))
    assert abs(source.frame(0).permute(1, 2, 0).numpy() - mean).max() <= 0.5
    label = source.label(0)
    assert label is not None and label.shape == (24, 32)


def test_what_is_there_is_kept(release: Path, tmp_path: Path) -> None:
    splits = prepared(release, tmp_path / "out")
    victim = sorted((tmp_path / "out" / "testannot").iterdir())[0]
    victim.unlink()
    assert convert(release, tmp_path / "out", splits) == 1 and victim.is_file()
    assert convert(release, tmp_path / "out", splits) == 0
    assert convert(release, tmp_path / "out", splits, (24, 32)) == len(splits)


def test_a_still_in_two_splits_is_refused(release: Path, tmp_path: Path) -> None:
    splits = prepared(release, tmp_path / "out")
    stem = next(stem for stem, split in splits.items() if split == "train")
    with pytest.raises(ValueError, match=rf"train/{stem}.png: by the splits chosen it belongs to test"):
        convert(release, tmp_path / "out", {**splits, stem: "test"})


def test_splits_of_lists_and_of_another_copy(release: Path, tmp_path: Path) -> None:
    stems = list(stills_of(release))
    for split, line in zip(("train", "val", "test"), (stems[0], f"/x/val/{stems[1]}.png /x/{stems[1]}.png", stems[2])):
        (tmp_path / f"{split}.txt").write_text(line + "\n")
    by_lists = splits_of(stems, lists=tmp_path)
    assert by_lists == {stems[0]: "train", stems[1]: "val", stems[2]: "test"}
    convert(release, tmp_path / "copy", by_lists)
    assert splits_of(stems, like=tmp_path / "copy") == by_lists
    with pytest.raises(FileNotFoundError, match=rf"val.txt, line 1: '{stems[1]}', but the release has no still"):
        splits_of([stems[0], stems[2]], lists=tmp_path)


def test_an_unknown_colour_is_named(release: Path) -> None:
    path = next((release / "LabeledApproved_full").iterdir())
    array = np.asarray(Image.open(path)).copy()
    array[2, 3] = (1, 2, 3)
    Image.fromarray(array).save(path)
    with pytest.raises(ValueError, match=rf"{path.name}: colour #010203 \(1, 2, 3\) at row 2, column 3 "):
        convert_label(path)


def test_a_release_without_its_folders(release: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"701_StillsRaw_full: no such folder; CamVid's release has"):
        stills_of(tmp_path)
    label = sorted((release / "LabeledApproved_full").iterdir())[0]
    label.unlink()
    with pytest.raises(FileNotFoundError, match=rf"a still without its label, expected .*{label.name}"):
        stills_of(release)


def test_videos_are_found_by_their_names(release: Path) -> None:
    assert {sequence: path.name for sequence, path in find_videos(release / "videos").items()} == {
        "0001TP": "01TP_extract.avi", "0006R0": "0006R0.MXF", "Seq05VD": "0005VD.MXF",
    }  # fmt: skip
    (release / "videos" / "01TP.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"01TP.mp4 and 01TP_extract.avi are both of 0001TP"):
        find_videos(release / "videos")
    with pytest.raises(FileNotFoundError, match=r"701_StillsRaw_full: no video in it, expected CamVid's videos"):
        find_videos(release / "701_StillsRaw_full")


def test_offsets_are_found_and_neighbours_cut_out(release: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    splits = prepared(release, root)
    found = add_neighbours(release, root, splits, find_videos(release / "videos"), around=3)
    assert {alignment.sequence: alignment.offset for alignment in found} == OFF
    for alignment in found:
        assert not alignment.missing and len(alignment.frames) == 5
        assert max(error for _, error in alignment.frames.values()) < 0.005
        assert f"off by {alignment.offset:+d} frames, 5 of 5 stills found" in str(alignment)
    sources = opened(CamVid, root, "train").sources
    assert all(isinstance(source, ImageFiles) and len(source) == 7 for source in sources)
    for source in sources:
        assert source.labelled == [3] and source.fps == 30 and source.motion(3, 4) is None
        assert torch.equal(source.frame(3), ImageFiles("", [root / "train" / f"{source.name}.png"]).frame(0))
    second = next(source for source in sources if source.name == "0006R0_f00018")
    video = drive(60, SIZE, 1).astype(float)
    nearest = [abs(video - frame.permute(1, 2, 0).numpy()).mean((1, 2, 3)).argmin() for frame in second.frames()]
    assert nearest == [14, 15, 16, 17, 18, 19, 20], "the second still of the second video is its frame 17"
    assert ClipSampler(sources, 3)[0].labelled.tolist() == [[False, True, False]]
    assert all(
        isinstance(source, MovedStill) for source in opened(CamVid, root, "train", synthetic_motion=True).sources
    )


def test_stills_that_match_nothing_keep_synthetic_motion(release: Path, tmp_path: Path) -> None:
    stem = "0006R0_f00030"
    path = release / "701_StillsRaw_full" / f"{stem}.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (*SIZE, 3)).astype(np.uint8)).save(path)
    root = tmp_path / "out"
    splits = prepared(release, root)
    (alignment,) = add_neighbours(release, root, splits, {"0006R0": release / "videos" / "0006R0.MXF"})
    assert alignment.missing == [stem] and f"with synthetic motion: {stem}" in str(alignment)
    mixed = opened(CamVid, root, "train").sources
    assert {type(source) for source in mixed} == {ImageFiles, MovedStill}
    clips = ClipSampler(mixed, 2)
    assert collate([clips[i] for i in range(len(clips))]).flow is None, "clips of one batch carry motion, or none does"
    other = {"0006R0": release / "videos" / "0005VD.MXF"}
    (nothing,) = add_neighbours(release, root, splits, other)
    assert nothing.offset is None and "none of 5 stills is in 0005VD.MXF" in str(nothing)
    stills = opened(CamVid, root, "train").sources
    assert all(isinstance(source, MovedStill) and source.motion(3, 4) is not None for source in stills)


def test_the_tool(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare_camvid(release, tmp_path / "out", "32x24", release / "videos")
    out = capsys.readouterr().out
    assert "9 train, 0 val, 6 test; 15 written" in out
    assert "0001TP: 01TP_extract.avi is off by -8500 frames, 5 of 5 stills found" in out
    source = opened(CamVid, tmp_path / "out", "train").sources[0]
    assert isinstance(source, ImageFiles) and source.frame(0).shape == (3, 24, 32)
    with pytest.raises(BadParameter, match="WIDTHxHEIGHT like 480x360, got '32'"):
        prepare_camvid(release, tmp_path / "out", "32")
