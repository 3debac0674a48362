"""From a network and recordings to the same network, steadier, with what it was judged by."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from temporalkd.console import say
from temporalkd.experiments import api
from temporalkd.experiments.lock import run_lock
from temporalkd.experiments.run_directory import has_checkpoint
from temporalkd.experiments.stabilize import report
from temporalkd.experiments.stabilize.job import Job
from temporalkd.experiments.stabilize.options import Options
from temporalkd.experiments.stabilize.recordings import Video, choose, open_recording
from temporalkd.models import MappedClasses, Segmenter, freeze
from temporalkd.models.normalisation import Given
from temporalkd.training import Runtime

STEADY = "steady.safetensors"
SUFFIXES = (".safetensors", ".pth", ".pt")


@dataclass
class Stabilized:
    """What `stabilize` leaves.

    Args:
        folder: report.md, results.json, flicker.mp4, the log and the checkpoints.
        weights: the file of the steady network.
        network: in eval mode; `network.network` is the module itself. The original where `kept` is false.
        kept: whether training made it steadier and it still agrees with the original.
        reason: what decided that, a sentence.
        results: system -> numbers, percent, of "before" and "after", or "rejected candidate" where `kept` is false.
        mix: share of the trained weights in what is compared.
    """

    folder: Path
    weights: Path
    network: Segmenter
    kept: bool
    reason: str
    results: dict[str, dict[str, Any]]
    mix: float

    @property
    def table(self) -> list[str]:
        """Before and after, as the lines of a markdown table."""
        spec = self.network.spec
        return report.lines(self.results, spec.class_names if spec else ())


def stabilize(
    net: nn.Module | str | PathLike[str],
    videos: Video | Sequence[Video],
    *,
    teacher: Segmenter | MappedClasses | str | PathLike[str] | None = None,
    out: str | PathLike[str] = "runs/steady",
    classes: int | None = None,
    normalisation: Given | None = None,
    outputs: Any = "logits",
    input_size: Sequence[int] | None = None,
    keep: Sequence[Video] = (),
    labels: str | PathLike[str] | None = None,
    mend: str | PathLike[str] | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    film: bool = True,
    tell: Callable[[str], None] = say,
    **options: Any,
) -> Stabilized:
    """Make a segmentation network steady on the video of a camera, without labels.

    The network is taught by its own prediction, averaged over mirrored and resized views of each frame, while it sees
    the frame cropped, resized and disturbed as a camera does. What comes back is the same network with other weights:
    per frame, without memory, as fast as before. The network given is not changed.

    Args:
        net: any module that segments frames, a Segmenter, or what `load` takes: a run's folder or a file of weights.
        videos: a video file, a folder of frames, a Source, or several of them.
        teacher: a larger network of the same classes, or what `load_teacher` takes. The network is then taught by the
            mean of both networks' views.
        out: NAME.safetensors, .pth or .pt, beside which NAME.run/ is written; or a folder, which gets both.
        classes, normalisation, outputs, input_size: of a module that is no Segmenter, see `Segmenter`.
        keep: further stills or footage, on which the network is to answer as it does now.
        labels: folder of class maps of the (first) folder of frames, for the report alone.
        mend: a folder: all frames are used, none is held out, and the class maps of the recordings are written there.
        resume: go on with the run in `out`.
        accelerator: "cpu", "gpu" or "auto".
        film: write the flicker video.
        tell: where lines for people go.
        options: further fields of `temporalkd.experiments.stabilize.Options`: steps, minutes, mix, size, max_frames,
            seed, flow_passes, motion, ...
    Raises:
        ValueError: an ONNX file, which cannot be trained; an unknown option.
        FileExistsError: `out` holds a run and `resume` is not set.
        KeyboardInterrupt: before the first step is done; later the best so far is returned.
    Source:
        The mean of the weights before and after: Wortsman et al., CVPR 2022 (WiSE-FT). The recipe [ours].

    >>> import tempfile, torch
    >>> import temporalkd as tkd
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 1))
    >>> camera = tkd.data.Streets(count=1, length=6, size=(48, 64)).sources[0]
    >>> folder = tempfile.mkdtemp() + "/steady"
    >>> settings = {"classes": 3, "normalisation": "none", "steps": 2, "flow": "dis", "film": False}
    >>> steady = tkd.stabilize(net, camera, out=folder, tell=lambda line: None, **settings)
    >>> steady.weights.name, sorted(steady.results)
    ('steady.safetensors', ['after', 'before'])
    """
    settings = Options.given(options, "stabilize")
    if mend is not None:
        settings = settings.model_copy(update={"max_frames": 10**9})
    original = freeze(_segmenter(net, classes, normalisation, outputs, input_size))
    assert isinstance(original, Segmenter)
    weights = Path(out) if Path(out).suffix else Path(out) / STEADY
    if weights.suffix not in SUFFIXES:
        raise ValueError(f"out: {out}: expected a name that ends in {', '.join(SUFFIXES)}, or a folder")
    folder = weights.with_suffix(".run") if Path(out).suffix else Path(out)
    several = [videos] if isinstance(videos, str | PathLike) or not isinstance(videos, Sequence) else videos
    larger = _teacher(teacher, original)
    recordings = [open_recording(v, labels if n == 0 else None) for n, v in enumerate(several)]
    runtime = Runtime(accelerator)
    for network in filter(None, (original, larger)):
        network.to(runtime.device)
    with run_lock(folder):
        if not resume and (has_checkpoint(folder) or weights.exists()):
            raise FileExistsError(f"{weights}: already there, or its run is: resume it, or name another file")
        job = Job(original, larger, settings, folder, runtime, tell)
        tell(job.size_told)
        footage = choose(recordings, job.size, settings.max_frames, hold_out=mend is None)
        tell(f"uses {footage.describe()}")
        others = choose([open_recording(v) for v in keep], job.size, settings.max_frames, hold_out=False).used
        verdict = job.train(footage, others, resume)
        tell(verdict.reason)
        result = verdict.candidate if verdict.kept else original
        api.save(result, weights)
        results = job.report(footage, verdict, film)
        if mend is not None:
            _mend(result, recordings, Path(mend), job.size, tell)
    return Stabilized(folder, weights, result, verdict.kept, verdict.reason, results, verdict.share)


def _segmenter(net: Any, classes: int | None, normalisation: Any, outputs: Any, input_size: Any) -> Segmenter:
    """The network as a Segmenter of its own."""
    if isinstance(net, str | PathLike):
        if Path(net).suffix == ".onnx":
            raise ValueError(
                f"{net}: an ONNX file cannot be trained: give the network that it was exported from, or distil it "
                "into a student (docs/stabilize.md)"
            )
        return api.load(net)
    if isinstance(net, Segmenter):
        return net.clone()
    if classes is None:
        raise ValueError("classes: missing, the number of outputs of the network")
    return Segmenter(copy.deepcopy(net), classes, None, normalisation, outputs=outputs, input_size=input_size)


def _teacher(teacher: Any, original: Segmenter) -> Segmenter | MappedClasses | None:
    """The larger network, frozen, its classes in the order of the original's."""
    if teacher is None:
        return None
    names = original.spec.class_names if original.spec else None
    found = api.load_teacher(teacher, onto=names or None) if isinstance(teacher, str | PathLike) else teacher
    if found.classes != original.classes:
        raise ValueError(f"teacher: it has {found.classes} classes, the network {original.classes}")
    return freeze(found)  # type: ignore[return-value]


def _mend(segmenter: Segmenter, recordings: Sequence[Any], folder: Path, longest: int, tell: Callable) -> None:
    for source in recordings:
        place = folder if len(recordings) == 1 else folder / source.name
        tell(f"wrote {report.write_maps(segmenter, source, place, longest)} class maps to {place}")
