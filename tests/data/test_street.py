"""The synthetic street: exact labels, motion and visibility, and frames that depend on (seed, index) alone."""

import hashlib
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from flow import warp
from temporalkd.data.street import CLASSES, PALETTE, Street, streets
from temporalkd.data.street import cast as street_cast
from temporalkd.data.street.cast import cast, directions, view_at
from temporalkd.data.street.scene import CAR_END, CAR_FLANK

CAR, PERSON, SKY = CLASSES.index("car"), CLASSES.index("person"), CLASSES.index("sky")
PAIRS = [(4, 6), (12, 9), (20, 21)]


def digest(street: Street) -> str:
    motion = street.motion(3, 5)
    parts = [street.frame(3), street.label(3), *motion, street.frame(0)]
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def looked_up(street: Street, source: int, target: int):
    """Positions x + f(x) (two (H, W) arrays) and the visibility of a pair."""
    flow, _, visible = street.motion(source, target)
    height, width = street.size
    x = np.arange(width, dtype=np.float32) + flow[0].numpy()
    y = np.arange(height, dtype=np.float32)[:, None] + flow[1].numpy()
    return x, y, visible[0].numpy()


def nearest(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    height, width = image.shape
    return image[np.clip(np.rint(y), 0, height - 1).astype(int), np.clip(np.rint(x), 0, width - 1).astype(int)]


def interior(label: np.ndarray) -> np.ndarray:
    """Pixels whose 5x5 neighbourhood has one class."""
    kernel = np.ones((5, 5), np.uint8)
    return cv2.dilate(label, kernel) == cv2.erode(label, kernel)


def test_same_bytes_twice_in_any_order_and_in_another_process():
    street = Street(seed=9, length=8, size=(48, 80))
    first = digest(street)
    street.frame(7)
    assert digest(pickle.loads(pickle.dumps(street))) == first
    code = (
        "from tests.data.test_street import Street, digest\n"
        "street = Street(seed=9, length=30, size=(48, 80))\n"
        "street.label(6)\n"
        "print(digest(street))"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == first


def test_pickles_small():
    street = Street(seed=1)
    street.motion(0, 3)
    assert len(pickle.dumps(street)) < 1000


def test_labels_follow_the_motion():
    agree = total = 0
    for street in streets(4, 11):
        for source, target in PAIRS:
            x, y, visible = looked_up(street, source, target)
            there, here = street.label(target).numpy(), street.label(source).numpy()
            fair = visible & interior(here) & nearest(interior(there), x, y)
            assert fair.mean() > 0.3
            agree += (nearest(there, x, y) == here)[fair].sum()
            total += fair.sum()
    assert agree / total >= 0.995


def test_brightness_follows_the_motion_and_not_the_negated_one():
    for street in streets(3, 5, light=0, grain=0):
        x, y, visible = looked_up(street, 10, 11)
        here = street.frame(10).numpy().transpose(1, 2, 0).astype(np.float32)
        there = street.frame(11).numpy().transpose(1, 2, 0).astype(np.float32)
        height, width = street.size
        column, row = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        right = np.abs(cv2.remap(there, x, y, cv2.INTER_LINEAR) - here).mean(-1)[visible]
        wrong = np.abs(cv2.remap(there, 2 * column - x, 2 * row - y, cv2.INTER_LINEAR) - here).mean(-1)[visible]
        assert np.median(right) < 3
        assert right.mean() < 6
        assert wrong.mean() > 1.5 * right.mean()


def test_textures_stay_on_their_surfaces():
    """The near road has nothing but texture: it must move with the ground, and houses and cars with themselves."""
    for street in streets(3, 5, light=0, grain=0):
        x, y, visible = looked_up(street, 10, 11)
        here, label = street.frame(10).float().mean(0).numpy(), street.label(10).numpy()
        there = cv2.remap(street.frame(11).float().mean(0).numpy(), x, y, cv2.INTER_LINEAR)
        inner = visible & interior(label)
        near_road = inner & (label == CLASSES.index("road")) & (np.arange(96)[:, None] > 70)
        assert np.abs(there - here)[near_road].mean() < 3.5
        for name in ("building", "car", "road"):
            chosen = inner & (label == CLASSES.index(name))
            assert np.corrcoef(there[chosen], here[chosen])[0, 1] > 0.85


def test_visible_points_come_back_to_where_they_were():
    for street in streets(3, 6):
        for source, target in PAIRS:
            x, y, visible = looked_up(street, source, target)
            flow, backward, _ = street.motion(source, target)
            back = cv2.remap(backward.numpy().transpose(1, 2, 0), x, y, cv2.INTER_LINEAR).transpose(2, 0, 1)
            error = np.hypot(*(flow.numpy() + back))
            assert np.median(error[visible]) < 0.02
            # Beside an outline the interpolated backward flow mixes two surfaces.
            assert np.quantile(error[visible], 0.85) < 0.25


def test_the_package_flow_reads_the_motion_the_same_way():
    street = Street(seed=12)
    x, y, visible = looked_up(street, 8, 10)
    warped = warp(street.label(10)[None, None], street.motion(8, 10).flow[None], "nearest")[0, 0].numpy()
    assert (warped == nearest(street.label(10).numpy(), x, y))[visible].mean() > 0.999


def test_backward_is_the_motion_the_other_way():
    street = Street(seed=3)
    there, back = street.motion(4, 8), street.motion(8, 4)
    assert torch.equal(there.backward, back.flow)
    assert torch.equal(back.backward, there.flow)


def test_cars_and_people_hide_what_is_behind_them():
    """A pixel of something that stands still is hidden exactly where a car or a person covers its place."""
    hidden = 0
    for street in streets(6, 8):
        x, y, visible = looked_up(street, 6, 12)
        here, there = street.label(6).numpy(), street.label(12).numpy()
        height, width = street.size
        framed = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        mover = np.isin(there, (CAR, PERSON))
        covered = framed & nearest(mover & interior(there), x, y) & ~np.isin(here, (CAR, PERSON))
        assert not visible[covered].any()
        hidden += covered.sum()
    assert hidden > 300


def test_something_is_always_hidden_or_leaves_the_frame():
    for street in streets(3, 21):
        for source, target in PAIRS:
            share = street.motion(source, target).visible.float().mean().item()
            assert 0.3 < share < 0.995


def test_oncoming_cars_move_more_than_the_street_at_their_place():
    """The motion of a driving car has its own speed in it, not only the camera's."""
    for seed in range(20):
        view, later = view_at(seed, 0.4), view_at(seed, 0.6)
        for number in np.flatnonzero(np.isin(view.things["kind"], (CAR_END, CAR_FLANK)) & (view.things["pace"] < 0)):
            same = np.flatnonzero(later.things["key"] == view.things["key"][number])
            if len(same):
                moved = later.thing_z[same[0]] - view.thing_z[number]
                assert moved == pytest.approx(0.2 * view.things["pace"][number])
                assert moved < -0.5
                return
    pytest.fail("no oncoming car in 20 streets")


def test_sky_only_rotates():
    """The flow on sky is the rotation between the two cameras, whatever the camera drove in between."""
    street = Street(seed=14)
    source, target = 2, 30
    flow = street.motion(source, target).flow.numpy()
    sky = street.label(source).numpy() == SKY
    assert sky.sum() > 500
    row, column = np.nonzero(sky)
    view, later = view_at(14, source / street.fps), view_at(14, target / street.fps)
    assert later.z - view.z > 3
    ray = np.stack(directions(view, column.astype(np.float32), row.astype(np.float32), street.size))
    right, up, depth = later.rotation.T @ ray
    height, width = street.size
    focal = 0.9 * width
    assert np.allclose(flow[0][sky], right / depth * focal + (width - 1) / 2 - column, atol=1e-2)
    assert np.allclose(flow[1][sky], 0.45 * (height - 1) - up / depth * focal - row, atol=1e-2)


def test_a_ray_meets_the_same_whatever_else_is_cast():
    view, size = view_at(4, 1.0), (96, 160)
    x = np.sort(np.random.default_rng(0).uniform(0, 159, 2000).astype(np.float32))
    y = np.random.default_rng(1).uniform(0, 95, 2000).astype(np.float32)
    whole, thinned = cast(view, x, y, size), cast(view, x[::7], y[::7], size)
    for all_values, some in zip(whole, thinned):
        assert np.array_equal(all_values[::7], some)


def test_nothing_is_missed_beside_the_columns_a_thing_spans():
    """Every thing lies inside the columns that are searched for it: searching all of them finds no more."""
    size = (48, 80)
    x, y = (part.ravel() for part in np.meshgrid(np.arange(80.0), np.arange(48.0), indexing="ij"))
    for seed in range(5):
        view = view_at(seed, 2.0)
        found = cast(view, x.astype(np.float32), y.astype(np.float32), size)
        with pytest.MonkeyPatch.context() as patch:
            everywhere = np.full(len(view.things), -1.0), np.full(len(view.things), 99.0)
            patch.setattr(street_cast, "_columns", lambda view, size, wide=everywhere: wide)
            searched = cast(view, x.astype(np.float32), y.astype(np.float32), size)
        assert np.array_equal(found.row, searched.row)


def test_no_gap_is_no_motion():
    flow, backward, visible = Street(seed=2, size=(40, 64)).motion(5, 5)
    assert not flow.any() and not backward.any() and visible.all()


def test_every_class_appears():
    count = np.zeros(len(CLASSES))
    for street in streets(8, 31):
        for index in (3, 33):
            count += np.bincount(street.label(index).numpy().ravel(), minlength=len(CLASSES))
    share = dict(zip(CLASSES, count / count.sum()))
    least = {"sky": 0.05, "building": 0.1, "road": 0.2, "pavement": 0.02, "tree": 0.03, "car": 0.03}
    for name in CLASSES:
        assert share[name] > least.get(name, 0.003), share
    assert len(PALETTE) == len(CLASSES) == len(set(PALETTE))


@pytest.mark.parametrize("size", [(37, 53), (61, 40), (8, 8), (33, 150)])
def test_any_size(size):
    street = Street(seed=7, length=4, size=size)
    assert street.frame(3).shape == (3, *size) and street.frame(3).dtype == torch.uint8
    assert street.label(3).shape == size and street.label(3).dtype == torch.uint8
    motion = street.motion(0, 3)
    assert motion.flow.shape == motion.backward.shape == (2, *size)
    assert motion.visible.shape == (1, *size) and motion.visible.dtype == torch.bool
    assert torch.isfinite(motion.flow).all() and motion.flow.dtype == torch.float32


def test_motion_is_finite_across_a_whole_long_drive():
    motion = Street(seed=7, length=100_000, size=(24, 40)).motion(99_999, 0)
    assert torch.isfinite(motion.flow).all() and torch.isfinite(motion.backward).all()
    assert motion.flow.abs().max() <= 4 * 40


def test_a_far_index_is_as_good_as_a_near_one():
    street = Street(seed=5, length=100_000, light=0, grain=0)
    x, y, visible = looked_up(street, 99_000, 99_001)
    here, there = street.label(99_000).numpy(), street.label(99_001).numpy()
    fair = visible & interior(here) & nearest(interior(there), x, y)
    assert fair.mean() > 0.3
    assert (nearest(there, x, y) == here)[fair].mean() > 0.995


def test_seeds_differ():
    drawn = streets(6, 1, size=(24, 40))
    assert len({digest(street) for street in drawn}) == 6
    assert [street.seed for street in drawn] == [street.seed for street in streets(6, 1)]
    assert not {street.seed for street in drawn} & {street.seed for street in streets(6, 2)}


def test_light_and_grain_change_frames_and_only_frames():
    plain, full = Street(seed=3, light=0, grain=0), Street(seed=3)
    assert torch.equal(plain.label(4), full.label(4))
    assert not torch.equal(plain.frame(4), full.frame(4))
    means = [full.frame(index).float().mean().item() for index in range(0, 40, 4)]
    still = [plain.frame(index).float().mean().item() for index in range(0, 40, 4)]
    assert np.std(np.array(means) - np.array(still)) > 1


def test_all_frames_are_labelled():
    street = Street(seed=0, length=3, size=(24, 40))
    assert street.labelled == [0, 1, 2] and len(street) == 3
    assert sum(1 for _ in street.frames()) == 3


@pytest.mark.parametrize("index", [-1, 6])
def test_index_outside_names_the_length(index):
    street = Street(seed=0, length=6, size=(24, 40))
    for call in (street.frame, street.label, lambda i: street.motion(0, i), lambda i: street.motion(i, 0)):
        with pytest.raises(IndexError, match="6 frames"):
            call(index)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": (7, 40)}, "7x40"),
        ({"length": 0}, "length"),
        ({"seed": -1}, "seed"),
        ({"grain": -0.1}, "grain"),
        ({"fps": 0}, "fps"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ValueError, match=words):
        Street(**{"seed": 0, **settings})
