"""The front door's functions: train, evaluate, load and show, on plain objects, without a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from flow import FlowEstimator
from flow import build as build_flow
from flow.atomic import write_whole
from temporalkd.config.build import mapped, open_network
from temporalkd.console import progress
from temporalkd.data.disturbance import DisturbanceKind
from temporalkd.data.image_folder import MapFolder, open_frames
from temporalkd.data.sampler import ClipSampler
from temporalkd.data.source import Source
from temporalkd.evaluation import Row, features, network
from temporalkd.evaluation import evaluate as score
from temporalkd.experiments.lock import run_lock
from temporalkd.experiments.provenance import environment, fingerprint
from temporalkd.experiments.run_directory import has_checkpoint
from temporalkd.methods import Method
from temporalkd.models import (
    MappedClasses,
    ModelSpec,
    Segmenter,
    build,
    freeze,
    is_source,
    load_segmenter,
    load_weights,
    save_segmenter,
)
from temporalkd.models.normalisation import Given, Normalisation, resolve
from temporalkd.models.weights import as_bytes
from temporalkd.paths import pretrained, read_json, read_lines, write_json
from temporalkd.training import GivenBatches, Plan, PseudoLabels, Runtime, Trainer
from temporalkd.training.log import LOG
from temporalkd.visualization import default_palette, render_flicker
from temporalkd.visualization.overlay import Palette

Name = str | PathLike[str]
WEIGHTS, SETTINGS = "student.safetensors", "segmenter.json"
"""The student's weights; how it is wrapped, where its network has no name from which it can be built."""


@dataclass
class Run:
    """What `train` leaves: the folder, and the trained student, in eval mode."""

    folder: Path
    student: Segmenter

    @property
    def log(self) -> list[dict[str, Any]]:
        """The records of log.jsonl: loss, terms and learning rate of every tenth step."""
        return read_lines(self.folder / LOG)


def train(
    method: Method,
    clips: ClipSampler | Iterable[Any],
    steps: int = 1000,
    out: Name = "runs/student",
    *,
    lr: float = 1e-3,
    batch: int | None = None,
    resume: bool = False,
    seed: int = 0,
    accelerator: str = "auto",
    precision: Any = "32-true",
    **plan: Any,
) -> Run:
    """Train a method's student in the loop that `temporalkd train` runs, and save it.

    `out` gets checkpoints/, log.jsonl, metrics.csv, environment.json and student.safetensors: with student.json where
    the network was built by name, else with segmenter.json (see `load`).

    Args:
        clips: a data set of `tkd.data`, or any iterable, a DataLoader say, of pairs (frames (B, T, 3, H, W) in [0, 1],
            labels (B, H, W)).
        steps: of the optimiser.
        lr: the highest learning rate.
        batch: clips in a step, 4 if not given; an iterable makes its own batches.
        resume: go on from the last checkpoint in `out`. Exact for data sets of `tkd.data`; an iterable starts anew.
        accelerator, precision: "cpu", "gpu" or "auto"; "32-true", "bf16-mixed" or "16-mixed".
        plan: further fields of `temporalkd.training.Plan`: optimiser, weight_decay, schedule, warmup, workers, ...
    Raises:
        ValueError: a field of the plan that there is not, or a value that is not allowed.
        FileExistsError: `out` holds a run and `resume` is not set.
        KeyboardInterrupt: after the step is ended and saved.

    >>> import tempfile, torch
    >>> import temporalkd as tkd
    >>> student = tkd.Segmenter(torch.nn.Conv2d(3, 4, 3, padding=1), classes=4, normalisation="none")
    >>> batches = [(torch.rand(2, 1, 3, 16, 16), torch.zeros(2, 16, 16, dtype=torch.long))]
    >>> run = tkd.train(tkd.methods.baseline(student), batches, steps=2, out=tempfile.mkdtemp(), accelerator="cpu")
    >>> [record["step"] for record in run.log]
    [1, 2]
    """
    own = isinstance(clips, ClipSampler)
    if batch is not None and not own:
        raise ValueError(f"batch: {batch}, but the iterable given makes its own batches: leave it out")
    if method.self_training and not (isinstance(clips, ClipSampler) and clips.unlabelled):
        raise ValueError("clips: the method labels frames itself: give a data set of tkd.data with hidden labels")
    folder, runtime = Path(out), Runtime(accelerator, precision=precision)
    settings = {"gradient_norms_every": 0, "batch": batch or 4} | plan | {"steps": steps, "lr": lr, "seed": seed}
    planned = Plan.given(settings, "train")
    given: Any = clips if own else GivenBatches(cast(Iterable[Any], clips), runtime)

    def job() -> None:
        with run_lock(folder):
            if not resume and (has_checkpoint(folder) or (folder / WEIGHTS).exists()):
                raise FileExistsError(f"out: {folder} already holds a run: resume=True goes on, or name another folder")
            prints = {"train": fingerprint(given.sources)} if own else {}
            write_json(folder / "environment.json", environment(seed, prints))
            labeller = method.self_training
            labels = PseudoLabels(method, labeller, given, runtime, folder / "pseudo") if labeller else None
            trainer = Trainer(method, given, planned, runtime, folder, name=folder.name, between=labels)
            trainer.fit(resume)
            trained = method.best_student()
            if trained.spec is not None and isinstance(given, ClipSampler):
                trained.spec = replace(trained.spec, trained_size=given.frame_size)
            save(trained, folder / WEIGHTS)

    runtime.launch(job)
    return Run(folder, method.best_student().eval())


def load(run: Name | Run, into: nn.Module | None = None) -> Segmenter:
    """The trained student of a run, in eval mode.

    Args:
        run: a folder of `train` or of `temporalkd train`, the file of weights itself, .safetensors, .pth or .pt, or the
            name of a network that comes with the package ("street-teacher", "camvid-plain", "camvid-recipe") or of a
            file below TEMPORALKD_DATA's weights/.
        into: a network of the student's architecture, filled with the weights; needed where the network was not built
            by name. A Segmenter stays as it is wrapped, another module is wrapped as the student was.
    Raises:
        FileNotFoundError: no trained student there, or nothing that says how it is built.
        ValueError: weights of another architecture.

    >>> import tempfile, torch
    >>> import temporalkd as tkd
    >>> net = torch.nn.Conv2d(3, 4, 3, padding=1)
    >>> method = tkd.methods.baseline(tkd.Segmenter(net, classes=4, normalisation="none"))
    >>> batches = [(torch.rand(1, 1, 3, 16, 16), torch.zeros(1, 16, 16, dtype=torch.long))]
    >>> run = tkd.train(method, batches, steps=1, out=tempfile.mkdtemp(), accelerator="cpu")
    >>> again = tkd.load(run.folder, into=torch.nn.Conv2d(3, 4, 3, padding=1))
    >>> bool((again.network.weight == net.weight).all())
    True
    """
    path = pretrained(run.folder if isinstance(run, Run) else run)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no trained student there")
    if into is None:
        if not path.with_suffix(".json").is_file():
            raise FileNotFoundError(f"{path}: its network cannot be built by name: use load(run, into=network)")
        return load_segmenter(path)[0].eval()
    if not isinstance(into, Segmenter):
        if not path.with_name(SETTINGS).is_file():
            raise FileNotFoundError(f"{path.with_name(SETTINGS)} is missing: give into=Segmenter(network, ...)")
        settings = read_json(path.with_name(SETTINGS))
        scale = settings.pop("normalisation")
        normalisation = Normalisation(tuple(scale["mean"]), tuple(scale["std"]), scale["divisor"])
        into = Segmenter(into, normalisation=normalisation, **settings)
    load_weights(into.network, path)
    return into.eval()


def load_teacher(
    source: Name,
    *,
    weights: Name | None = None,
    classes: int | None = None,
    normalisation: Given | None = None,
    onto: Sequence[str] | None = None,
    mapping: str | Mapping[str | int, str | int] | None = None,
    download: bool = False,
    **arguments: Any,
) -> Segmenter | MappedClasses:
    """A trained network, frozen, as a teacher.

    Args:
        source: a run's folder, a .safetensors file with its json beside it, or an .onnx file (logits alone);
            "hf:FOLDER" or "hf:OWNER/NAME" (transformers: SegFormer, UperNet, DPT, Mask2Former, EoMT, ...; of a backbone
            such as DINOv2 features alone), "smp:FOLDER", "torchvision:NAME", "timm:NAME" (an encoder, features alone);
            or, with `weights` and `classes`, an architecture: "torchvision.deeplabv3_resnet50",
            "segmentation_models_pytorch.FPN", "transformers.SegformerForSemanticSegmentation".
        weights: .safetensors, .pth or .pt of that architecture.
        normalisation: as for `Segmenter`; None: looked up.
        onto: the student's class names, where the teacher has others; classes of equal names are joined.
        mapping: the teacher's class -> the student's, names or numbers, instead of equal names; or the name of a table:
            "cityscapes-camvid", "ade20k-cityscapes", "ade20k-camvid".
        download: fetch what is not on this machine; without it nothing is.
        arguments: of the architecture, encoder_name="resnet18" say.
    Raises:
        FileNotFoundError, ValueError: no such file or name; an architecture without weights, which teaches nothing.

    >>> import tempfile, torch
    >>> import temporalkd as tkd
    >>> net, options = "segmentation_models_pytorch.FPN", dict(encoder_name="resnet18")
    >>> tkd.load_teacher(net, classes=3, **options)
    Traceback (most recent call last):
    ValueError: weights: missing, an untrained segmentation_models_pytorch.FPN cannot teach: give weights
    """
    name = str(source)
    library = name.partition(".")[0]
    names: Sequence[str] = ()
    if library in ("torchvision", "segmentation_models_pytorch", "transformers") and not Path(name).exists():
        if weights is None:
            raise ValueError(f"weights: missing, an untrained {name} cannot teach: give weights")
        if classes is None:
            raise ValueError("classes: missing, the number of outputs")
        made = build(ModelSpec(name, classes, arguments))
        load_weights(made.network, Path(weights))
        found = Segmenter(made.network, classes, made.roles, normalisation, input_size=made.input_size)
    elif is_source(name) or name.endswith(".onnx"):
        scale = None if normalisation is None else resolve(normalisation, nn.Identity())
        found, spec = open_network(name, "source", scale, download)
        names = spec.class_names
    else:
        found = load(source)
        names = found.spec.class_names if found.spec else ()
    freeze(found)
    if mapping is not None and onto is None:
        raise ValueError("onto: missing, the student's class names, which mapping leads to")
    return found if onto is None else mapped(found, names, onto, mapping, "mapping")  # type: ignore[arg-type]


def evaluate(
    systems: Segmenter | Run | Mapping[str, Segmenter],
    source: Name | Source | ClipSampler | Sequence[Source],
    *,
    flow: str | FlowEstimator = "raft_small",
    protocol: str | Sequence[str] = "visible",
    references: bool = True,
    ema: float | None = None,
    disturb: Sequence[DisturbanceKind] = (),
    perceptual: nn.Module | None = None,
    skip: int = 1,
) -> list[Row]:
    """Score networks on video: accuracy where there are labels, consistency and flips along the motion.

    Args:
        systems: a student, or name -> network; each a Segmenter.
        source: a video file, a folder of images, a Source or several, or a data set of `tkd.data`.
        flow: estimator or its name; "exact" for synthetic data's own motion.
        protocol: of the consistency, one of `tkd.metrics.PROTOCOLS`, or several.
        references: where all frames are labelled, add the ceiling, the floor and the constant map.
        ema: add each system's moving average with this decay.
        disturb: any of "noise", "jpeg", "blur", "motion", "exposure", "gamma": more rows, of each system on frames with
            each of these at three strengths; row.disturbance and row.strength say which.
        perceptual: an encoder whose features match the frames for row["perceptual"]: a network of `load_teacher`, say
            `load_teacher("timm:resnet18.a1_in1k")`, or any module, (N, 3, H, W) in [0, 1] -> (N, c, h, w).
        skip: compare frames t and t + skip.
    Returns:
        One Row a system and protocol; row["consistency"], row["miou"] and so on are percent.

    >>> import torch
    >>> import temporalkd as tkd
    >>> streets = tkd.data.Streets(count=1, length=3, size=(32, 48))
    >>> student = tkd.Segmenter(torch.nn.Conv2d(3, 9, 3, padding=1), classes=9, normalisation="none")
    >>> [row.system for row in tkd.evaluate(student, streets, flow="exact")]
    ['student', 'ceiling', 'floor', 'constant']
    """
    named = {"student": systems.student if isinstance(systems, Run) else systems}
    asked: Mapping[str, Any] = systems if isinstance(systems, Mapping) else named
    for name, system in asked.items():
        if not isinstance(system, Segmenter):
            raise ValueError(f"systems: {name!r} is a {type(system).__name__}, expected a Segmenter")
    first = next(iter(asked.values()))
    if isinstance(source, ClipSampler):
        sources: Sequence[Source] = source.sources
    elif isinstance(source, Source):
        sources = [source]
    else:
        sources = [open_frames(Path(source))] if isinstance(source, str | PathLike) else source
    estimator = _estimator(flow, first.device)
    with progress("evaluate") as tick:
        return score(
            sources,
            {name: network(system) for name, system in asked.items()},
            first.classes,
            {estimator.name if estimator else "exact": estimator},
            [protocol] if isinstance(protocol, str) else protocol,
            references=references,
            ema=ema,
            progress=tick,
            disturb=dict.fromkeys(asked, disturb),
            features=None if perceptual is None else features(perceptual, type(perceptual).__name__),
            skip=skip,
        )


def flicker_video(
    frames: Name | Source | Iterable[Tensor],
    systems: Mapping[str, Name | Iterable[Tensor]],
    out: Name,
    *,
    flow: Any = "raft_small",
    classes: int | Sequence[str] = 255,
    palette: Palette | None = None,
    fps: float | None = None,
    **options: Any,
) -> int:
    """Write the video in which flicker can be seen: systems side by side, pixels that flip along the motion in red.

    Args:
        frames: a video file, a folder of images, a Source, or (3, H, W) tensors, uint8 or in [0, 1].
        systems: name -> class maps, (H, W) each, as many as frames; or a folder of them. Up to four.
        out: the .mp4.
        flow: estimator or its name, or (forward, backward) of consecutive frames.
        classes: their number, or their names for the legend.
        palette: (C, 3) RGB; None: distinct colours.
        fps: None: the footage's, or 25.
        options: further ones of `temporalkd.visualization.flicker.flicker_frames`: scale, trail.
    Returns:
        Number of frames written.

    >>> import tempfile, torch
    >>> import temporalkd as tkd
    >>> frames, maps = torch.rand(3, 3, 64, 96), torch.randint(0, 4, (3, 64, 96))
    >>> tkd.flicker_video(frames, {"before": maps, "after": maps}, tempfile.mkdtemp() + "/flicker.mp4", flow="zero")
    3
    """
    footage = open_frames(Path(frames)) if isinstance(frames, str | PathLike) else frames
    device = "cuda" if torch.cuda.is_available() else "cpu"
    motion = _estimator(flow, torch.device(device)) if isinstance(flow, str) else flow
    names = [] if isinstance(classes, int) else list(classes)
    return render_flicker(
        footage.same_size_frames() if isinstance(footage, Source) else footage,
        {n: MapFolder(Path(maps)) if isinstance(maps, str | PathLike) else maps for n, maps in systems.items()},
        Path(out),
        flow=getattr(motion, "video", motion),
        palette=default_palette(len(names) or int(str(classes))) if palette is None else palette,
        classes=names,
        fps=fps or (footage.fps if isinstance(footage, Source) else 25),
        device=device if isinstance(flow, str | FlowEstimator) else "cpu",
        **options,
    )


def _estimator(flow: str | FlowEstimator, device: torch.device) -> Any:
    """An estimator on its device; None for "exact"."""
    if flow == "exact":
        return None
    return (build_flow(flow) if isinstance(flow, str) else flow).to(device)


def save(student: Segmenter, path: Path) -> None:
    """Write the weights, with NAME.json where the network was built by name, else with segmenter.json; see `load`.

    Args:
        path: NAME.safetensors, .pth or .pt.
    """
    if student.spec is not None:
        save_segmenter(student, student.spec, path, {})
        return
    settings = {
        "classes": student.classes,
        "roles": None if student.guessed else student.roles,
        "normalisation": vars(student.normalisation),
        "outputs": student.outputs.kind,
        "input_size": student.input_size,
    }
    write_whole(path, as_bytes(student.network.state_dict(), path))
    write_json(path.with_name(SETTINGS), settings)
