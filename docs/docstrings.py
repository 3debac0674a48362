"""A griffe extension for the API reference: formulas become code, "Shape:" sections become lists."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

FORMULA = re.compile(r"^[A-Za-z]\w*(, \w+)* = ")
SECTION = re.compile(r"^(Args|Raises|Returns|Shape|Source): *$")


def as_markdown(text: str) -> str:
    """The docstring with sections that the Google parser and Markdown understand."""
    lines: list[str] = []
    section, formula = "", False
    for line in text.split("\n"):
        bare = line.strip()
        if found := SECTION.match(line):
            section, formula = found[1], False
            lines += ["", f"**{section}**", ""] if section in ("Shape", "Source") else ["", line]
        elif bare and line == bare:  # a paragraph or a formula
            formula = formula or ((not lines or not lines[-1]) and bool(FORMULA.match(bare)))
            if section and lines[-1]:
                lines.append("")
            section = ""
            lines.append(f"    {bare}" if formula else line)
        elif section == "Shape" and bare:
            lines.append(f"- {bare}" if line.startswith("    ") and line[4] != " " else f"  {bare}")
        elif section == "Source" and bare:
            lines.append(bare)
        else:
            formula = formula and bool(bare)
            lines.append(line)
    return "\n".join(lines)


class Markdown(Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
