"""Files of torch.save: values come back, code in them does not run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flow.saved import load_saved


@pytest.mark.parametrize("archived", [True, False])
def test_what_else_lies_beside_tensors_is_read(archived: bool, tmp_path: Path) -> None:
    state = {"weight": torch.ones(3), "bytes": b"abc", "set": {1, 2}, "half": torch.ones(2).half()}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=archived)
    found = load_saved(tmp_path / "a.pth")
    assert found["bytes"] == b"abc" and found["set"] == {1, 2} and torch.equal(found["weight"], state["weight"])


class Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("it ran",)


@pytest.mark.parametrize("archived", [True, False])
@pytest.mark.parametrize(("value", "named"), [(torch.nn.Linear(1, 1), r"torch\.nn\..*Linear"), (Runs(), "print")])
def test_what_is_more_than_values_is_named_and_not_run(
    value: object, named: str, archived: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a": value}, tmp_path / "a.pth", _use_new_zipfile_serialization=archived)
    with pytest.raises(ValueError, match=f"^it holds {named}, more than tensors and plain values.*not run") as error:
        load_saved(tmp_path / "a.pth")
    assert "weights_only" not in str(error.value) and "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"", b"text, no tensors\n" * 20, b"PK\x03\x04" + bytes(99)])
def test_a_damaged_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        load_saved(tmp_path / "a.pth")
