"""Configs: how files are joined, what is said of mistakes, and that those in configs/ run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from torchvision.models.optical_flow import raft_small

import flow as optical_flow
from flow import raft
from flow.raft import Raft
from temporalkd.config import Config, ConfigError, build, dump, explain, load, parse
from temporalkd.config.build.motion import cached_estimate, live_estimator
from temporalkd.config.yaml_io import parse_yaml
from temporalkd.data.street import Street
from temporalkd.data.video import VideoFile
from temporalkd.methods import RAMP, Ramp
from temporalkd.visualization import VideoWriter
from tests import tiny
from tests.properties import few, given, st

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
BASE = """\
name: base
data:
  train: {dataset: street, count: 7, seed: 5}
  frames: 1
  crop: [40, 48]
student: {architecture: "tests.tiny:tiny", arguments: {width: 6, dropout: 0.1}}
method: {name: kd, pixel: 2.0}
training: {steps: 30, batch: 3}
"""


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT / "configs"))


def write(folder: Path, text: str, name: str = "c.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def complaint(folder: Path, text: str, *overrides: str) -> str:
    """What is said of this config; one line that begins with the file."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as error:
        load(path, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_extends_joins_sections_and_the_file_wins(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base.yaml")
    child = "extends: base.yaml\nname: child\ndata: {frames: 2}\ntraining: {batch: 5}\n"
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", "extends: ../child.yaml\ntraining: {lr: 0.5}\n", "grandchild.yaml")
    write(tmp_path, child, "child.yaml")
    config = load(tmp_path / "sub" / "grandchild.yaml")
    assert (config.name, config.data.frames, config.data.crop) == ("child", 2, (40, 48))
    assert (config.training.steps, config.training.batch, config.training.lr) == (30, 5, 0.5)
    assert config.data.train.seed == 5  # type: ignore[union-attr]
    assert config.student.arguments == {"width": 6, "dropout": 0.1}


def test_another_kind_replaces_the_section(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base.yaml")
    text = (
        "extends: base.yaml\ndata: {train: {dataset: camvid, split: val}}\n"
        'student: {architecture: "torchvision.lraspp_mobilenet_v3_large"}\nmethod: {name: etc}\n'
    )
    config = load(write(tmp_path, text))
    train = config.data.train
    assert train.model_dump(exclude_defaults=True) == {"split": "val"} and train.dataset == "camvid"
    assert config.student.arguments == {} and config.method.pixel == 1.0  # type: ignore[union-attr]
    same_kind = load(write(tmp_path, "extends: base.yaml\nmethod: {name: kd, tau: 3}\n"))
    assert (same_kind.method.pixel, same_kind.method.tau) == (2.0, 3.0)  # type: ignore[union-attr]


def test_set_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    config = load(
        path,
        ["training.lr=1e-4", "data.crop=[24, 32]", "data.val={dataset: street, count: 1}", "name=a=b", "flow.kind=dis"],
    )
    assert config.training.lr == 1e-4 and config.data.crop == (24, 32) and config.name == "a=b"
    assert config.data.val is not None and config.data.val.count == 1  # type: ignore[union-attr]
    assert config.flow is not None and config.flow.kind == "dis"
    assert load(path, ["data.crop=null"]).data.crop is None
    assert load(path, ["training.batch=1", "training.batch=8"]).training.batch == 8, "the last one wins"


@pytest.mark.parametrize("override", ["training.steps", "=5", "training..steps=5", ".steps=5", ""])
def test_set_that_is_no_assignment(tmp_path: Path, override: str) -> None:
    assert "expected key.sub=value" in complaint(tmp_path, BASE, override)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("training.stesp=3", ["unknown key training.stesp", "did you mean steps"]),
        ("trainign.steps=3", ["unknown key trainign", "did you mean training"]),
        ("method.pixl=3", ["unknown key method.pixl", "did you mean pixel"]),
        ("method.tau=warm", ["method.tau", "number", "'warm'"]),
        ("training.steps=many", ["training.steps", "integer", "'many'"]),
        ("training.steps=0", ["training.steps", "greater than 0", "got 0"]),
        ("training.lr=-1", ["training.lr", "greater than 0", "got -1"]),
        ("training.precision=16", ["training.precision", "'32-true', 'bf16-mixed' or '16-mixed'", "16"]),
        ("training.devices=0", ["training.devices", "got 0"]),
        ("data.frames=4", ["data.frames", "1, 2 or 3", "got 4"]),
        ("data.gaps=3", ["data.gaps", "got 3"]),
        ("data.jitter=1.5", ["data.jitter", "less than 1", "1.5"]),
        ("data.train.dataset=cityscape", ["data.train", "'cityscape'", "camvid"]),
        ("data.train.count=-2", ["data.train.count", "-2"]),
        ("data.train.size=[0, 9]", ["data.train.size"]),
        ("method.name=ect", ["method", "'ect'", "etc"]),
        ("method={pixel: 1}", ["method.name", "missing"]),
        ("data.train={count: 3}", ["data.train.dataset", "missing"]),
        ("data=3", ["data", "keys and values", "got 3"]),
        ("student.roles=[a]", ["student.roles", "['a']"]),
        ("flow.kind=raft", ["flow.kind", "raft_small", "'raft'"]),
        ("flow.precision=half", ["flow.precision", "bfloat16", "'half'"]),
        ("flow.tolerance=-1", ["flow.tolerance", "-1"]),
        ("evaluation.protocols=[all]", ["evaluation.protocols", "visible", "'all'"]),
    ],
)
def test_mistakes_name_key_value_and_what_was_expected(tmp_path: Path, change: str, words: list[str]) -> None:
    message = complaint(tmp_path, BASE, change)
    assert message.startswith(str(tmp_path / "c.yaml"))
    for word in words:
        assert word in message, message


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    assert "student: missing" in complaint(tmp_path, BASE.replace("student:", "# "))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    message = complaint(tmp_path, BASE, "training.steps=x", "data.frames=9", "seeed=1")
    assert all(word in message for word in ("training.steps", "data.frames", "seeed", "did you mean seed"))


def test_extends_that_goes_round_or_nowhere(tmp_path: Path) -> None:
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    write(tmp_path, "extends: a.yaml\n", "b.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml: extends itself"):
        load(tmp_path / "a.yaml")
    assert "extends itself" in complaint(tmp_path, "extends: c.yaml\n")
    assert "expected a file name, got 3" in complaint(tmp_path, "extends: 3\n")
    message = complaint(tmp_path, "extends: base.yml\n")
    assert "no config file" in message and "base.yml" in message and "a.yaml" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: [a\ndata: 3\n", "not valid YAML"),
        (b"name: !!python/object/apply:os.system [true]\n", "not valid YAML"),
        (b"\t- x: :\n", "not valid YAML"),
        (b"- a\n- b\n", "expected keys and values, found list"),
        (b"just text\n", "expected keys and values, found str"),
        (b"", "an empty file"),
        (b"\xff\xfe\x00name", "not a text file"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as error:
        load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, BASE, "base.yaml")
    with pytest.raises(ConfigError, match=r"no config file .*bse\.yaml, in its folder are .*base\.yaml"):
        load(tmp_path / "bse.yaml")
    with pytest.raises(ConfigError, match=r"no config file .*nowhere"):
        load(tmp_path / "nowhere" / "c.yaml")


FULL = {
    "data": {
        "train": {"dataset": "import", "import": "a.b:c", "options": {"x": [1, {"y": None}]}},
        "unlabelled": {"dataset": "video", "path": "drive.mp4"},
        "val": {"dataset": "folder", "images": "i", "labels": "l", "class_names": ["sky", "no"]},
        "scale": [0.5, 2],
    },
    "method": {
        "name": "import",
        "import": "m:n",
        "class_weight": [1, 2.5],
        "terms": [{"term": "pixel_kl"}, {"import": "t:u", "name": "mine", "weight": 3, "ramp": True}],
    },
    "teacher": {"weights": "t.safetensors", "roles": {"low": ["a", "<b[1]"]}},
    "flow": {"kind": "dis", "cached": True},
}


def test_the_decoder_reaches_every_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for frame in Street(seed=0, length=6, size=(32, 48)).frames():
            writer.write(frame)
    named = {"dataset": "video", "path": str(tmp_path / "a.mp4")}
    values = tiny.config(tmp_path, "kd")
    values["data"] |= {"decoder": "decord", "unlabelled": named}
    config = parse(values, "test")
    source = build.sampler(config, build.training_footage(config)).sources[-1]
    assert isinstance(source, VideoFile) and source.decoder == "decord"
    values["data"]["train"] = named
    (source,) = build.training_footage(parse(values, "test")).sources
    assert isinstance(source, VideoFile) and source.decoder == "decord"
    values["data"]["decoder"] = "opencv"
    with pytest.raises(ConfigError, match=r"data\.decoder.*torchcodec"):
        parse(values, "test")


def test_ramps_of_own_and_further_terms(tmp_path: Path) -> None:
    values = tiny.config(tmp_path, "etc")
    terms = [{"term": "semantic_consistency", "ramp": True}, {"term": "attention", "ramp": {"start": 0.5, "end": 1}}]
    values["method"] |= {"ramps": {"motion_consistency": {"start": 0.3, "end": 0.8}, "pixel_kl": {}}, "terms": terms}
    config = parse(values, "test")
    data = build.training_footage(config)
    student, _ = build.model(config.student, "student", data)
    built = build.method(config, student, build.teacher(config, data), data).terms
    assert {name: w.ramp for name, w in built.items() if w.ramp} == {
        "motion_consistency": Ramp(0.3, 0.8),
        "pixel_kl": RAMP,
        "inter_affinity": RAMP,
        "recurrent_dependency": RAMP,
        "semantic_consistency": RAMP,
        "attention": Ramp(0.5, 1.0),
    }
    values["method"]["ramps"] = {"motion": {}}
    with pytest.raises(
        ConfigError, match=r"method\.ramps: unknown term 'motion', expected one of cross_entropy, pixel_kl"
    ):
        config = parse(values, "test")
        build.method(config, student, build.teacher(config, data), data)
    values["method"]["ramps"] = {"pixel_kl": {"start": 0.8, "end": 0.3}}
    with pytest.raises(ConfigError, match=r"method\.ramps\.pixel_kl: expected start is not larger than end"):
        parse(values, "test")


@pytest.mark.parametrize("values", [{}, FULL], ids=["small", "full"])
def test_what_show_prints_is_the_same_config(tmp_path: Path, values: dict[str, Any]) -> None:
    config = parse(yaml.safe_load(BASE) | values, "test")
    text = dump(config)
    assert load(write(tmp_path, text)) == config and dump(load(tmp_path / "c.yaml")) == text
    assert yaml.safe_load(text)["training"]["schedule"] == "poly", "defaults are written out"


@pytest.mark.parametrize("path", CONFIGS, ids=ids)
def test_every_config_passes_check(path: Path) -> None:
    config = load(path)
    assert isinstance(config, Config) and parse(yaml.safe_load(dump(config)), "again") == config
    assert config.data.val is not None, "a training that is scored by nothing teaches nothing"


def test_settings_of_the_flow_reach_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live and cached alike; what another kind has not is refused by name."""
    state = raft_small().state_dict()
    monkeypatch.setattr(raft, "load_weights", lambda *_: state)
    path = tmp_path / "c.yaml"
    path.write_text(BASE)
    chosen = ["flow.updates=3", "flow.precision=bfloat16", "flow.tolerance=0.5"]
    network = live_estimator(load(path, ["flow.kind=raft_small", *chosen]))
    assert isinstance(network, Raft)
    assert (network.updates, network.precision, network.tolerance) == (3, "bfloat16", 0.5)
    plain = live_estimator(load(path, ["flow.kind=raft_small"]))
    assert plain is not None and plain.fingerprint == optical_flow.build("raft_small").fingerprint
    with pytest.raises(ValueError, match="'dis' has no setting 'updates'"):
        cached_estimate(load(path, ["flow.kind=dis", "flow.cached=true", chosen[0]]))


keys = st.sampled_from(["name", "seed", "data", "train", "size", "student", "training", "lr", "steps", "flow"])
overrides = st.builds(lambda path, value: f"{'.'.join(path)}={value}", st.lists(keys | st.text(max_size=5)), st.text())


@few
@given(words=st.lists(overrides | st.text(max_size=20), max_size=3))
def test_overrides_give_a_config_or_one_line(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(tiny.config(tmp_path)))
    try:
        assert isinstance(load(path, words), Config)
    except ConfigError as error:
        assert "\n" not in str(error)


@few
@given(text=st.text() | st.text("[]{}:,&*!?|>-'\"%@ \n\tab01.~<="))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    try:
        parse_yaml(text, "text")
    except ConfigError as error:
        assert str(error).startswith("text: ") and "\n" not in str(error)


def test_a_key_of_an_earlier_version_says_what_replaces_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(explain.OLD_KEYS, "training.iterations", "training.iterations is now training.steps")
    message = complaint(tmp_path, BASE, "training.iterations=7")
    assert message == f"{tmp_path / 'c.yaml'}: training.iterations is now training.steps"
    for old, sentence in explain.OLD_KEYS.items():
        assert sentence.startswith(f"{old} ")
