"""What is wrong with a config, in words for people: the key, the value and what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from temporalkd.config.schema import Config

QUOTE = "'"
LONGEST = 400
OLD_KEYS = {
    "method.steady": "method.steady is now method.flow_averaged_teacher",
    "teacher.cached": "teacher.cached is now teacher.store",
}
"""Dotted key of an earlier version -> what replaces it; asked only for keys that no section has any more."""
_TAGGED = ("train", "unlabelled", "val", "method")  # the part after these is the kind, not a key
_PLAIN = ("int", "float", "str", "constrained-int", "constrained-float")


def explain(problems: Sequence[Any]) -> Iterator[str]:
    """One text a key; what the branches of a union expect is joined."""
    expected: dict[str, tuple[list[str], Any]] = {}
    for problem in problems:
        location, kind, context = _location(problem["loc"]), problem["type"], problem.get("ctx", {})
        if kind == "extra_forbidden" and location in OLD_KEYS:
            yield OLD_KEYS[location]
        elif kind == "extra_forbidden":
            known = sorted(set(_known_keys(Config)))
            yield f"unknown key {location}" + _near(str(problem["loc"][-1]), known)
        elif kind == "missing":
            yield f"{location}: missing"
        elif kind == "union_tag_not_found":
            yield f"{location}.{context['discriminator'].strip(QUOTE)}: missing"
        elif kind == "union_tag_invalid":
            tags = re.findall(r"'(\w+)'", context["expected_tags"])
            key, tag = context["discriminator"].strip(QUOTE), context["tag"]
            yield f"{location}.{key}: unknown {tag!r}, expected one of {', '.join(tags)}" + _near(tag, tags)
        else:
            message = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            message = re.sub(r"^a valid dictionary.*", "keys and values", message)
            expected.setdefault(location, ([], problem["input"]))[0].append(message)
    for location, (messages, value) in expected.items():
        shown = repr(value)
        shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
        yield f"{location}: expected {' or '.join(messages)}, got {shown}"


def _location(parts: Sequence[str | int]) -> str:
    """Dotted key, without the branches of unions that pydantic puts between."""
    kept = [
        str(part)
        for before, part in zip(("", *parts), parts)
        if not (before in _TAGGED or str(part) in _PLAIN or "[" in str(part))
    ]
    return ".".join(kept)


def _near(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, [name for name in known if name != word], n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _known_keys(section: type[BaseModel]) -> Iterator[str]:
    for name, info in section.model_fields.items():
        yield info.alias or name
        for inner in _models_in(info.annotation):
            yield from _known_keys(inner)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
