"""Networks with a model card: in a folder, and what is uploaded to the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import temporalkd as tkd
from temporalkd.models import open_source
from tests import tiny

ROW = {
    "system": "student", "protocol": "visible", "flow": "raft_small", "frames": 60, "miou": 61.234,
    "consistency": 80.5, "flip_rate": None, "intervals": {"miou": [60.1, 62.3]},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    rows = [ROW, {**ROW, "system": "teacher", "miou": 99.0}]
    (folder / "evaluation.json").write_text(json.dumps({"results": rows}))
    (folder / "config.yaml").write_text("data: {train: {dataset: street}, val: {dataset: camvid}}")
    return folder


@pytest.fixture(autouse=True)
def own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORALKD_IMPORT", tiny.ARCHITECTURE)


def test_it_comes_back_from_its_folder(tmp_path: Path) -> None:
    network, frames = tiny.segmenter(4).eval(), torch.rand(1, 3, 32, 40)
    network.save_pretrained(tmp_path / "student")
    for found in (tkd.Segmenter.from_pretrained(tmp_path / "student"), open_source(f"hf:{tmp_path}/student")[0].eval()):
        torch.testing.assert_close(found(frames).logits, network(frames).logits)
    tkd.Segmenter.from_pretrained(tmp_path / "student").save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model.json").read_bytes() == (tmp_path / "student" / "model.json").read_bytes()


def test_the_card_tells_the_run(tmp_path: Path, run: Path) -> None:
    tiny.segmenter(4).save_pretrained(tmp_path / "student", run, "apache-2.0")
    _, head, text = (tmp_path / "student" / "README.md").read_text().split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["license"] == "apache-2.0" and facts["library_name"] == "temporalkd"
    (result,) = facts["model-index"][0]["results"]
    assert result["dataset"]["name"] == "camvid"
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {"miou": 61.234, "consistency": 80.5}
    assert "| visible | raft_small | 60 | 61.23 (60.10 to 62.30) | 80.50 |" in text
    assert "99.0" not in text


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    tiny.segmenter(4).save_pretrained(tmp_path / "student")
    text = (tmp_path / "student" / "README.md").read_text()
    assert "model-index" not in text and "Licence: not stated" in text


def test_a_network_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not built by name"):
        tkd.Segmenter(nn.Conv2d(3, 4, 1), 4, normalisation="none").save_pretrained(tmp_path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        tkd.Segmenter.from_pretrained(tmp_path)


def test_the_same_files_are_uploaded(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    import huggingface_hub

    calls: dict[str, Any] = {}

    class Hub:
        def create_repo(self, name: str, **options: Any) -> None:
            calls["made"] = name, options

        def upload_folder(self, repo_id: str, folder_path: Path) -> str:
            calls["files"] = {path.name for path in folder_path.iterdir()}
            return f"https://hub/{repo_id}"

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert tiny.segmenter(4).push_to_hub("me/student", run, private=True) == "https://hub/me/student"
    assert calls["made"] == ("me/student", {"private": True, "exist_ok": True})
    assert calls["files"] == {"model.safetensors", "model.json", "README.md"}
