"""YAML as plain values: nothing in it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from temporalkd.words import ConfigError


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
