"""What a logger is: three methods; its options, by which it is registered under a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field

from temporalkd.options import Options, registering
from temporalkd.paths import read_json, write_json
from temporalkd.plugins import ConfigError, call, named

Values = Mapping[str, float]
"""Name -> value: "train/loss" and so on of a step, "val/miou" and so on of an evaluation."""


@dataclass
class Logging:
    """The run that is logged.

    step: at which it starts, more than 0 where it is resumed. history: (step, values) of what was recorded before.
    """

    folder: Path
    name: str
    step: int = 0
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def identity(self, logger: str, given: str | None = None) -> str | None:
        """What a service calls this run: kept in the folder when `given`, found again where the run is resumed."""
        path = self.folder / f"{logger}.json"
        if given is not None:
            write_json(path, {"id": given})
            return given
        return str(read_json(path)["id"]) if self.step and path.is_file() else None


@runtime_checkable
class Logger(Protocol):
    """Takes the values of a run; asked in the main process alone."""

    def open(self, run: Logging) -> None:
        """The training starts, or goes on."""

    def log(self, step: int, values: Values) -> None:
        """Values of that step."""

    def close(self) -> None:
        """The training has ended, or was interrupted."""


class LoggerOptions(Options):
    """Options of a logger. A subclass adds its own and its `name`, and defines `make`."""

    name: str

    def make(self) -> Logger:
        raise TypeError(f"{type(self).__name__} must define make() -> Logger")

    def require(self, package: str) -> None:
        """Refuse where its package is not installed.

        Raises:
            ConfigError: says how to install it.
        """
        if find_spec(package) is None:
            raise ConfigError(f"training.loggers: {package} is not installed: pip install 'temporalkd[{package}]'")


LOGGERS: dict[str, type[LoggerOptions]] = {}
"""Options of the loggers by name."""
register = registering(LOGGERS, "name")
"""Class decorator: offer a logger under the default of its field `name`."""


class ImportedLogger(LoggerOptions):
    """A callable "package.module:Name" that returns a Logger."""

    name: Literal["import"] = "import"
    imported: str = Field(alias="import")
    options: dict[str, Any] = {}

    def make(self) -> Logger:
        made = call(named(self.imported, "training.loggers"), self.options, f"training.loggers: {self.imported}")
        if not isinstance(made, Logger):
            raise ConfigError(
                f"training.loggers: {self.imported} returned a {type(made).__name__}, expected open, log and close"
            )
        return made


def spelled_out(given: Any) -> Any:
    """A logger's name alone as its options: "csv", or "package.module:Name"."""
    if not isinstance(given, str):
        return given
    return {"name": "import", "import": given} if ":" in given else {"name": given}


def make_logger(given: str | Mapping[str, Any] | LoggerOptions | Logger) -> Logger:
    """A logger from its name, its options, or as it is.

    Raises:
        ConfigError: there is no such logger, or its package is not installed.
    """
    if isinstance(given, LoggerOptions):
        return given.make()
    if isinstance(given, Logger) and not isinstance(given, str | Mapping):
        return given
    options = spelled_out(given)
    kinds: dict[str, type[LoggerOptions]] = {**LOGGERS, "import": ImportedLogger}
    if not isinstance(options, Mapping) or options.get("name") not in kinds:
        raise ConfigError(f"loggers: {given!r}, expected one of {', '.join(LOGGERS)} or package.module:Name")
    return kinds[options["name"]](**options).make()


def replayed(run: Logging) -> Iterator[tuple[int, dict[str, float]]]:
    """What was recorded before, in the order of steps."""
    yield from sorted(run.history, key=lambda entry: entry[0])
