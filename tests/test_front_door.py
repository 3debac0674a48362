"""A person with a module, a teacher and frames, without a config: the front door from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.io import write_png

import temporalkd as tkd
from tests import tiny

ROOT = Path(__file__).parents[1]
CLASSES = 3


class Net(nn.Module):
    """Somebody's own: stride 4, a dict."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, width, 5, 2, 2), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU())
        self.last = nn.Conv2d(width, CLASSES, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": F.interpolate(self.last(self.trunk(x)), x.shape[2:], mode="bilinear")}


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """Eight frames of two squares, one that moves to the right, and their labels."""
    for folder in ("frames", "labels"):
        (tmp_path / folder).mkdir()
    for t in range(8):
        labels = torch.zeros(48, 64, dtype=torch.uint8)
        labels[8:24, 4 + 4 * t : 20 + 4 * t] = 1
        labels[28:44, 20:40] = 2
        colours = torch.tensor([[60, 60, 60], [220, 40, 40], [40, 200, 90]])
        frame = colours[labels.long()].permute(2, 0, 1) + torch.randint(-20, 21, (3, 48, 64))
        write_png(frame.clamp(0, 255).byte(), str(tmp_path / "frames" / f"{t}.png"))
        write_png(labels[None], str(tmp_path / "labels" / f"{t}.png"))
    return tmp_path


def test_the_sketch_end_to_end(footage: Path) -> None:
    net = Net()
    student = tkd.Segmenter(net, classes=CLASSES, normalisation="imagenet")
    teacher = tkd.Segmenter(Net(16), classes=CLASSES, normalisation="imagenet")
    clips = tkd.data.ImageFolder(footage / "frames", footage / "labels", frames=3)
    tkd.train(tkd.methods.baseline(teacher), clips, steps=25, out=footage / "teacher", lr=1e-2, accelerator="cpu")

    method = tkd.methods.etc(student, teacher, flow="dis")
    run = tkd.train(method, clips, steps=15, out=footage / "etc", lr=1e-2, batch=2, accelerator="cpu")
    assert run.log[-1]["cross_entropy"] < run.log[0]["cross_entropy"]
    assert (run.folder / "student.safetensors").is_file() and method.parameters()

    again = tkd.load(run.folder, into=Net())
    frames = torch.stack([frame.float() / 255 for frame in clips.sources[0].frames()])
    torch.testing.assert_close(again(frames).logits, run.student(frames).logits)
    assert again.normalisation == student.normalisation

    optimiser = torch.optim.Adam(method.parameters(), 1e-2)
    losses = []
    for _ in range(4):
        for clip in DataLoader(clips, batch_size=2, collate_fn=tkd.data.collate):
            out = method.training_step(clip.frames, clip.labels[:, clip.anchor])
            out.loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(out.loss.item())
    assert sum(losses[-3:]) < sum(losses[:3])

    maps_a, maps_b = (network(frames).logits.argmax(1) for network in (teacher, student))
    consistency = tkd.metrics.TemporalConsistency(classes=CLASSES)
    still = torch.zeros(len(frames) - 1, 2, *frames.shape[2:])
    consistency.update(maps_b[:-1], maps_b[1:], still, still)
    assert 0 < consistency.compute() <= 1
    assert tkd.flicker_video(frames, {"before": maps_a, "after": maps_b}, footage / "flicker.mp4", flow="zero") == 8
    rows = tkd.evaluate({"student": student, "teacher": teacher}, clips, flow="dis")
    assert [row.system for row in rows[:2]] == ["student", "teacher"]
    assert all(row["consistency"] is not None for row in rows)
    miou = rows[0]["miou"]
    assert miou is not None and miou > 40


def test_any_iterable_of_batches_trains(tmp_path: Path) -> None:
    student = tkd.Segmenter(Net(), classes=CLASSES, normalisation="none")
    batches = [(torch.rand(2, 2, 3, 32, 32), torch.randint(0, CLASSES, (2, 32, 32))) for _ in range(2)]
    method = tkd.methods.kd(student, tkd.Segmenter(Net(), classes=CLASSES, normalisation="none"))
    run = tkd.train(method, batches, steps=5, out=tmp_path / "run", accelerator="cpu")
    assert run.log[-1]["step"] == 5
    with pytest.raises(FileExistsError, match="already holds a run: resume=True"):
        tkd.train(method, batches, steps=5, out=tmp_path / "run", accelerator="cpu")
    assert (
        tkd.train(method, batches, steps=7, out=tmp_path / "run", resume=True, accelerator="cpu").log[-1]["step"] == 7
    )
    with pytest.raises(ValueError, match="clips: ended after 2 of 5 batches"):
        tkd.train(method, iter(batches), steps=5, out=tmp_path / "short", accelerator="cpu")
    with pytest.raises(ValueError, match="batch: 3, but the iterable"):
        tkd.train(method, batches, steps=5, batch=3, out=tmp_path / "short")
    with pytest.raises(ValueError, match=r"no option 'learning_rate'.*lr"):
        tkd.train(method, batches, learning_rate=1.0, out=tmp_path / "short")


def test_resumed_training_of_own_data_is_exact(tmp_path: Path) -> None:
    clips = tkd.data.Streets(count=1, length=6, size=tiny.SIZE, gaps=(1, 1))

    def run(folder: str, steps: int, resume: bool = False) -> dict[str, Tensor]:
        method = tkd.methods.kd(tiny.segmenter(seed=1), tiny.segmenter(seed=2))
        plan = {"schedule": "constant", "batch": 1, "accelerator": "cpu", "resume": resume}
        return tkd.train(method, clips, steps, tmp_path / folder, **plan).student.state_dict()  # type: ignore[arg-type]

    whole = run("whole", 4)
    run("parts", 2)
    parts = run("parts", 4, resume=True)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_registered_network_comes_back_by_name(tmp_path: Path) -> None:
    method = tkd.methods.baseline(tiny.segmenter())
    clips = tkd.data.Streets(count=1, length=4, size=tiny.SIZE, gaps=(1, 1))
    run = tkd.train(method, clips, steps=1, out=tmp_path / "run", batch=1, accelerator="cpu")
    assert (run.folder / "student.json").is_file()
    frames = torch.rand(1, 3, *tiny.SIZE)
    torch.testing.assert_close(tkd.load(run)(frames).logits, run.student(frames).logits)
    teacher = tkd.load_teacher(run.folder)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_load_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no trained student"):
        tkd.load(tmp_path)
    student = tkd.Segmenter(Net(), classes=CLASSES, normalisation="none")
    batches = [(torch.rand(1, 1, 3, 32, 32), torch.zeros(1, 32, 32, dtype=torch.long))]
    run = tkd.train(tkd.methods.baseline(student), batches, steps=1, out=tmp_path / "run", accelerator="cpu")
    with pytest.raises(FileNotFoundError, match="into=network"):
        tkd.load(run)
    with pytest.raises(ValueError, match="another architecture"):
        tkd.load(run, into=Net(width=4))
    with pytest.raises(ValueError, match="classes: missing"):
        tkd.load_teacher("torchvision.lraspp_mobilenet_v3_large", weights=run.folder / "student.safetensors")


def test_folders_of_folders_are_scenes(footage: Path) -> None:
    for kind in ("frames", "labels"):
        for scene in ("a", "b"):
            (footage / "scenes" / kind / scene).mkdir(parents=True)
            for file in (footage / kind).iterdir():
                (footage / "scenes" / kind / scene / file.name).write_bytes(file.read_bytes())
    (footage / "scenes" / "labels" / "b" / "3.png").unlink()
    clips = tkd.data.ImageFolder(footage / "scenes" / "frames", footage / "scenes" / "labels", gaps=(1, 1))
    assert [len(source.labelled) for source in clips.sources] == [8, 7]
    assert len(tkd.data.ImageFolder(footage / "frames", frames=1)) == 8


def test_door_opens_without_torch() -> None:
    code = (
        "import sys, temporalkd as tkd\n"
        "assert {'Segmenter', 'train', 'methods', 'losses'} <= set(dir(tkd))\n"
        "assert not [name for name in ('torch', 'numpy', 'cv2', 'pydantic') if name in sys.modules]\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert tkd.losses.PixelKL and tkd.methods.etc and tkd.data.ImageFolder and tkd.Segmenter
    with pytest.raises(AttributeError, match=r"no attribute 'trian', it has: .*train"):
        _ = tkd.trian
