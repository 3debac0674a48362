"""Files of torch.save that take more memory than they are large."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from flow.saved import load_saved

CALL = b"R"
HUGE = b"\x8a\x05" + (4 * 10**9).to_bytes(5, "little")


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def text(content: str) -> bytes:
    return b"X" + struct.pack("<I", len(content)) + content.encode()


DOUBLED = name("_codecs", "encode") + text("A" * 64) + text("latin1") + b"\x86" + CALL
BOMBS = {
    "bytearray": name("builtins", "bytearray") + HUGE + b"\x85" + CALL,
    "FloatTensor": name("torch", "FloatTensor") + HUGE + b"\x85" + CALL,
    "hex_codec": name("_codecs", "encode") + DOUBLED + text("hex_codec") + b"\x86" + CALL,
    "_rebuild_device_tensor_from_cpu_tensor": name("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"),
}


def archive(pickled: bytes, member: str = "archive/data.pkl") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(member, pickled)
    return content.getvalue()


def old(pickled: bytes) -> bytes:
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = (pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, machine))
    return b"".join(head) + pickled + pickle.dumps([], 2)


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("form", ["archive", "archive in capitals", "old", "old with an archive behind it"])
def test_what_takes_memory_by_number_is_refused(bomb: str, form: str, tmp_path: Path) -> None:
    pickled, path = b"\x80\x02" + BOMBS[bomb] + b".", tmp_path / "a.pth"
    whole = {
        "archive": archive(pickled),
        "archive in capitals": archive(pickled, "archive/DATA.PKL"),
        "old": old(pickled),
        "old with an archive behind it": old(pickled) + archive(b"\x80\x02}."),
    }
    path.write_bytes(whole[form])
    with pytest.raises(ValueError, match=f"{bomb}.*any amount of memory"):
        load_saved(path)


@pytest.mark.parametrize("archived", [True, False])
def test_what_else_lies_beside_tensors_is_read(archived: bool, tmp_path: Path) -> None:
    state = {
        "weight": torch.ones(3),
        "bytes": b"abc",
        "set": {1, 2},
        "Tensor": "bytearray",
        "half": torch.ones(2).half(),
    }
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


def saved(path: Path) -> bytes:
    torch.save({"weight": torch.arange(6.0)}, path)
    assert torch.equal(load_saved(path)["weight"], torch.arange(6.0))
    return path.read_bytes()


def test_records_that_are_listed_twice_otherwise(tmp_path: Path) -> None:
    """torch reads what one list says, and what is checked might be what the other does."""
    path = tmp_path / "a.pth"
    whole = saved(path)
    end = whole.rindex(b"PK\x05\x06")
    for at in range(end, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        if at not in range(end + 4, end + 8):  # the numbers of disks
            with pytest.raises(ValueError, match=r"list of records is damaged|not a zip file"):
                load_saved(path)


def test_an_archive_in_front_of_the_one_that_is_checked(tmp_path: Path) -> None:
    """Python finds the records of the last one, torch would look for them where the first one's are."""
    path = tmp_path / "a.pth"
    whole = saved(path)
    path.write_bytes(whole + whole)
    with pytest.raises(ValueError, match="its list of records is damaged"):
        load_saved(path)


def test_two_records_of_one_name(tmp_path: Path) -> None:
    """torch looks names up in any case, and takes one of them."""
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", b"\x80\x02}.")
        file.writestr("a/DATA.pkl", b"\x80\x02}.")
        file.writestr("a/version", b"3")
    with pytest.raises(ValueError, match="it has two records of one name"):
        load_saved(path)
