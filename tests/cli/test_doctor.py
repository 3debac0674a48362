"""`doctor`: what is wrong with a machine, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torchvision

from temporalkd.cli import doctor


def shown(out: str) -> str:
    return " ".join(out.split())


def test_a_healthy_machine(call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "root" / "weights").mkdir(parents=True)
    (tmp_path / "root" / "weights" / "mine.safetensors").write_bytes(b"")
    monkeypatch.setenv("TEMPORALKD_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("COLUMNS", "200")
    out = shown(call("doctor")[0])
    assert "decoders h264, hevc, vp9, av1, mjpeg" in out and "weights mine.safetensors" in out
    assert "cache" in out and "GiB free" in out
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("2.15.0", "pip install --upgrade --force-reinstall torch torchvision"),
        ("2.15.0+cpu", "torch torchvision --index-url https://download.pytorch.org/whl/cpu"),
    ],
)
def test_a_torchvision_that_does_not_fit_is_explained(
    version: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr(torchvision.ops, "nms", missing)
    monkeypatch.setattr(doctor, "_version", lambda package: version)
    answer, good = doctor._torchvision()
    assert not good and answer.endswith(command) and "\n" not in answer
    assert f"torch {version}, torchvision {version} do not fit each other (operator torchvision::nms" in answer


def test_a_cache_that_cannot_be_written(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("TEMPORALKD_CACHE", "file/cache")
    monkeypatch.setenv("COLUMNS", "200")
    out, _ = call("doctor", code=1)
    assert "file/cache cannot be written (Not a directory): set TEMPORALKD_CACHE to a folder that can" in shown(out)
