"""What the page's script reads: curves, the scatter plot, where each system's video lies in the mosaic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalkd.visualization.report.contents import Report, Value, hues


def script_data(report: Report) -> dict[str, Any]:
    """Plain values for json."""
    curves = [c for c in report.curves if any(n is not None for s in report.systems for n in s.per_pair.get(c.key, ()))]
    video = report.video
    return {
        "fps": report.fps,
        "frames": list(report.frame_names),
        "curves": [{"key": c.key, "heading": c.heading, "unit": c.unit, "about": c.explanation} for c in curves],
        "systems": [
            {
                "name": system.name,
                "hue": hue,
                "pairs": {
                    c.key: [None if n is None else round(n, 4) for n in system.per_pair.get(c.key, ())] for c in curves
                },
            }
            for system, hue in zip(report.systems, hues(report.systems))
        ],
        "scatter": _scatter(report),
        "video": None
        if video is None
        else {"tiles": [_tiles(video.tiles[s.name]) if s.name in video.tiles else None for s in report.systems]},
    }


def _scatter(report: Report) -> dict[str, Any] | None:
    """The systems' numbers in two columns, each with its interval where that is known; None where nothing compares."""
    if report.scatter is None:
        return None
    x, y = report.scatter
    headings = {column.key: column.heading for column in report.columns}
    points = [
        {"system": index, "x": _with_interval(system.values.get(x)), "y": _with_interval(system.values.get(y))}
        for index, system in enumerate(report.systems)
        if system.kind != "reference"
    ]
    points = [point for point in points if point["x"] and point["y"]]
    return {"x": headings[x], "y": headings[y], "points": points} if len(points) > 1 else None


def _with_interval(value: Value | None) -> list[float]:
    if value is None:
        return []
    return [value.value] if value.low is None or value.high is None else [value.value, value.low, value.high]


def _tiles(tiles: Mapping[str, Any]) -> dict[str, list[int]]:
    return {name: [tile.x, tile.y, tile.width, tile.height] for name, tile in tiles.items()}
