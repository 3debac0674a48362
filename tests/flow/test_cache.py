import hashlib
import multiprocessing
import os
import time
import warnings

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torchvision.models import optical_flow

from flow import FlowCache, LazyFrame, visible
from flow.raft import Raft
from flow.store import Store

from .conftest import Recorder, texture

A, B, C = texture(20, 30), texture(20, 30, dx=3), texture(20, 30, dy=5)


def files(cache):
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


def test_computes_once_then_serves(tmp_path, recorder):
    cache = FlowCache(tmp_path)
    first = cache.flow(recorder, A, B)
    again = cache.flow(recorder, A.clone(), B.clone())
    assert recorder.matched == 1
    assert (cache.hits, cache.misses) == (1, 1)
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    assert torch.equal(first, recorder(A, B).half().float())


def test_a_second_object_finds_what_the_first_wrote(tmp_path, recorder):
    FlowCache(tmp_path).both(recorder, A, B)
    later = FlowCache(tmp_path)
    forward, backward = later.both(recorder, A, B)
    assert (later.hits, later.misses) == (2, 0)
    assert torch.equal(forward, recorder(A, B).half().float())
    assert torch.equal(backward, recorder(B, A).half().float())


def test_the_key_is_content_direction_size_and_estimator(tmp_path, recorder):
    cache = FlowCache(tmp_path)
    cache.flow(recorder, A, B)
    for source, target in ((B, A), (A, C), (A.mT, B.mT), (A.reshape(1, 3, 30, 20), B.reshape(1, 3, 30, 20))):
        misses = cache.misses
        cache.flow(recorder, source, target)
        assert cache.misses == misses + 1
    cache.flow(Recorder("another"), A, B)
    assert cache.misses == 6
    cache.flow(recorder, A + 0.1 / 255 * (A < 0.9), B)  # the same 8-bit picture, up to rounding at the halves
    assert cache.misses + cache.hits == 7


def test_video_encodes_only_what_is_missing(tmp_path, recorder):
    frames = [texture(20, 30, dx=2 * t) for t in range(6)]
    expected = [(f.half().float(), b.half().float()) for f, b in recorder.video(frames)]
    cache = FlowCache(tmp_path)
    for _ in range(2):
        pairs = list(cache.video(recorder, iter(frames)))
        assert all(torch.equal(x, y) for pair, truth in zip(pairs, expected) for x, y in zip(pair, truth))
        assert len(pairs) == 5
    assert (cache.hits, cache.misses) == (10, 10)
    files(cache)[0].unlink()
    recorder.encoded = 0
    assert len(list(cache.video(recorder, iter(frames)))) == 5
    assert recorder.encoded == 2


class Joint(Recorder):
    """Counts the pairs that were computed together."""

    joined = 0

    def both(self, source, target):
        self.joined += 1
        return super().both(source, target)


@pytest.mark.parametrize("asked_before", [[], [(A, B)], [(B, A)], [(A, B), (B, A)]], ids=len)
def test_both_are_computed_together_only_where_both_are_missing(tmp_path, asked_before):
    estimator, cache = Joint(), FlowCache(tmp_path)
    for pair in asked_before:
        cache.flow(estimator, *pair)
    estimator.encoded = 0
    there, back = cache.both(estimator, A, B)
    assert estimator.joined == (not asked_before) and estimator.matched == 2
    assert estimator.encoded == (0 if len(asked_before) == 2 else 2)
    assert (cache.hits, cache.misses) == (len(asked_before), 2)
    assert torch.equal(there, estimator(A, B).half().float()) and torch.equal(back, estimator(B, A).half().float())


def test_raft_does_not_depend_on_what_was_cached_before(tmp_path):
    torch.manual_seed(0)
    estimator = Raft("raft_small", optical_flow.raft_small().state_dict(), updates=3)
    frames = [texture(128, 131, dx=2 * t, dy=t) for t in range(3)]
    fresh = list(FlowCache(tmp_path / "fresh").video(estimator, frames))
    warm = FlowCache(tmp_path / "warm")
    warm.flow(estimator, frames[1], frames[0])
    assert torch.equal(warm.both(estimator, *frames[:2])[0], fresh[0][0])
    for pair, again in zip(fresh, warm.video(estimator, frames), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(pair, again))
    assert (warm.hits, warm.misses) == (3, 4)


def lazily(frame, loads):
    """The frame as a file would give it: known by a digest, counted when it is decoded."""

    def load():
        loads.append(frame)
        return frame

    return LazyFrame(hashlib.sha256(frame.numpy().tobytes()).hexdigest(), tuple(frame.shape[-2:]), load)


def test_motion_found_on_disk_decodes_no_frame_and_reads_no_backward_flow(tmp_path, recorder):
    frames = [texture(20, 30, dx=t) for t in range(4)]
    loads: list[torch.Tensor] = []
    cache = FlowCache(tmp_path)
    first = list(cache.motion(recorder, [lazily(f, loads) for f in frames]))
    assert len(loads) == 4 and (cache.hits, cache.misses) == (0, 6)
    again = FlowCache(tmp_path)
    second = list(again.motion(recorder, [lazily(f, loads) for f in frames]))
    assert len(loads) == 4 and (again.hits, again.misses) == (3, 0)
    for (forward, seen), (same, also), a, b in zip(first, second, frames, frames[1:]):
        there, back = (recorder(x, y).half().float() for x, y in ((a, b), (b, a)))
        assert torch.equal(forward, there) and torch.equal(same, there)
        assert torch.equal(seen, visible(there, back)) and torch.equal(also, seen)


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "swapped", "unsigned", "folder"])
def test_an_unusable_file_is_computed_again_with_one_line(tmp_path, recorder, damage):
    cache = FlowCache(tmp_path)
    expected = cache.flow(recorder, A, B)
    (path,) = files(cache)
    content = path.read_bytes()
    if damage == "swapped":
        cache.flow(recorder, A, C)
        (other,) = (p for p in files(cache) if p != path)
        path.write_bytes(other.read_bytes())
    elif damage == "unsigned":
        with safe_open(path, "pt") as file:
            save_file({name: file.get_tensor(name) for name in file.keys()}, path, {"key": file.metadata()["key"]})  # noqa: SIM118
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"truncated": content[:-50], "empty": b"", "foreign": b"a letter to a friend"}[damage])
    misses = cache.misses
    with pytest.warns(UserWarning, match="flow cache") as caught:
        again = cache.flow(recorder, A, B)
    assert str(path) in str(caught[0].message)
    assert "\n" not in str(caught[0].message)
    assert torch.equal(again, expected)
    assert cache.misses == misses + 1
    if damage != "folder":
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(cache.flow(recorder, A, B), expected)


def test_the_least_recently_used_goes_first_and_nothing_foreign(tmp_path, recorder):
    (tmp_path / "thesis.safetensors").write_bytes(bytes(50_000))
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "photo.png").write_bytes(bytes(50_000))
    frames = [texture(20, 30, dx=t) for t in range(5)]
    probe = FlowCache(tmp_path / "probe")
    probe.flow(recorder, frames[0], A)
    one = files(probe)[0].stat().st_size

    cache = FlowCache(tmp_path, limit=3 * one + one // 2)
    for age, frame in enumerate(frames[:3]):
        cache.flow(recorder, frame, C)
        newest = max(tmp_path.glob("??/*.flow"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (time.time() - 100 + age,) * 2)
    cache.flow(recorder, frames[0], C)  # used again: frame 1 is now the oldest
    assert cache.hits == 1
    cache.flow(recorder, frames[3], C)
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*.flow")) <= cache.store.limit
    hits, misses = cache.hits, cache.misses
    for kept in (0, 2, 3):
        cache.flow(recorder, frames[kept], C)
    assert (cache.hits, cache.misses) == (hits + 3, misses)
    cache.flow(recorder, frames[1], C)
    assert cache.misses == misses + 1
    assert (tmp_path / "thesis.safetensors").exists()
    assert (tmp_path / "ab" / "photo.png").exists()


def test_a_write_that_fails_costs_only_the_file(tmp_path, recorder, monkeypatch):
    def full(handle):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    cache = FlowCache(tmp_path)
    with pytest.warns(UserWarning, match="could not be written.*no space"):
        field = cache.flow(recorder, A, B)
    assert torch.equal(field, recorder(A, B).half().float())
    assert files(cache) == []


def test_a_folder_that_cannot_be_made_costs_only_the_keeping(recorder):
    with pytest.warns(UserWarning, match="/proc/none/flow cannot be made, going on without"):
        cache = FlowCache("/proc/none/flow")
    with pytest.warns(UserWarning, match="could not be written"):
        assert torch.equal(cache.flow(recorder, A, B), recorder(A, B).half().float())


def _fill(folder, results):
    torch.set_num_threads(
        1
    )  # as a loader's worker does: the pool of a parent that had several is not there after a fork
    cache = FlowCache(folder, limit=60_000)
    recorder = Recorder()
    right = True
    for t in range(25):
        source, target = texture(20, 30, dx=t % 7), texture(20, 30, dy=t % 5)
        right &= torch.equal(cache.flow(recorder, source, target), recorder(source, target).half().float())
    results.put(right)


def test_several_processes_share_one_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_fill, args=(tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [True] * 3
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert not list(tmp_path.rglob("*.part"))


def _claim_and_die(store, held):
    with store.claim("x"):
        held.set()
        time.sleep(0.5)
        os._exit(1)


def test_a_claim_ends_with_its_process_and_with_patience(tmp_path, monkeypatch):
    store = Store(tmp_path, 1000)
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=_claim_and_die, args=(store, held))
    process.start()
    assert held.wait(timeout=60)
    with store.claim("x"):
        process.join(timeout=60)
        assert process.exitcode == 1, "only then did we get it"
        monkeypatch.setattr("flow.store.CLAIM_SECONDS", 0.01)
        with store.claim("x"):  # by somebody who does not let go of it
            pass
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing is left behind"
