"""The results for people: Markdown that explains itself, and the same on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from temporalkd.evaluation import SHARES
from temporalkd.evaluation.tables import screen
from temporalkd.experiments.comparison.curves import CURVES
from temporalkd.experiments.comparison.results import failures
from temporalkd.experiments.comparison.scores import MEASURES

Values = dict[str, Any]
COSTS = ("M parameters", "GMACs", "frames/s", "s/step", "minutes", "MiB")


@dataclass
class Sheet:
    """A table of texts; `caption`: a line each."""

    title: str
    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    caption: Sequence[str]


def markdown(found: Values) -> str:
    """compare.md."""
    scores, costs, *differences = _sheets(found, brief=False)
    both = [(*line, *more[1:]) for line, more in zip(scores.lines, costs.lines)]
    whole = Sheet(scores.title, (*scores.headings, *costs.headings[1:]), both, [*scores.caption, *costs.caption])
    picture = f"![{CURVES}]({CURVES})\n\n" if any(system["budget"] for system in found["systems"]) else ""
    return "# Comparison\n\n" + picture + "\n".join(_as_markdown(sheet) for sheet in (whole, *differences))


def _as_markdown(sheet: Sheet) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(sheet.headings) - 1)
    table = [line(sheet.headings), rule, *(line(cells) for cells in sheet.lines)]
    return "\n".join([f"## {sheet.title}", "", *table, "", *(f"- {text}" for text in sheet.caption)]) + "\n"


def show(found: Values, console: Console | None = None) -> None:
    """Print it; the numbers of single seeds are in the files."""
    console = console or screen()
    for sheet in _sheets(found, brief=True):
        caption = "\n".join(sheet.caption)
        table = Table(title=escape(sheet.title), caption=escape(caption), caption_justify="left", title_style="bold")
        for number, heading in enumerate(sheet.headings):
            words = [word for cells in (sheet.headings, *sheet.lines) for word in cells[number].split()]
            longest = max(map(len, words)) if number else None  # what is too wide breaks names, not numbers
            table.add_column(heading, justify="right" if number else "left", overflow="fold", min_width=longest)
        for cells in sheet.lines:
            table.add_row(*map(escape, cells))
        console.print(table)


def _sheets(found: Values, brief: bool) -> list[Sheet]:
    """Scores, costs, and one of differences for each system that is compared with; `brief` fits 80 columns."""
    systems = found["systems"]
    names = [_name(system) for system in systems]
    scores = [[name, *(_ranged(system, key, brief) for key in MEASURES)] for name, system in zip(names, systems)]
    costs = [[name, *_costs(system)] for name, system in zip(names, systems)]
    sheets = [
        Sheet("Scores", ("system", *(SHARES[key] for key in MEASURES)), scores, _about_scores(found)),
        Sheet("Costs", ("system", *COSTS), costs, _about_costs(found)),
    ]
    for other in dict.fromkeys(d["minus"] for d in found["differences"]):
        lines = [_difference(d, brief) for d in found["differences"] if d["minus"] == other]
        headings = ("system", "measure", "difference", "95 % interval", "signs", *([] if brief else ["by seed"]))
        sheets.append(Sheet(f"Differences to {other}", headings, lines, _about_differences(found)))
    return sheets


def _name(system: Values) -> str:
    failed = system["failed"]
    if not failed or system["kind"] != "student":
        return system["name"]
    return f"{system['name']} (failed: seed {', '.join(failed)})"


def _ranged(system: Values, key: str, brief: bool) -> str:
    score = system["scores"][key]
    if score["mean"] is None:
        return "failed" if system["failed"] and not score["per_seed"] else "-"
    mean, low, high = (score[end] for end in ("mean", "low", "high"))
    if len(score["per_seed"]) < 2:
        return f"{mean:.2f}"
    return f"{mean:.2f}\n{low:.1f}-{high:.1f}" if brief else f"{mean:.2f} [{low:.2f}..{high:.2f}]"


def _costs(system: Values) -> list[str]:
    training = {key: spread["mean"] for key, spread in system["training"].items()}
    parameters = system["parameters"]
    minutes = _number(training["minutes"], ".2f")
    return [
        "-" if parameters is None else f"{parameters / 1e6:.2f}",
        _number(system["gmacs"], ".3f"),
        _number(system["fps"], ".1f"),
        _number(training["seconds_per_step"], ".3f"),
        f"> {minutes}" if system["partly_measured"] else minutes,
        _number(training["peak_mib"], ".0f"),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _difference(found: Values, brief: bool) -> list[str]:
    interval = "-" if found["low"] is None else f"{found['low']:+.2f}..{found['high']:+.2f}"
    each = " ".join(f"{value:+.2f}" for value in found["per_seed"].values())
    signs = found["signs"].replace(" ", "") if brief else found["signs"]
    cells = [found["system"], SHARES[found["measure"]], f"{found['mean']:+.2f}", interval, signs]
    return cells if brief else [*cells, each]


def _about_scores(found: Values) -> list[str]:
    seeds = ", ".join(map(str, found["seeds"]))
    data = ", ".join(f"{key} {value}" for key, value in found["data"].items() if value is not None)
    flow = f"{found['flow']} {found['fingerprint']}".strip()
    lines = [
        "Percent" + (": mean over seeds [lowest..highest]." if len(found["seeds"]) > 1 else ", one seed."),
        f"Scored on {data}: {found['frames']} frames of {found['size']} (height x width).",
        f"Protocol {found['protocol']}; flow {flow}" + _coverage(found["coverage"]) + ".",
        f"Seeds {seeds}; {found['steps']} steps; the students of a seed start with the same weights.",
        "Each student is that of its last step; nothing was selected on the frames it is scored on.",
    ]
    if any(system["kind"] == "ema" for system in found["systems"]):
        lines.append("EMA: a causal moving average of a student's probabilities at inference; it lags behind motion.")
    if any(system["kind"] == "reference" for system in found["systems"]):
        lines.append("Ceiling: the labels; floor: the middle frame's labels repeated; constant: class 0 everywhere.")
    lines += _about_minutes(found["systems"])
    lines += [f"Not an equal comparison: {note}." for note in found["notes"]]
    return lines + [f"Failed: {failed}" for failed in failures(found)]


def _about_minutes(systems: Sequence[Values]) -> list[str]:
    """What each training had for its minutes."""
    students = [system for system in systems if system["kind"] == "student" and system["budget"]]
    told = [
        f"{system['name']}: {budget['steps']} steps of {budget['seconds_per_step']:.2f} s"
        + (f" and {budget['store_seconds']:.0f} s for the teacher's store" if budget["store_seconds"] else "")
        for system in students
        for budget in [system["budget"]]
    ]
    return (
        ["Equal minutes, by the pace that was measured before the trainings: " + "; ".join(told) + "."] if told else []
    )


def _coverage(share: float | None) -> str:
    return "" if share is None else f", coverage {share:.1f}"


def _about_costs(found: Values) -> list[str]:
    gpu = any("cuda" in system["devices"] for system in found["systems"])
    machine = f"{found['device']} with {found['threads']} thread(s)"
    used, memory = ("minutes of the GPU", "held by torch on it") if gpu else ("processor minutes", "resident")
    return [
        f"Parameters, GMACs, frames/s: of one frame of {found['size']}, one network after the other on {machine}.",
        f"s/step: median over the recorded steps of a training; minutes: {used} of a training; MiB: its peak memory, "
        f"{memory}. Means over seeds; > where an attempt was killed before it could be measured.",
    ]


def _about_differences(found: Values) -> list[str]:
    over = "frames of the clip (blocks of 10, paired)"
    if len(found["seeds"]) > 1:
        over = f"{over} and over the {len(found['seeds'])} seeds; few seeds make it too narrow for other trainings"
    else:
        over = f"{over} alone: it says nothing of other trainings"
    return [
        "Points of percent, paired seed by seed: mean, and sign (in the files: value) of each seed.",
        f"Interval: 95 %, bootstrapped over {over}. None (-) below 5 blocks.",
    ]
