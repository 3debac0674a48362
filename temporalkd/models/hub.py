"""Networks in a folder with a model card, and on the Hugging Face Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from flow.atomic import write_whole
from temporalkd.models.hugging_face import folder_of
from temporalkd.models.segmenter import Segmenter
from temporalkd.models.sources import OWN
from temporalkd.models.weights import load_segmenter, save_segmenter
from temporalkd.paths import read_json

METRICS = {
    "miou": "mIoU",
    "boundary_iou": "boundary IoU",
    "consistency": "temporal consistency",
    "flip_rate": "flip rate",
}
"""Key of an evaluation -> what the card calls it; all in percent."""


def save_pretrained(
    segmenter: Segmenter, folder: str | Path, run: str | Path | None = None, licence: str | None = None
) -> None:
    """Write model.safetensors, model.json and README.md, a model card; see Segmenter.save_pretrained."""
    if segmenter.spec is None:
        raise ValueError(
            "save_pretrained: the network was not built by name, so it could not be built again from the folder"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_segmenter(segmenter, segmenter.spec, folder / OWN, {})
    write_whole(folder / "README.md", model_card(segmenter, folder.name, run, licence).encode())


def from_pretrained(name: str | Path, download: bool = False) -> Segmenter:
    """The network of a folder, or of a repository in the local cache; see Segmenter.from_pretrained."""
    folder = folder_of(str(name), download)
    if not (folder / OWN).is_file():
        raise FileNotFoundError(f"{folder}: no {OWN}; a network of transformers is tkd.load_teacher('hf:{name}')")
    segmenter, spec = load_segmenter(folder / OWN)
    segmenter.spec = spec
    return segmenter.eval()


def push_to_hub(
    segmenter: Segmenter, repository: str, run: str | Path | None, licence: str | None, private: bool
) -> str:
    """Upload what save_pretrained writes; see Segmenter.push_to_hub."""
    from huggingface_hub import HfApi

    hub = HfApi()
    hub.create_repo(repository, private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / repository.rpartition("/")[2]
        save_pretrained(segmenter, folder, run, licence)
        return str(hub.upload_folder(repo_id=repository, folder_path=folder))


def model_card(segmenter: Segmenter, name: str, run: str | Path | None = None, licence: str | None = None) -> str:
    """The text of README.md, of what is known: the network, and of a run its scores, data and version."""
    from huggingface_hub import EvalResult, ModelCardData

    spec = segmenter.spec
    assert spec is not None
    rows = _own_rows(Path(run)) if run is not None else []
    data = _validation_data(Path(run)) if run is not None else ""
    results = [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=data or "unknown",
            dataset_name=data or "unknown",
            metric_type=key,
            metric_value=row[key],
            metric_name=f"{METRICS[key]} ({row['protocol']})" if key == "consistency" else METRICS[key],
        )
        for row in rows[:1]
        for key in METRICS
        if row.get(key) is not None
    ]
    facts: dict[str, Any] = {"license": licence, "library_name": "temporalkd", "pipeline_tag": "image-segmentation"}
    if results:
        facts |= {"model_name": name, "eval_results": results}
    parameters = sum(p.numel() for p in segmenter.parameters())
    lines = [
        "---",
        ModelCardData(**facts).to_yaml().strip(),
        "---",
        f"# {name}",
        "",
        f"{spec.architecture}, {parameters / 1e6:.2f} M parameters, per-frame semantic segmentation of video.",
        "",
        f"Classes: {', '.join(spec.class_names) or segmenter.classes}.",
        "",
        *_table(rows, data),
        "```python",
        "import temporalkd as tkd",
        "",
        f'student = tkd.Segmenter.from_pretrained("OWNER/{name}", download=True)',
        "```",
        "",
        f"Licence: {licence or 'not stated'}.",
        "",
    ]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]], data: str) -> list[str]:
    """Scores in percent with their 95 % intervals, a row for each protocol."""
    if not rows:
        return []
    known = [key for key in METRICS if any(row.get(key) is not None for row in rows)]
    lines = [
        f"Scores on {data or 'its validation data'}, percent, with 95 % intervals:",
        "",
        f"| protocol | flow | frames | {' | '.join(METRICS[key] for key in known)} |",
        f"|---|---|---|{'---|' * len(known)}",
    ]
    for row in rows:
        values = [_value(row, key) for key in known]
        lines.append(f"| {row['protocol']} | {row['flow']} | {row['frames']} | {' | '.join(values)} |")
    return [*lines, ""]


def _value(row: dict[str, Any], key: str) -> str:
    if row.get(key) is None:
        return ""
    low_high = row.get("intervals", {}).get(key)
    return f"{row[key]:.2f}" + (f" ({low_high[0]:.2f} to {low_high[1]:.2f})" if low_high else "")


def _own_rows(run: Path) -> list[dict[str, Any]]:
    path = run / "evaluation.json"
    return [row for row in read_json(path)["results"] if row["system"] == "student"] if path.is_file() else []


def _validation_data(run: Path) -> str:
    """The data set's name in the run's config."""
    import yaml

    path = run / "config.yaml"
    section = (yaml.safe_load(path.read_text("utf-8")).get("data") or {}) if path.is_file() else {}
    return str((section.get("val") or section.get("train") or {}).get("dataset", ""))
