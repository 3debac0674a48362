"""The files in docs/examples, run as they are; the documentation shows these very files."""

from __future__ import annotations

import runpy
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from temporalkd.data.street import Street
from temporalkd.visualization import VideoWriter

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(autouse=True)
def workshop(elsewhere: None) -> None:
    """drive.mp4, in a working folder of the test's own."""
    with VideoWriter(Path("drive.mp4"), fps=10) as writer:
        for frame in Street(seed=3, length=5, size=(48, 64)).frames():
            writer.write(frame)


def test_plain_loop() -> None:
    runpy.run_path(str(EXAMPLES / "plain_loop.py"))
    assert Path("student.pt").is_file()


def test_lightning_module() -> None:
    pytest.importorskip("lightning", reason="make test-extras installs Lightning")
    found = runpy.run_path(str(EXAMPLES / "lightning_module.py"))
    assert found["trainer"].global_step == 2


def test_how_steady(call: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jinja2", reason="needs temporalkd[report]")
    runpy.run_path(str(EXAMPLES / "how_steady.py"))
    assert "consistency" in capsys.readouterr().out and len(list(Path("maps").iterdir())) == 5
    for line in (EXAMPLES / "how_steady.sh").read_text().splitlines():
        if not line.startswith("#"):
            call(*shlex.split(line)[1:])
    assert all(Path(name).stat().st_size > 1000 for name in ("flicker.mp4", "flicker-cli.mp4", "report.html"))


def test_the_documentation_shows_these_files() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    for path in EXAMPLES.iterdir():
        assert f"\n{path.relative_to(ROOT)}\n--8<--\n" in pages, path
