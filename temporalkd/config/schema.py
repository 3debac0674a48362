"""What a run is made of: the sections of a config, each with its keys, types and defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


def _ordered(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    if pair[0] > pair[1]:
        raise ValueError("[smallest, largest]")
    return pair


Size = tuple[PositiveInt, PositiveInt]
Gaps = Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_ordered)]
Scale = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_ordered)]
Colour = tuple[float, float, float]
Spread = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Protocol = Literal["visible", "unmasked", "etc2020", "vspw2021", "varghese2020"]
FlowKind = Literal["raft_small", "raft_large", "dis", "zero"]
EvaluationFlow = Literal["raft_small", "raft_large", "dis", "exact"]


class Section(BaseModel):
    """A part of a config: no unknown keys."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class CamVid(Section):
    dataset: Literal["camvid"]
    root: str | None = None
    split: Literal["train", "val", "test"] = "train"
    synthetic_motion: bool | None = None


class Cityscapes(Section):
    dataset: Literal["cityscapes"]
    root: str | None = None
    split: Literal["train", "val", "test", "train_extra"] = "train"
    coarse: bool = False
    synthetic_motion: bool | None = None


class VSPW(Section):
    dataset: Literal["vspw"]
    root: str | None = None
    split: Literal["train", "val", "test"] = "train"


class VOC(Section):
    dataset: Literal["voc"]
    root: str | None = None
    split: Literal["train", "val", "trainval", "train_aug"] = "train"
    synthetic_motion: bool = True


class Folder(Section):
    dataset: Literal["folder"]
    images: str
    labels: str | None = None
    class_names: list[str] = []
    void: int = 255
    synthetic_motion: bool = False
    fps: float = 25.0


class Video(Section):
    dataset: Literal["video"]
    path: str


class Street(Section):
    dataset: Literal["street"]
    count: PositiveInt = 40
    seed: int = Field(0, ge=0)
    length: PositiveInt = 40
    size: Size = (96, 160)


class ImportedData(Section):
    """A callable that returns a Footage: "package.module:name"."""

    dataset: Literal["import"]
    name: str = Field(alias="import")
    options: dict[str, Any] = {}


Dataset = Annotated[
    CamVid | Folder | Video | Street | Cityscapes | VSPW | VOC | ImportedData, Field(discriminator="dataset")
]


class Semi(Section):
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
    seed: int = Field(0, ge=0)


class Data(Section):
    """Footage, and how clips are drawn from it. `root` overrides where the data sets are looked for."""

    root: str | None = None
    train: Dataset
    unlabelled: Dataset | None = None
    val: Dataset | None = None
    semi: Semi | None = None
    frames: Literal[1, 2, 3] = 2
    gaps: Gaps = (1, 3)
    crop: Size | None = None
    scale: Scale = (1.0, 1.0)
    flip: bool = True
    jitter: float = Field(0.0, ge=0, lt=1)


class Normalisation(Section):
    mean: Colour = (123.675, 116.28, 103.53)
    std: Spread = (58.395, 57.12, 57.375)
    divisor: PositiveInt = 32


class Model(Section):
    """A network: `weights` alone where a json beside them describes it, else its architecture.

    encoder_weights: a file, or "package:NAME" for a pip package that carries one.
    """

    architecture: str | None = None
    arguments: dict[str, Any] = {}
    encoder_weights: str | None = None
    weights: str | None = None
    normalisation: Normalisation = Normalisation()
    roles: dict[str, str | list[str]] = {}


class SecondTeacher(Model):
    """A further branch of the teacher. fusion: each pixel listens to the surer branch, or to both alike."""

    fusion: Literal["confidence", "mean"] = "confidence"
    temperature: float = Field(0.5, gt=0)


class Term(Section):
    """One more term beside a method's own: by name, or "package.module:Name" of the user's."""

    term: str | None = None
    imported: str | None = Field(None, alias="import")
    name: str | None = None
    weight: float = 1.0
    ramp: bool = False
    options: dict[str, Any] = {}


class MethodSection(Section):
    """What all methods share.

    class_weight: one number a class, or "enet" to weigh by 1 / log(1.02 + share). steady: distil from the teacher's
    predictions averaged along the motion.
    """

    class_weight: list[float] | Literal["enet"] | None = None
    steady: bool = False
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
    inter: float = 10.0
    recurrent: float = 0.1
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
    channel_weight: float = 3.0
    tau: float = Field(4.0, gt=0)
    mode: Literal["entropy", "hard", "control"] = "entropy"
    temporal: bool = False


class Multilevel(MethodSection):
    name: Literal["multilevel"]
    low: float = 50.0
    middle: float = 10.0
    high: float = 10.0
    consistency: float = 1.0
    low_loss: Literal["channel", "attention"] = "channel"
    consistency_loss: Literal["semantic", "motion"] = "semantic"
    tau: float = Field(4.0, gt=0)
    standardise: bool = True


class STCKD(MethodSection):
    name: Literal["stckd"]
    pixel: float = 1.0
    intra: float = 10.0
    motion: float = 1.0
    residual: float = 1.0
    adversarial: float = 0.001
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
    feature: str = "head"


class ImportedMethod(MethodSection):
    """A callable that returns a list of Weighted terms: "package.module:name"."""

    name: Literal["import"]
    imported: str = Field(alias="import")
    options: dict[str, Any] = {}


MethodChoice = Annotated[
    Baseline | KD | ETC | Multilevel | STCKD | FCKD | I2CKD | SelfCorrecting | ImportedMethod,
    Field(discriminator="name"),
]


class Flow(Section):
    """The optical flow that training uses where the data has none of its own.

    weights: a file, "download", or None to look under the data root's weights/. cached: keep it on disk.
    """

    kind: FlowKind = "raft_small"
    weights: str | None = None
    cached: bool = False
    cache: str | None = None
    cache_gigabytes: float = Field(20.0, gt=0)


class Training(Section):
    steps: PositiveInt
    batch: PositiveInt = 4
    accumulate: PositiveInt = 1
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    power: float = 0.9
    warmup: int = Field(0, ge=0)
    clip_grad: float | None = 5.0
    workers: int = Field(0, ge=0)
    evaluate_every: int = Field(0, ge=0)
    checkpoint_every: PositiveInt = 200
    log_every: PositiveInt = 10
    gradient_norms_every: int = Field(50, ge=0)
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt | Literal["auto"] = 1
    nodes: PositiveInt = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


class Evaluation(Section):
    """flow "exact": the data's own motion, which the synthetic street has."""

    protocols: list[Protocol] = Field(default=["visible"], min_length=1)
    flow: EvaluationFlow = "raft_small"


class Config(Section):
    name: str
    seed: int = Field(0, ge=0)
    data: Data
    student: Model
    teacher: Model | None = None
    second_teacher: SecondTeacher | None = None
    method: MethodChoice
    flow: Flow | None = None
    training: Training
    evaluation: Evaluation = Evaluation()
