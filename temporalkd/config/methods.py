"""The methods that a config can name, each with its options and their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from temporalkd.config.section import Section


class Ramp(Section):
    """A term's weight rises linearly between two shares of the training."""

    start: float = Field(0.0, ge=0, le=1)
    end: float = Field(0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Ramp:
        if self.start > self.end:
            raise ValueError("start is not larger than end")
        return self


class Term(Section):
    """One more term beside a method's own: by name, or "package.module:Name" of the user's.

    ramp: true for the default ramp, or its start and end.
    """

    term: str | None = None
    imported: str | None = Field(None, alias="import")
    name: str | None = None
    weight: float = 1.0
    ramp: bool | Ramp = False
    options: dict[str, Any] = {}


class MethodSection(Section):
    """What all methods share.

    class_weight: one number a class, or "enet" to weigh by 1 / log(1.02 + share).
    flow_averaged_teacher: distil from the teacher's predictions averaged along the motion.
    ramps: term, as the log names it -> the ramp of its weight.
    """

    class_weight: list[float] | Literal["enet"] | None = None
    flow_averaged_teacher: bool = False
    ramps: dict[str, Ramp] = {}
    terms: list[Term] = []


class Baseline(MethodSection):
    name: Literal["baseline"]


class KD(MethodSection):
    name: Literal["kd"]
    pixel: float = 1.0
    tau: float = Field(1.0, gt=0)


class ETC(MethodSection):
    name: Literal["etc"]
    pixel: float = 1.0
    intra: float = 10.0
    inter: float = 1.0
    recurrent: float = 2.0
    motion: float = 1.0
    neighbours: float = 0.4
    feature: str = "head"
    inter_feature: str = "logits"
    photometric: float = Field(0.0, ge=0)
    stop_gradient: bool = False


class FCKD(MethodSection):
    name: Literal["fckd"]
    condensation: float = 1.0
    condense: Literal["none", "teacher", "both"] = "both"
    spatial: bool = True
    channel: bool = True
    channel_weight: float = 0.2
    tau: float = Field(4.0, gt=0)
    mode: Literal["entropy", "hard", "control"] = "entropy"
    enhance: Literal["weights", "teacher"] = "weights"
    temporal: bool = False


class Multilevel(MethodSection):
    name: Literal["multilevel"]
    low: float = 2.0
    middle: float = 1.0
    pixel: float = 1.0
    high: float = 1.0
    consistency: float = 1.0
    low_loss: Literal["channel", "attention"] = "channel"
    consistency_loss: Literal["semantic", "motion"] = "semantic"
    tau: float = Field(4.0, gt=0)
    standardise: bool = True


class STCKD(MethodSection):
    name: Literal["stckd"]
    pixel: float = 1.0
    intra: float = 10.0
    motion: float = 0.0
    residual: float = 1.0
    adversarial: float = 0.035
    critic: float = Field(0.1, gt=0)
    branches: Literal["both", "cnn", "transformer"] = "both"
    view: Literal["frame", "residual", "tuple"] = "tuple"
    game: Literal["hinge", "wasserstein"] = "hinge"
    width: PositiveInt = 64
    feature: str = "head"


class I2CKD(MethodSection):
    name: Literal["i2ckd"]
    pixel: float = 1.0
    triplet: float = 1.0
    feature: str | list[str] = "head"
    margin: float = Field(0.3, ge=0)
    scope: Literal["batch", "image"] = "batch"
    anchor: Literal["student", "teacher"] = "student"
    part: Literal["both", "intra", "inter"] = "both"
    hardest: bool = False
    clip: bool = False


class SelfCorrecting(MethodSection):
    name: Literal["selfcorrecting"]
    pseudo: float = 1.0
    collaboration: float = 1.0
    pixel: float = 1.0
    intra: float = 10.0
    corrector: Literal["none", "linear", "conv"] = "linear"
    students: PositiveInt = 2
    rounds: int = Field(2, ge=1, le=3)
    confidence: float = Field(0.0, ge=0, lt=1)
    fit: PositiveInt = 200
    alpha: tuple[PositiveFloat, PositiveFloat] = (30.0, 5.0)
    feature: str = "head"


class ImportedMethod(MethodSection):
    """A callable that returns a list of WeightedLoss terms: "package.module:name"."""

    name: Literal["import"]
    imported: str = Field(alias="import")
    options: dict[str, Any] = {}


MethodChoice = Annotated[
    Baseline | KD | ETC | Multilevel | STCKD | FCKD | I2CKD | SelfCorrecting | ImportedMethod,
    Field(discriminator="name"),
]
