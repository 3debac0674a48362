"""What the sections of a config are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

MOST = 10**6
"""Of things that are made, or looked through, one by one."""
MAX_PIXELS = 2**27
"""Of a picture that a config asks for: what images may have."""
Count = Annotated[int, Field(gt=0, le=MOST)]
Few = Annotated[int, Field(gt=0, le=1024)]
"""Of processes and layers."""
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""What every generator of random numbers takes."""
Enlargement = Annotated[float, Field(gt=0, le=100)]


def _ordered(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if pair[0] > pair[1]:
        raise ValueError("[smallest, largest]")
    return pair


def _of_a_picture(size: tuple[int, int]) -> tuple[int, int]:
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"at most {MAX_PIXELS} pixels")
    return size


Size = Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_of_a_picture)]
Gaps = Annotated[tuple[Count, Count], AfterValidator(_ordered)]
Scale = Annotated[tuple[Enlargement, Enlargement], AfterValidator(_ordered)]
Colour = tuple[float, float, float]
Spread = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class Section(BaseModel):
    """A part of a config: no unknown keys, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True, allow_inf_nan=False)
