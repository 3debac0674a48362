import gc
import weakref

import pytest
import torch

from flow import ZeroFlow, build

from .conftest import Recorder, texture


def test_stays_frozen_inside_a_module_that_trains():
    estimator = build("zero")
    outer = torch.nn.Sequential(estimator).train()
    assert outer.training
    assert not estimator.training


def test_video_is_forward_on_consecutive_frames_with_each_encoded_once(recorder):
    frames = [texture(20, 30, dx=3 * t) for t in range(4)]
    pairs = list(recorder.video(frames))
    assert recorder.encoded == 4
    assert recorder.matched == 6
    for t, (forward, backward) in enumerate(pairs):
        assert torch.equal(forward, recorder(frames[t], frames[t + 1]))
        assert torch.equal(backward, recorder(frames[t + 1], frames[t]))
    assert len(pairs) == 3


def test_between_encodes_a_frame_once_however_many_pairs_it_is_in(recorder):
    frames = [texture(20, 30, dx=3 * t) for t in range(4)]
    found = recorder.between(frames, [(1, 0), (1, 3)])
    assert (recorder.encoded, recorder.matched) == (3, 4)
    for (a, b), (there, back) in zip([(1, 0), (1, 3)], found):
        assert torch.equal(there, recorder(frames[a], frames[b])) and torch.equal(back, recorder(frames[b], frames[a]))
    with pytest.raises(ValueError, match=r"frame 0 is \(1, 3, 20, 30\) but frame 1 is \(1, 3, 20, 29\)"):
        recorder.between([frames[0], frames[1][..., 1:]], [(0, 1)])


def test_video_holds_no_more_than_two_encodings():
    alive: weakref.WeakSet = weakref.WeakSet()
    counts = []

    class Watched(Recorder):
        def encode(self, frames):
            encoding = frames.clone()
            alive.add(encoding)
            counts.append(len(alive))
            return encoding

    assert sum(1 for _ in Watched().video(torch.rand(1, 3, 8, 8) for _ in range(12))) == 11
    assert max(counts) == 2
    gc.collect()
    assert len(alive) == 0


def test_fingerprint_names_what_was_computed_with():
    assert ZeroFlow().fingerprint == ZeroFlow().fingerprint
    assert ZeroFlow().fingerprint != Recorder().fingerprint
    assert build("dis").fingerprint == build("dis", preset="medium").fingerprint
    assert build("dis").fingerprint != build("dis", preset="fast").fingerprint


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: build("raft_smal"), "raft_smal.*did you mean 'raft_small'.*dis"),
        (lambda: build("farneback"), "farneback.*known: dis, raft_large, raft_small"),
        (
            lambda: build("raft_small", precison="bfloat16"),
            "precison.*did you mean 'precision'.*known: updates, precision",
        ),
        (lambda: build("dis", tolerance=0.02), "no setting 'tolerance'"),
        (lambda: build("dis", presets="fast"), "presets.*did you mean 'preset'"),
        (lambda: build("zero", updates=3), "updates.*known: none"),
        (lambda: build("dis", weights="x.pth"), "takes no weights.*x.pth"),
        (lambda: build("dis", preset="best"), "best.*ultrafast"),
    ],
)
def test_bad_settings_are_one_clear_error(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 6), r"\(1, 3, 4, 5\).*\(1, 3, 4, 6\)"),
        (torch.rand(3, 4, 5), torch.rand(3, 4, 5), r"\(3, 4, 5\)"),
        (torch.rand(1, 1, 4, 5), torch.rand(1, 1, 4, 5), r"\(1, 1, 4, 5\)"),
        (torch.rand(0, 3, 4, 5), torch.rand(0, 3, 4, 5), r"\(0, 3, 4, 5\)"),
        (torch.ones(1, 3, 4, 5).byte(), torch.ones(1, 3, 4, 5).byte(), "uint8"),
        (torch.rand(1, 3, 4, 5) * 255, torch.rand(1, 3, 4, 5) * 255, r"expected \[0, 1\]"),
    ],
)
def test_bad_frames_are_one_clear_error(source, target, words):
    with pytest.raises(ValueError, match=words):
        build("zero")(source, target)
