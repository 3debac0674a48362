"""Who may import whom: nothing imports upward, and `--help` needs no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"flow"},
    {"console", "options", "paths", "plugins"},
    {"loggers", "losses", "metrics"},
    {"data", "models"},
    {"methods"},
    {"evaluation"},
    {"training", "visualization", "export"},
    {"config"},
    {"experiments"},
    {"cli"},
    {"tools"},
]


def room(module: str) -> str:
    first, *inner = module.split(".")
    return inner[0] if first == "temporalkd" and inner else first


def level(module: str) -> int | None:
    return next((i for i, rooms in enumerate(LAYERS) if room(module) in rooms), None)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "temporalkd" else {node.module}
    return {name for name in found if name.split(".")[0] in ("flow", "temporalkd", "tools")}


FILES = [p for folder in ("flow", "temporalkd", "tools") for p in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_imports_upward(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if name == "temporalkd":
        return
    own = level(name)
    assert own is not None, f"{name} has no layer"
    for imported in imports(path):
        other = level(imported)
        if imported in ("temporalkd.__version__",) or room(imported) == room(name):
            continue
        assert other is not None and other < own, f"{name} imports {imported}, which is not below it"


HEAVY = ("torch", "numpy", "cv2", "av")


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (["--help"], (*HEAVY, "pydantic", "yaml", "rich")),
        (["train", "--help"], (*HEAVY, "yaml", "rich")),
        (["config", "check", "configs/street/etc.yaml"], ("lightning_fabric", "segmentation_models_pytorch", "timm")),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_looking_imports_no_more_than_it_needs(command: list[str], absent: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom temporalkd.cli import main\n"
        f"sys.argv = ['temporalkd', *{command!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"found = [name for name in {absent!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_flow_brings_little_with_it() -> None:
    """Beside torchvision, which it stands on: no OpenCV, no transforms, until they are used."""
    code = (
        "import sys, torchvision\nbefore = set(sys.modules)\nimport flow\n"
        "brought = {name.split('.')[0] for name in set(sys.modules) - before if 'tv_tensors' not in name}\n"
        "assert brought <= {'flow', 'safetensors'}, brought\n"
        "from flow import FlowField\nassert 'torchvision.transforms.v2' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
