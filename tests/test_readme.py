"""The examples of README.md and docs/*.md, run as they are written."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from temporalkd.config import load
from temporalkd.data.label_maps import write_map
from temporalkd.data.street import Street
from temporalkd.experiments import run
from temporalkd.plugins import ALLOWED

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
}
TEXT = "\n".join(PAGES.values())
FILES = re.findall(r"```(?:python|yaml)\n# file: (\S+)\n(.*?)```", TEXT, flags=re.DOTALL)
EXAMPLES = dict(FILES)
SNIPPETS = [
    pytest.param(code, id=f"{page}-{number}")
    for page, text in PAGES.items()
    for number, code in enumerate(re.findall(r"```python\n(?!# file: |--8<--)(.*?)```", text, flags=re.DOTALL))
]
CONFIGS = sorted(name for name in EXAMPLES if name.endswith(".yaml"))


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of all pages, the configs that they extend, and a folder of frames with labels."""
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    street = Street(1, length=4, size=(48, 64))
    for i in range(4):
        for kind, image in (("frames", street.frame(i)), ("labels", (street.label(i) != 2).to(torch.uint8))):
            (tmp_path / kind).mkdir(exist_ok=True)
            write_map(tmp_path / kind / f"{i}.png", image[0] if image.ndim == 3 else image)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TEMPORALKD_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("name", CONFIGS)
def test_the_examples_train(name: str, workshop: Path) -> None:
    streets = ["data.train.count=2", "data.train.size=[48, 64]", "data.val.count=1", "data.val.size=[48, 64]"]
    streets += ["data.val.length=3"] if name not in ("my_data.yaml", "my_folder.yaml") else []
    own = [] if name in ("my_data.yaml", "my_folder.yaml") else streets
    config = load(workshop / name, [*own, "training.steps=2", "training.batch=2", "training.workers=0"])
    rows = run.train(config, workshop / "run")
    assert rows[0].system == "student" and rows[0]["miou"] is not None and rows[0]["consistency"] is not None
    assert (workshop / "run" / "student.safetensors").is_file()


def test_a_network_of_ones_own_is_named_again(workshop: Path, call: Callable[..., Any]) -> None:
    streets = {"count": 1, "size": [48, 64], "length": 2}
    settings = [f"data.{split}.{key}={value}" for split in ("train", "val") for key, value in streets.items()]
    settings += ["data.crop=null", "training.steps=1", "training.batch=1", "training.workers=0"]
    folder = workshop / "runs"
    call("train", workshop / "my_model.yaml", "-o", folder, *[word for text in settings for word in ("--set", text)])
    os.environ[ALLOWED] = ""  # as in a command of its own
    predict = ("predict", folder, workshop / "frames", "-o", workshop / "maps")
    _, err = call(*predict, code=1)
    assert "temporalkd --import my_model:tiny COMMAND" in err
    call("--import", "my_model:tiny", *predict)


def test_the_examples_are_short_and_complete() -> None:
    assert len(CONFIGS) == 7
    assert len(FILES) == len(EXAMPLES), "two files of one name"
    assert all(len(text.splitlines()) <= 20 for text in EXAMPLES.values())


@pytest.mark.parametrize("code", SNIPPETS)
def test_the_snippets_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "<snippet>", "exec"), {})


def test_the_pages_name_only_commands_that_exist() -> None:
    from typer.main import get_command

    from temporalkd.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    blocks = "\n".join(re.findall(r"^```(?:sh|text)\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE))
    named = set(re.findall(r"^(?:srun )?temporalkd (?:--[\w-]+(?: \w+:\w+)? )?(\w+)", blocks, flags=re.MULTILINE))
    assert {"train", "compare", "predict"} <= named <= known


def test_the_pages_name_only_files_that_exist() -> None:
    named = set(re.findall(r"(?<![\w/])(?:configs|tools)/[\w/-]+\.(?:yaml|py)", TEXT))
    assert {name for name in named if not (ROOT / name).is_file()} == set()
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
            assert ((ROOT / page).parent / target).is_file(), f"{page}: {target}"


def test_the_readme_keeps_its_two_commands() -> None:
    assert {"demo", "test"} <= set(re.findall(r"^make (\w+)", PAGES["README.md"], flags=re.MULTILINE))


def test_the_api_reference_names_only_what_exists() -> None:
    pages = "".join(path.read_text() for path in ROOT.glob("docs/api/*.md"))
    names = re.findall(r"^::: (\S+)", pages, flags=re.MULTILINE)
    assert names
    for name in names:
        pkgutil.resolve_name(name)
