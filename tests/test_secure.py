"""What is read cannot run code or write elsewhere, and nothing is fetched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from temporalkd.models import ModelSpec, build
from temporalkd.plugins import ALLOWED, REFUSED, imported
from tests.cli_support import ROOT, World, tiny_config, write_config


def test_no_import_refuses_what_a_config_names(world: World, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REFUSED, "")  # the option sets it for child processes too: put back afterwards
    config = write_config(Path("a.yaml"), tiny_config())
    _, err = call("--no-import", "train", config, "-o", "out", code=1)
    assert "import 'tests.cli_support:TinyNetwork': refused by --no-import" in err
    assert os.environ[REFUSED] == "1" and not Path("out").exists()
    _, err = call("predict", world.run, world.frames, "-o", "maps", code=1)
    assert "refused by --no-import" in err
    call("config", "check", config)


def test_weights_of_others_import_nothing(world: World, call: Any, tmp_path: Path) -> None:
    """What lies beside weights may name any callable, with arguments of its choice."""
    for name in ("student.safetensors", "config.yaml"):
        (tmp_path / name).write_bytes((world.run / name).read_bytes())
    card = json.loads((world.run / "student.json").read_text())
    for name, arguments in (("os:system", {"command": "touch ran"}), ("evil_module:thing", {})):
        (tmp_path / "student.json").write_text(json.dumps(card | {"architecture": name, "arguments": arguments}))
        (tmp_path / "evil_module.py").write_text("open('ran', 'w')\n")
        for place in (tmp_path, tmp_path / "student.safetensors"):
            _, err = call("predict", place, world.frames, "-o", "maps", code=1)
            assert f"student.json: import '{name}': no config of yours names it" in err
            assert f"say temporalkd --import {name} COMMAND" in err
    assert not Path("ran").exists() and not Path("maps").exists()


def test_data_that_a_run_of_others_names_is_not_imported(world: World, call: Any, tmp_path: Path) -> None:
    for name in ("student.safetensors", "student.json"):
        (tmp_path / name).write_bytes((world.run / name).read_bytes())
    write_config(tmp_path / "config.yaml", tiny_config(data={"val": {"dataset": "import", "import": "evil:data"}}))
    _, err = call("evaluate", tmp_path, code=2)
    assert "data: import 'evil:data': no config of yours names it" in err
    _, err = call("evaluate", tmp_path, "--set", "data.val.import=evil2:data", code=2)
    assert "No module named 'evil2'" in err, "what the user says is the user's"


def test_what_the_user_names_is_imported(
    world: World, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED, "")
    call("predict", world.run, world.frames, "-o", "maps", code=1)
    monkeypatch.setenv(ALLOWED, "")
    call("--import", "tests.cli_support:TinyNetwork", "predict", world.run, world.frames, "-o", "maps")
    monkeypatch.setenv(ALLOWED, "")
    call("--import", "tests", "predict", world.run, world.frames, "-o", "by-package")
    monkeypatch.setenv(ALLOWED, "")
    call("--import", "test", "predict", world.run, world.frames, "-o", "not", code=1)
    config = write_config(Path("own.yaml"), tiny_config())
    call("train", config, "-o", "own")
    call("evaluate", world.run, "--data", config)


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoder_name": "tu-hf-hub:some/network"},
        {"encoder_name": "tu-local-dir:/tmp"},
        {"encoder_name": "tu-mobilenetv3_small_050", "checkpoint_path": "evil.pth"},
        {"encoder_name": "tu-mobilenetv3_small_050", "pretrained_cfg": {"url": "http://evil"}},
    ],
)
def test_a_network_fetches_and_loads_nothing_itself(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"networks are not fetched|say encoder_weights or weights"):
        build(ModelSpec("segmentation_models_pytorch.FPN", 3, arguments))


def test_no_source_reads_what_runs_code() -> None:
    forbidden = ("yaml.load(", "yaml.unsafe", "pickle.load", "shell=True", "os.system(", "weights_only=False", 'eval("')
    for folder in ("flow", "temporalkd", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert not [word for word in forbidden if word in text], path
            assert text.count("torch.load(") == text.count("weights_only=True"), path


def test_no_import_keeps_modules_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemExit('ran')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(REFUSED, "1")
    with pytest.raises(ValueError, match="refused by --no-import"):
        imported("evil_module:thing")


@pytest.mark.parametrize("name", ["../up", "/tmp/x", "a/b", "..", "", ".hidden"])
def test_a_name_does_not_lead_out_of_runs(name: str, call: Any, tmp_path: Path) -> None:
    config = write_config(Path("a.yaml"), tiny_config(name=name))
    before = sorted(tmp_path.parent.iterdir())
    _, err = call("train", config, code=2)
    assert f"name: {name!r}" in err
    assert sorted(tmp_path.parent.iterdir()) == before and not Path("runs").exists()


@pytest.mark.parametrize("name", ["checkpoints", "pseudo/round1", "log.jsonl", "metrics.csv"])
@pytest.mark.parametrize("resume", [True, False])
def test_links_do_not_lead_out_of_a_run_folder(name: str, resume: bool, world: World, call: Any) -> None:
    Path("elsewhere").mkdir()
    if resume:
        shutil.copytree(world.run, "run")
    (link := Path("run") / name).parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(Path("elsewhere").absolute() / "new")
    _, err = call("train", world.config.with_suffix(".yaml"), "-o", "run", *(["--resume"] if resume else []), code=2)
    assert f"run/{name} is a symbolic link" in err
    assert not list(Path("elsewhere").iterdir())
