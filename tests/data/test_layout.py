"""Lists of names that data sets come with."""

from __future__ import annotations

from pathlib import Path

from temporalkd.data.layout import read_list
from tests.properties import few, given, st

names = st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1), min_size=1)


@few
@given(lines=names, blank=st.sampled_from(["", "\n", " \n\t\n"]), end=st.sampled_from(["\n", "\r\n"]))
def test_lists_give_back_their_names_with_their_lines(lines: list[str], blank: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(blank + end.join(lines) + end, "utf-8", newline="")
    first = blank.count("\n") + 1
    assert read_list(path, "layout") == [(first + i, name) for i, name in enumerate(lines)]


@few
@given(content=st.binary())
def test_any_bytes_are_a_list_or_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(content)
    try:
        entries = read_list(path, "layout")
    except ValueError as error:
        assert "train.txt" in str(error)
        return
    assert entries and all(number >= 1 and name == name.strip() != "" for number, name in entries)
