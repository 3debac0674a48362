"""What a training took is kept: attempt by attempt, and known to be missing where one was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from temporalkd.experiments import resources
from tests.cli_support import ROOT

CPU = torch.device("cpu")


def test_attempts_follow_each_other(tmp_path: Path) -> None:
    with resources.recorded(tmp_path, CPU, resume=False):
        assert resources.read(tmp_path) == [None], "until it ends nothing is known"
        sum(range(300_000))
    with pytest.raises(OSError), resources.recorded(tmp_path, CPU, resume=True):
        raise OSError
    first, second = resources.read(tmp_path)
    assert first is not None and second is not None
    assert 0 < first["cpu_seconds"] < 60 and 0 < first["seconds"] < 60 and first["device"] == "cpu"
    with resources.recorded(tmp_path, CPU, resume=False):
        pass
    assert len(resources.read(tmp_path)) == 1, "a new start forgets"
    with resources.recorded(tmp_path / "other", CPU, resume=False, enabled=False):
        pass
    assert resources.read(tmp_path / "other") == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_the_peak_is_the_processs_own(tmp_path: Path) -> None:
    """Not what its parent held when it was started, which ru_maxrss would say."""
    code = (
        "import sys, torch\nfrom pathlib import Path\nfrom temporalkd.experiments import resources\n"
        "with resources.recorded(Path(sys.argv[1]), torch.device('cpu'), False):\n"
        "    block = bytearray(int(sys.argv[2]) * 2**20)\n    del block\n"
    )
    ballast = bytearray(2000 * 2**20)
    command = [sys.executable, "-c", code, str(tmp_path), "700"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    (attempt,) = resources.read(tmp_path)
    assert attempt is not None
    assert 800 < attempt["peak_mib"] < 1700 < len(ballast) / 2**20
