"""environment.json: what a run was made with, and on which data."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from temporalkd.data.footage import move_stills
from temporalkd.data.image_folder import FrameFolder
from temporalkd.data.street import Street
from temporalkd.data.video import VideoFile
from temporalkd.experiments import provenance
from temporalkd.experiments.provenance import fingerprint
from tests.cli_support import World


def test_the_environment_says_what_a_run_was_made_with(world: World) -> None:
    found = json.loads((world.run / "environment.json").read_text())
    assert found["torch"] == torch.__version__ and found["seed"] == 0
    assert len(found["data_train"]) == len(found["data_val"]) == 16 and found["data_train"] != found["data_val"]
    assert {"torchvision", "numpy", "pillow", "av", "processor", "cpus", "threads", "git", "dirty"} <= found.keys()
    assert found["deterministic"] is False


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A file of a repository, committed."""
    file = tmp_path / "code.py"
    file.write_text("1\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "code.py"), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)
    yield file


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_state_of_the_code_is_told(checkout: Path) -> None:
    clean = provenance._git(checkout)
    assert len(clean["git"]) == 40 and clean["dirty"] is False
    checkout.write_text("2\n")
    assert provenance._git(checkout) == clean | {"dirty": True}
    other = checkout.with_name("installed.py")
    other.write_text("")
    assert provenance._git(other) == {"git": None, "dirty": None}


def test_without_git_a_run_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.environment(3)["git"] is None


def test_the_fingerprint_is_of_the_data_and_not_of_its_place(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.frames, tmp_path / "frames")
    shutil.copytree(world.labels, tmp_path / "labels")
    here, there = (FrameFolder(f / "frames", f / "labels", classes=9) for f in (world.folder, tmp_path))
    assert fingerprint([here]) == fingerprint([there]) != fingerprint([FrameFolder(tmp_path / "frames")])
    assert fingerprint(move_stills(here)) == fingerprint(move_stills(there))
    before = fingerprint([there]), fingerprint(move_stills(there))
    with (tmp_path / "labels" / "002.png").open("ab") as file:
        file.write(b"more")
    assert before != (fingerprint([there]), fingerprint(move_stills(there)))
    content = bytearray((tmp_path / "frames" / "001.png").read_bytes())
    content[-20] ^= 1
    before = fingerprint([there])
    (tmp_path / "frames" / "001.png").write_bytes(content)
    assert before != fingerprint([there]), "the same size, another checksum of the pixels"
    assert fingerprint([VideoFile(world.folder / "video.mp4")]) != fingerprint([VideoFile(world.folder / "one.mp4")])
    assert fingerprint([Street(1, 4, (48, 64))]) != fingerprint([Street(2, 4, (48, 64))])
