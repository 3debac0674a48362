"""From YAML to a Config: `extends`, `--set`, and back."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from temporalkd.config.explain import explain
from temporalkd.config.schema import Config
from temporalkd.plugins import ConfigError, allow


def load(path: Path, overrides: Sequence[str] = (), own: bool = True) -> Config:
    """Read a config file; `extends: other.yaml` fills in what it leaves out, `key.sub=value` overrides win.

    own: whether it is the user's, who may have code imported by naming it there; overrides always are.

    Raises:
        ConfigError: names the file, the key, the value and what was expected.
    """
    values, given = _read(path), dict[str, Any]()
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {override!r}: expected key.sub=value")
        value = parse_yaml(text, f"--set {override}")
        for changed in (values, given):
            _assign(changed, key.split("."), value)
    allow(_import_strings(values if own else given))
    return parse(values, str(path))


def parse(values: dict[str, Any], where: str) -> Config:
    """Check plain values against the schema."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(explain(error.errors()))) from None


def dump(config: Config) -> str:
    """YAML with every default written out; itself a valid config."""
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False)


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    if not path.is_file():
        asked = f"{seen[-1]}: extends: " if seen else ""
        names = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        near = [*difflib.get_close_matches(path.name, names, n=3), *names]
        hint = f", in its folder are {', '.join(list(dict.fromkeys(near))[:8])}" if near else ""
        raise ConfigError(f"{asked}no config file {path}{hint}")
    if path.resolve() in map(Path.resolve, seen):
        raise ConfigError(f"{path}: extends itself")
    values = read_yaml(path)
    if not isinstance(values, dict):
        found = "an empty file" if values is None else type(values).__name__
        raise ConfigError(f"{path}: expected keys and values, found {found}")
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str) or "\0" in base:
        raise ConfigError(f"{path}: extends: expected a file name, got {base!r}")
    return _merge(_read(path.parent / base, (*seen, path)), values)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` wins; sections are joined, unless `over` names another kind (dataset, method, architecture)."""
    merged = dict(base)
    for key, value in over.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and not _other_kind(old, value):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _other_kind(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return any(k in new and k in old and new[k] != old[k] for k in ("dataset", "name", "architecture"))


_NAMING = ("architecture", "import", "kind", "flow", "imported", "name")
"""Keys that may name a callable; the last two are what a section calls its `import`."""


def _import_strings(values: Any) -> Iterator[str]:
    if isinstance(values, dict):
        for key, value in values.items():
            named = value if key == "loggers" and isinstance(value, list) else [value] if key in _NAMING else []
            yield from (one for one in named if isinstance(one, str) and ":" in one)
            yield from _import_strings(value)
    elif isinstance(values, list):
        for value in values:
            yield from _import_strings(value)


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    *path, last = keys
    for key in path:
        inner = values.get(key)
        if not isinstance(inner, dict):
            inner = values[key] = {}
        values = inner
    values[last] = value


class _OnceEach(yaml.SafeLoader):
    """YAML leaves open which of two values a key has that is there twice; here it has neither."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(None, None, f"key {key.value!r} twice", key.start_mark)
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> Any:
    """The values in a file.

    Raises:
        ConfigError: not text, or not YAML; names the file.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """The values in a text, which is called `where` in errors."""
    try:
        return _OnceEach(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
