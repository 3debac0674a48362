"""The metrics on video once more, pixel by pixel, from their definitions alone: what the fast ones are compared with.

Nothing of the package is imported here. Maps and labels are integer (H, W), void is 255, a flow is (2, H, W) with
dx, dy in pixels: the content at (x, y) in t is at (x + dx, y + dy) in t+1. Masks are bool (H, W), true = visible.
`maps` has one entry more than `flows` and `masks`. Shares are 0..1; a share of nothing is nan.

Where the definitions leave a choice: coordinates are sums in float64 except in the two warps whose float32 arithmetic
is part of the protocol; "in frame" is 0 <= x <= W-1; a class's value in varghese2020 and kdssp2025 is its mean over the
pairs it is present in; the shares of flips in the interior and at the boundary are each of the pixels of that region.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import floor, isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Sequence[Array]
VOID = 255


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def share(part: float, whole: float) -> float:
    return part / whole if whole else nan


def mean(values: Iterable[float]) -> float:
    there = [v for v in values if not isnan(v)]
    return share(sum(there), len(there))


def pixels(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(y, x) for y in range(shape[0]) for x in range(shape[1])]


def bilinear(field: Array, x: float, y: float) -> Array:
    """The (C, H, W) field at (x, y), coordinates clamped to the border, in float64."""
    height, width = field.shape[1:]
    x, y = clamp(x, 0, width - 1), clamp(y, 0, height - 1)
    left, top, a, b = floor(x), floor(y), x % 1, y % 1
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    f = field.astype(np.float64)
    upper = (1 - a) * f[:, top, left] + a * f[:, top, right]
    lower = (1 - a) * f[:, bottom, left] + a * f[:, bottom, right]
    return (1 - b) * upper + b * lower


def visible_mask(forward: Array, backward: Array) -> Array:
    """In frame, and |f + b(x+f)|^2 <= 0.01 (|f|^2 + |b(x+f)|^2) + 0.5."""
    height, width = forward.shape[1:]
    mask = np.zeros((height, width), bool)
    for y, x in pixels(mask.shape):
        f = forward[:, y, x].astype(np.float64)
        to_x, to_y = x + f[0], y + f[1]
        if 0 <= to_x <= width - 1 and 0 <= to_y <= height - 1:
            b = bilinear(backward, to_x, to_y)
            mask[y, x] = ((f + b) ** 2).sum() <= 0.01 * ((f**2).sum() + (b**2).sum()) + 0.5
    return mask


def nearest_warp(map: Array, flow: Array) -> Array:
    height, width = map.shape
    out = np.empty_like(map)
    for y, x in pixels(map.shape):
        from_x, from_y = floor(x + float(flow[0, y, x]) + 0.5), floor(y + float(flow[1, y, x]) + 0.5)
        out[y, x] = map[int(clamp(from_y, 0, height - 1)), int(clamp(from_x, 0, width - 1))]
    return out


def etc2020_warp(map: Array, flow: Array) -> Array:
    """Bilinear on class ids, truncated toward zero; corner indices are clamped, weights are not.

    As the public CUDA kernel computes it: three weights are double, because they contain the literal `1.`, and their
    products are cast to single before they are added; a b is single, and its product is fused with the addition.
    The fused operation is exact rational arithmetic here, rounded once.
    """
    (height, width), single, double = map.shape, np.float32, np.float64
    out = np.empty(map.shape, np.int64)
    for y, x in pixels(map.shape):
        xf = single(x) + single(flow[0, y, x])
        yf = single(y) + single(flow[1, y, x])
        a, b = xf - np.floor(xf), yf - np.floor(yf)
        x0, y0 = floor(xf), floor(yf)
        left, right = (int(clamp(i, 0, width - 1)) for i in (x0, x0 + 1))
        top, bottom = (int(clamp(i, 0, height - 1)) for i in (y0, y0 + 1))
        p00, p10, p01, p11 = map[top, left], map[top, right], map[bottom, left], map[bottom, right]
        value = single((1 - double(a)) * (1 - double(b)) * double(p00))
        value += single(double(a) * (1 - double(b)) * double(p10))
        value += single((1 - double(a)) * double(b) * double(p01))
        out[y, x] = int(fused_multiply_add(a * b, single(p11), value))
    return out


def fused_multiply_add(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    """a b + c, rounded once to single: the nearer of the two neighbours of the exact value, the even one of a tie."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    near = np.float32(float(exact))
    candidates = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    return min(candidates, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1))


def vspw2021_warp(map: Array, flow: Array) -> Array:
    """grid_sample's nearest on a grid made for (W-1), read as align_corners=False; outside of the image is class 0."""

    def source(position: int, shift: Any, size: int) -> int:
        moved = np.float32(position) + np.float32(shift)
        grid = np.float32(2) * moved / np.float32(max(size - 1, 1)) - np.float32(1)
        back = ((grid + np.float32(1)) * np.float32(size) - np.float32(1)) / np.float32(2)
        return int(np.rint(back))

    height, width = map.shape
    out = np.zeros_like(map)
    for y, x in pixels(map.shape):
        from_x, from_y = source(x, flow[0, y, x], width), source(y, flow[1, y, x], height)
        if 0 <= from_x < width and 0 <= from_y < height:
            out[y, x] = map[from_y, from_x]
    return out


def counted_pixels(mask: Array, flow: Array, labels: Arrays | None) -> Array:
    """The visible ones; with labels (of t and t+1), void in t or in the nearest-warped t+1 does not count."""
    if labels is None:
        return mask
    return mask & (labels[0] != VOID) & (nearest_warp(labels[1], flow) != VOID)


def tally(current: Array, warped: Array, counted: Array, classes: int, labels: Array | None) -> Array:
    """(4, classes) pixel counts: in both maps, in the map of t, in the warped map, in the labels of t."""
    t = np.zeros((4, classes), int)
    for y, x in pixels(current.shape):
        if not counted[y, x]:
            continue
        p, q = int(current[y, x]), int(warped[y, x])
        for kind, c in enumerate((p if p == q else -1, p, q)):
            if 0 <= c < classes:
                t[kind, c] += 1
        if labels is not None:
            t[3, labels[y, x]] += 1
    return t


def ious(t: Array, protocol: str = "") -> list[float]:
    """nan for a class in neither map, unless absent classes are 0 (etc2020) or the class is in the labels.

    For vspw2021 a class that is not in the map of t is nan, whatever the warped map has.
    """
    values, absent_is_zero = [], protocol == "etc2020"
    for both, current, warped, labelled in t.T.tolist():
        union = current + warped - both
        if protocol == "vspw2021" and not current:
            union = 0
        values.append(both / union if union else 0.0 if absent_is_zero or labelled else nan)
    return values


def consistency(
    maps: Arrays, flows: Arrays, masks: Arrays, classes: int, protocol: str, labels: Arrays | None = None
) -> tuple[float, list[float], list[float]]:
    """(value, per class, per pair); only `visible` looks at masks and labels.

    A warped value outside 0..classes-1 is no class: the pixel counts in the union of the current map's class only
    (and the other way round). For etc2020 the weights beyond the border could be thought to do that; they do not: they
    are fractions of a pixel there too, and round-off takes a value just below its integer, never a whole class up.
    """
    nearest = dict.fromkeys(("visible", "unmasked", "varghese2020"), nearest_warp)
    vspw = dict.fromkeys(("vspw2021", "kdssp2025"), vspw2021_warp)
    warp = {**nearest, **vspw, "etc2020": etc2020_warp}[protocol]
    tallies = []
    for i, flow in enumerate(flows):
        counted, now = np.ones(maps[i].shape, bool), None
        if protocol == "visible":
            counted = counted_pixels(masks[i], flow, None if labels is None else labels[i : i + 2])
            now = None if labels is None else labels[i]
        tallies.append(tally(maps[i], warp(maps[i + 1], flow), counted, classes, now))
    per_pair_class = [ious(t, protocol) for t in tallies]
    per_pair = [mean(values) for values in per_pair_class]
    if protocol in ("varghese2020", "kdssp2025"):
        return mean(per_pair), [mean(values[c] for values in per_pair_class) for c in range(classes)], per_pair
    per_class = ious(np.sum(tallies, axis=0), protocol)
    return mean(per_class), per_class, per_pair


def near_boundary(classes: Array, band: int, y: int, x: int) -> bool:
    """Is another class at most `band` away (Chebyshev)? The image border is none."""
    around = classes[max(y - band, 0) : y + band + 1, max(x - band, 0) : x + band + 1]
    return bool((around != classes[y, x]).any())


def flip_rates(
    maps: Arrays, flows: Arrays, masks: Arrays, labels: Arrays | None = None, band: int = 4
) -> tuple[float, float, float]:
    """(all, interior, boundary): of the counted pixels there, the share whose class changes along the flow."""
    flips, totals = [0, 0], [0, 0]
    for i, flow in enumerate(flows):
        counted = counted_pixels(masks[i], flow, None if labels is None else labels[i : i + 2])
        warped = nearest_warp(maps[i + 1], flow)
        for y, x in pixels(counted.shape):
            if counted[y, x]:
                region = int(near_boundary((maps if labels is None else labels)[i], band, y, x))
                totals[region] += 1
                flips[region] += int(maps[i][y, x] != warped[y, x])
    return share(sum(flips), sum(totals)), share(flips[0], totals[0]), share(flips[1], totals[1])


def gated(maps: Arrays, flows: Arrays, masks: Arrays, labels: Arrays) -> float:
    """Of the counted pixels right in t, the share right in t+1 too."""
    right, still = 0, 0
    for i, flow in enumerate(flows):
        counted = counted_pixels(masks[i], flow, labels[i : i + 2])
        warped, truth = nearest_warp(maps[i + 1], flow), nearest_warp(labels[i + 1], flow)
        for y, x in pixels(counted.shape):
            if counted[y, x] and maps[i][y, x] == labels[i][y, x]:
                right += 1
                still += int(warped[y, x] == truth[y, x])
    return share(still, right)


def inner_band(mask: Array, d: int) -> Array:
    """The mask minus its d-fold 3x3 erosion; outside of the image is outside of the mask."""
    core = mask.copy()
    for _ in range(d):
        framed = np.pad(core, 1, constant_values=False)
        for y, x in pixels(mask.shape):
            core[y, x] = framed[y : y + 3, x : x + 3].all()
    return mask & ~core


def boundary_iou(predictions: Arrays, labels: Arrays, classes: int, d: int = 4) -> tuple[float, list[float]]:
    """(mean, per class): IoU of the inner bands of labels and predictions; prediction is void where the label is."""
    per_class = []
    for c in range(classes):
        both, union = 0, 0
        for prediction, label in zip(predictions, labels):
            known = np.where(label == VOID, VOID, prediction)
            p, g = inner_band(known == c, d), inner_band(label == c, d)
            both, union = both + int((p & g).sum()), union + int((p | g).sum())
        per_class.append(share(both, union))
    return mean(per_class), per_class


def same(frames: Arrays, y: int, x: int) -> bool:
    return all(frame[y, x] == frames[0][y, x] for frame in frames)


def vc_published(maps: Arrays, labels: Arrays, n: int) -> float:
    """VSPW's: where the label stays the same (void too), does the prediction? The last window is skipped."""
    values = []
    for i in range(len(maps) - n):
        p, g = maps[i : i + n], labels[i : i + n]
        steady = [(y, x) for y, x in pixels(g[0].shape) if same(g, y, x)]
        values.append(share(sum(same(p, y, x) for y, x in steady), len(steady)))
    return mean(values)


def vc_correct(maps: Arrays, labels: Arrays, n: int) -> float:
    """Where one class is labelled in all n frames, is it predicted in all of them? Every window counts."""
    values = []
    for i in range(len(maps) - n + 1):
        p, g = maps[i : i + n], labels[i : i + n]
        steady = [(y, x) for y, x in pixels(g[0].shape) if same(g, y, x) and g[0][y, x] != VOID]
        values.append(share(sum(same([g[0], *p], y, x) for y, x in steady), len(steady)))
    return mean(values)


def vec(maps: Arrays, labels: Arrays, n: int) -> float:
    """IoU of the regions that keep one class for n frames, over all windows; pixels with a void label are left out."""
    both, union = [0] * VOID, [0] * VOID
    for i in range(len(maps) - n + 1):
        p, g = maps[i : i + n], labels[i : i + n]
        for y, x in pixels(g[0].shape):
            if any(label[y, x] == VOID for label in g):
                continue
            lasting = [int(frames[0][y, x]) for frames in (g, p) if same(frames, y, x)]
            for c in set(lasting) - {VOID}:
                union[c] += 1
                both[c] += lasting.count(c) == 2
    return mean(share(b, u) for b, u in zip(both, union))


def warp_error(probs: Arrays, flows: Arrays, masks: Arrays) -> float:
    """E_warp: mean over all visible pixels of the squared distance, summed over classes."""
    total, count = 0.0, 0
    for i, flow in enumerate(flows):
        for y, x in pixels(masks[i].shape):
            if masks[i][y, x]:
                then = bilinear(probs[i + 1], x + float(flow[0, y, x]), y + float(flow[1, y, x]))
                total += float(((probs[i][:, y, x] - then) ** 2).sum())  # then is float64
                count += 1
    return share(total, count)


def boundary_jitter(
    maps: Arrays, flows: Arrays, masks: Arrays, labels: Arrays | None = None, limit: float = 8.0
) -> float:
    """Mean way of a counted boundary pixel of t to the nearest of its class in the warped t + 1, pixels."""
    ways = []
    for i, flow in enumerate(flows):
        counted = counted_pixels(masks[i], flow, None if labels is None else labels[i : i + 2])
        warped = nearest_warp(maps[i + 1], flow)
        there = [(y, x) for y, x in pixels(warped.shape) if near_boundary(warped, 1, y, x)]
        for y, x in pixels(warped.shape):
            if counted[y, x] and near_boundary(maps[i], 1, y, x):
                same = [(v - y) ** 2 + (u - x) ** 2 for v, u in there if warped[v, u] == maps[i][y, x]]
                ways.append(min([limit, *np.sqrt(same)]))
    return mean(ways)


def perceptual(features: Arrays, maps: Arrays) -> tuple[float, Array, Array]:
    """(of the pair, of each place of the first frame, of the second): by the best match at all and within the class.

    Each map is read at the pixel in which a place's upper left corner lies.
    """
    height, width = features[0].shape[1:]
    places = pixels((height, width))

    def classes(map: Array) -> list[int]:
        return [int(map[y * map.shape[0] // height, x * map.shape[1] // width]) for y, x in places]

    def direction(here: Array, there: Array, s_here: list[int], s_there: list[int]) -> Array:
        out = []
        for (y, x), s in zip(places, s_here):
            a = here[:, y, x].astype(np.float64)
            cosines = []
            for v, u in places:
                b = there[:, v, u].astype(np.float64)
                cosines.append(float(a @ b / np.sqrt((a @ a) * (b @ b))))
            average = sum(cosines) / len(cosines)
            within = max(c if s == other else 0.0 for c, other in zip(cosines, s_there))
            out.append((within - average) / (max(cosines) - average))
        return np.array(out).reshape(height, width)

    s = [classes(map) for map in maps]
    first, second = direction(*features, *s), direction(*features[::-1], *s[::-1])
    return min(float(first.mean()), float(second.mean())), first, second


def block_bootstrap(tallies: Array, block: int = 10, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of mIoU; tallies is (N, 3, C): intersection, row sum, column sum of each pair.

    Blocks are 0..block-1, block..2*block-1, ..; the last may be shorter; as many are drawn as there are.
    """
    blocks = [range(start, min(start + block, len(tallies))) for start in range(0, len(tallies), block)]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        total = np.zeros((4, tallies.shape[2]))  # the fourth row, labels, stays 0
        for chosen in random.integers(0, len(blocks), len(blocks)):
            for pair in blocks[chosen]:
                total[:3] += tallies[pair]
        values.append(mean(ious(total)))
    low, high = np.percentile([v for v in values if not isnan(v)], [2.5, 97.5])
    return float(low), float(high)
