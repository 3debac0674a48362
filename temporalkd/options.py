"""The base of all options: of methods, data sets and the sections of a config."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

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
