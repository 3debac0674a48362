"""What a run is made of: the sections of a config, each with its keys, types and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from flow import estimators
from temporalkd.config.choices import Protocol
from temporalkd.data.datasets import DATASETS, Imported
from temporalkd.data.disturbance import DisturbanceKind
from temporalkd.data.footage import DatasetOptions
from temporalkd.loggers import LOGGERS, ImportedLogger, LoggerOptions
from temporalkd.loggers.base import spelled_out
from temporalkd.methods import METHODS, ImportedMethod, MethodOptions
from temporalkd.options import Colour, Gaps, Options, Scale, Seed, Size, Spread
from temporalkd.training import Schedule

if TYPE_CHECKING:
    Dataset = DatasetOptions
    LoggerChoice = LoggerOptions
    MethodChoice = MethodOptions
else:
    Dataset = Annotated[Union[*DATASETS.values(), Imported], Field(discriminator="dataset")]
    LoggerChoice = Annotated[
        Union[*LOGGERS.values(), ImportedLogger], Field(discriminator="name"), BeforeValidator(spelled_out)
    ]
    MethodChoice = Annotated[Union[*METHODS.values(), ImportedMethod], Field(discriminator="name")]


def _known(*others: str, without: str = "") -> Any:
    """Validator of the name or import string of a flow estimator."""

    def check(name: str) -> str:
        known = [kind for kind in (*estimators(), *others) if kind != without]
        if name not in known and ":" not in name:
            raise ValueError(f"one of {', '.join(map(repr, known))} or 'package.module:name'")
        return name

    return AfterValidator(check)


FlowName = Annotated[str, _known()]
EvaluationFlowName = Annotated[str, _known("exact", without="zero")]


class Semi(Options):
    """The labels of all but a share `labelled` of data.train's labelled frames are hidden.

    Methods that learn without labels draw those frames too; with `unlabelled` any method does. A `share` of them shows
    a weak label: "coarse", the true one where it is known for `margin` pixels around (default: a fortieth of the
    height); "flow", the nearest labelled frame's, carried along the motion. seed: of this choice alone, so that a
    teacher and its students of any seed know the same labels.
    """

    labelled: float = Field(0.25, gt=0, le=1)
    weak: Literal["none", "coarse", "flow"] = "coarse"
    share: float = Field(1 / 3, ge=0, le=1)
    margin: PositiveInt | None = None
    unlabelled: bool = False
    seed: Seed = 0


class MixOptions(Options):
    """In a `share` of the clips, a part of another clip of the batch is pasted.

    "cutmix": a rectangle; "classmix": half of the other clip's classes, moved along its motion. Labels, motion,
    visibility and stored targets go with it.
    """

    kind: Literal["cutmix", "classmix"] = "cutmix"
    share: float = Field(0.5, gt=0, le=1)


class Data(Options):
    """Footage, and how clips are drawn from it.

    root: overrides where the data sets are looked for. decoder: the library that reads clips of video files.
    unlabelled_share: of the clips whose anchor has no label, in every batch as far as its size allows; null: every
    frame is drawn as often as any other, or, by methods that label frames themselves, half of them.
    moving_objects: share of the stills with synthetic motion in which an object, cut by its label, moves on its own.
    disturbance: strength of noise, blur, motion blur, JPEG, exposure and gamma, which differ from frame to frame, or of
    some of them: {noise: 1}. The teacher sees the frame without it, unless teacher.disturbed.
    """

    root: str | None = None
    decoder: Literal["pyav", "decord", "torchcodec"] = "pyav"
    train: Dataset
    unlabelled: Dataset | None = None
    unlabelled_share: float | None = Field(None, gt=0, lt=1)
    val: Dataset | None = None
    semi: Semi | None = None
    frames: Literal[1, 2, 3] = 2
    gaps: Gaps = (1, 3)
    crop: Size | None = None
    scale: Scale = (1.0, 1.0)
    flip: bool = True
    jitter: float = Field(0.0, ge=0, lt=1)
    disturbance: NonNegativeFloat | dict[DisturbanceKind, NonNegativeFloat] = 0.0
    moving_objects: float = Field(0.0, ge=0, le=1)
    mix: MixOptions | None = None


class Normalisation(Options):
    mean: Colour = (123.675, 116.28, 103.53)
    std: Spread = (58.395, 57.12, 57.375)
    divisor: PositiveInt = 32


class Model(Options):
    """A network: `weights` alone where a json beside them describes it, else its architecture.

    encoder_weights: a file, or "package:NAME" for a pip package that carries one.
    """

    architecture: str | None = None
    arguments: dict[str, Any] = {}
    encoder_weights: str | None = None
    weights: str | None = None
    normalisation: Normalisation = Normalisation()
    roles: dict[str, str | list[str]] = {}


class Views(Options):
    """A teacher's probabilities are averaged over the frame resized by `scales`, with `flip` mirrored too.

    1 must be among the scales.
    """

    flip: bool = True
    scales: list[PositiveFloat] = Field(default=[0.75, 1.0, 1.25], min_length=1)


Classes = str | dict[int | str, int | str]
"""A teacher's class -> the student's, by name or number; or the name of a table in models.class_tables."""


class Teacher(Model):
    """weights: a file, also .onnx, or a network of a library: "hf:FOLDER", "smp:FOLDER", "torchvision:NAME",
    "timm:NAME".

    classes: the teacher's class -> the student's, or the name of a table; without it equal names are joined.
    ensemble: weights of several networks, instead of `weights`; their probabilities are averaged.

    store: compute its predictions once for each frame and keep them on disk, beside the flow. They move with the frame
    through crop, scale and flip, and are those of the frame before jitter and disturbance. Terms may then read logits
    alone. flow_passes: average what is stored along the flow, so many times. disturbed: a teacher that is not stored
    sees data.disturbance as the student does.
    """

    classes: Classes | None = None
    ensemble: list[str] = []
    views: Views | None = None
    store: bool = False
    flow_passes: int = Field(0, ge=0)
    disturbed: bool = False


class SecondTeacher(Model):
    """A further branch of the teacher.

    classes: as the teacher's.
    fusion: "accuracy": each pixel listens to the branch that is surer of it and errs less on labelled training stills;
    "confidence": to the surer one alone; "mean": to both alike. temperature: of these weights, in nats.
    """

    classes: Classes | None = None
    fusion: Literal["accuracy", "confidence", "mean"] = "accuracy"
    temperature: float = Field(0.1, gt=0)


class Flow(Options):
    """The optical flow that training uses where the data has none of its own.

    weights: a file, "download", or None for those that come with the package (raft_large: to look under the data
    root's weights/). cached: keep it on disk. RAFT alone
    has updates, the steps that refine a field; precision, of the convolutions in them; tolerance, in pixels: a field is
    done once a step moves it by less on average. options: settings of another kind.
    """

    kind: FlowName = "raft_small"
    weights: str | None = None
    updates: PositiveInt = 12
    precision: Literal["float32", "bfloat16"] = "float32"
    tolerance: float = Field(0.0, ge=0)
    options: dict[str, Any] = {}
    cached: bool = False
    cache: str | None = None
    cache_gigabytes: float = Field(20.0, gt=0)


class Training(Schedule):
    """How the student is trained, and where."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt | Literal["auto"] = 1
    nodes: PositiveInt = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    loggers: list[LoggerChoice] = Field(default=["tensorboard"], validate_default=True)


class Evaluation(Options):
    """flow "exact": the data's own motion, which the synthetic street has."""

    protocols: list[Protocol] = Field(default=["visible"], min_length=1)
    flow: EvaluationFlowName = "raft_small"


class Config(Options):
    name: str
    seed: Seed = 0
    data: Data
    student: Model
    teacher: Teacher | None = None
    second_teacher: SecondTeacher | None = None
    method: MethodChoice
    flow: Flow | None = None
    training: Training
    evaluation: Evaluation = Evaluation()
