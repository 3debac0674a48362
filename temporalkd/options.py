"""The base of all options: of methods, data sets and the sections of a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What every generator of random numbers takes."""


def _ordered(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if pair[0] > pair[1]:
        raise ValueError("[smallest, largest]")
    return pair


def _some(span: tuple[int, int | None]) -> tuple[int, int | None]:
    if span[1] is not None and span[0] >= span[1]:
        raise ValueError("[first frame, the one after the last or null]")
    return span


Size = tuple[PositiveInt, PositiveInt]
Gaps = Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_ordered)]
Scale = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ordered)]
Span = Annotated[tuple[NonNegativeInt, PositiveInt | None], AfterValidator(_some)]
"""The first frame and the one after the last; null: to the end."""
Colour = tuple[float, float, float]
Spread = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class Options(BaseModel):
    """Options with their defaults: no unknown keys, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def given(cls, options: Mapping[str, Any], to: str | None = None) -> Self:
        """The options of a Python call.

        Args:
            to: what takes them, for errors; None: the `name` of the options.
        Raises:
            ValueError: one that there is not, or a value that is not allowed; in one line.
        """
        to = to or cls.model_fields["name"].default
        known = [name for name in cls.model_fields if name != "name"]
        if unknown := [key for key in options if key not in known]:
            raise ValueError(f"{to}: no option {unknown[0]!r}, it has: {', '.join(known)}")
        try:
            return cls(**options)
        except ValidationError as error:
            wrong = error.errors()[0]
            if not wrong["loc"]:
                raise ValueError(f"{to}: {wrong['msg'].removeprefix('Value error, ')}") from None
            raise ValueError(f"{to}: {wrong['loc'][0]}: {wrong['msg']}, got {wrong['input']!r}") from None


T = TypeVar("T", bound=type[Options])


def registering(registry: dict[str, Any], field: str) -> Callable[[T], T]:
    """A class decorator that puts options into a registry, under the default of one of their fields."""

    def register(options: T) -> T:
        """Class decorator: offer these options by their name."""
        fields: dict[str, Any] = options.model_fields  # type: ignore[call-overload]
        registry[fields[field].default] = options
        return options

    return register
