"""A griffe extension for the API reference: it turns the layout of our docstrings into Markdown.

Formulas and examples become code; the lines of "Shape:" and of other indented blocks become lists.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

FORMULA = re.compile(r"^[A-Za-z]\w*(, \w+)* = ")
GOOGLE = ("Args:", "Raises:", "Returns:")
PART = re.compile(r"^[A-Z][\w ,-]*: \S")


def as_markdown(text: str) -> str:
    """The docstring with sections that the Google parser and Markdown understand."""
    source, lines = text.split("\n"), [""]
    state = ""
    for line, following in zip(source, [*source[1:], ""]):
        bare, opens = line.strip(), following.startswith("    ")
        if state == "code" or line.startswith(">>> "):
            lines += ["", "```pycon"] if state != "code" else []
            state = "code" if bare else ""
            line = line if bare else "```\n"
        elif not bare:
            state = "" if state == "formula" else state
        elif line == bare and bare in GOOGLE:
            state = "google"
            lines.append("")
        elif line == bare and bare.endswith(":") and opens:  # "Shape:", "Source:" and other blocks
            state = "text" if bare == "Source:" else "list"
            line = f"\n**{bare.removesuffix(':')}**\n" if bare in ("Shape:", "Source:") else f"{bare}\n"
        elif line == bare and PART.match(bare) and (opens or state == "part"):  # wrapped lines are indented
            lines += [""] if state != "part" else []
            state, line = "part", f"- {bare}"
        elif line == bare:  # a paragraph or a formula
            starts = state != "formula" and not lines[-1].strip() and FORMULA.match(bare)
            lines += [""] if state in ("google", "list", "text", "part") else []
            state = "formula" if starts or state == "formula" else ""
            line = f"    {bare}" if state else line
        elif state == "list":
            line = f"  {bare}" if line.startswith("     ") else f"- {bare}"
        elif state in ("part", "text"):
            line = f"  {bare}" if state == "part" else bare
        lines.append(line)
    return "\n".join([*lines[1:], *(["```"] if state == "code" else [])])


class Markdown(Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
