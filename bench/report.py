"""From the rounds to the report: medians, ratios, and whether the bars were met. Ratios lead; the rest is noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Group, Line, Value
from bench.rounds import Results


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report."""

    line: Line
    wpy: float | None
    wrangler: float | None
    #: wpy / wrangler of each round that has both, and their median.
    ratios: list[float]
    ratio: float | None
    #: How many times better wpy is: the ratio or its inverse, whichever way round is better; median of the rounds.
    times: float | None
    verdict: str
    per_round: dict[str, list[float | None]]


def figures(results: Results, groups: Sequence[Group]) -> list[Figure]:
    """All lines of the groups that have any value."""
    return [_figure(line, results.values[line.key]) for g in groups for line in g.lines if line.key in results.values]


def _figure(line: Line, values: dict[str, list[Value | None]]) -> Figure:
    per_round = {side: [_one(line, value) for value in of_side] for side, of_side in values.items()}
    whole = {side: _combined(line, of_side) for side, of_side in values.items()}
    pairs = zip(per_round.get("wpy", []), per_round.get("wrangler", []), strict=False)
    both = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    ratios = [ours / theirs for ours, theirs in both if theirs] if line.combine != "sum" else []
    times = None
    if ratios:
        better = ratios if line.higher_is_better else [1 / ratio if ratio else math.inf for ratio in ratios]
        times = statistics.median(better)
    ratio = statistics.median(ratios) if ratios else None
    wpy = whole.get("wpy")
    return Figure(
        line=line,
        wpy=wpy,
        wrangler=whole.get("wrangler"),
        ratios=ratios,
        ratio=ratio,
        times=times,
        verdict=_verdict(line, {"times": times, "ratio": ratio, "at most": wpy, "none": None}),
        per_round=per_round,
    )


def quantile(samples: Sequence[float], part: float) -> float:
    """The smallest sample that at least `part` of all do not exceed."""
    return sorted(samples)[max(math.ceil(part * len(samples)) - 1, 0)]


def _one(line: Line, value: Value | None) -> float | None:
    if isinstance(value, list):
        assert line.quantile is not None
        return quantile(value, line.quantile)
    return value


def _combined(line: Line, values: Sequence[Value | None]) -> float | None:
    """All rounds as one figure: samples are pooled, counts added, the rest has a median."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    if line.quantile is not None:
        return quantile([sample for value in present if isinstance(value, list) for sample in value], line.quantile)
    numbers = [value for value in present if not isinstance(value, list)]
    return sum(numbers) if line.combine == "sum" else statistics.median(numbers)


def _verdict(line: Line, measured: dict[str, float | None]) -> str:
    if line.rule == "none" or line.bar is None:
        return ""
    value = measured[line.rule]
    if value is None:
        return "not compared"
    if not _reaches(line.rule, value, line.bar):
        return f"NOT MET: {_share(line.rule, value, line.bar)}"
    if line.moonshot is None:
        return "met"
    rule = line.moonshot_rule or line.rule
    value = measured[rule]
    return "met, moonshot too" if value is not None and _reaches(rule, value, line.moonshot) else "met"


def _reaches(rule: str, value: float, mark: float) -> bool:
    return value >= mark if rule == "times" else value <= mark


def _share(rule: str, value: float, mark: float) -> str:
    if rule == "times":
        return f"{value / mark * 100:.0f} % of the bar"
    return f"{value / mark:.1f} x the bar" if mark else f"{value:g}, not {mark:g}"


def render(found: Sequence[Figure], results: Results) -> str:
    """The report as text."""
    head = ["figure", "unit", "wpy", "wrangler", "wpy/wrangler", "better by", "rounds", "bar", "moonshot", "verdict"]
    rows = [head] + [_row(figure) for figure in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    left = {0, 1, 9}
    lines = [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    if results.failures:
        lines += ["", "Not measured:", *(f"  {failure}" for failure in results.failures)]
    judged = [figure for figure in found if figure.verdict and figure.verdict != "not compared"]
    met = [figure for figure in judged if figure.verdict.startswith("met")]
    lines += ["", f"{len(met)} of {len(judged)} bars met."]
    return "\n".join(lines)


def _row(figure: Figure) -> list[str]:
    line = figure.line
    spread = f"{_times(min(_advantages(figure)))}-{_times(max(_advantages(figure)))}" if figure.ratios else ""
    return [
        line.title,
        line.unit,
        _number(figure.wpy),
        _number(figure.wrangler),
        _number(figure.ratio),
        _times(figure.times) if figure.times is not None else "",
        spread,
        _mark(line.rule, line.bar, line.unit),
        _mark(line.moonshot_rule or line.rule, line.moonshot, line.unit),
        figure.verdict,
    ]


def _advantages(figure: Figure) -> list[float]:
    if figure.line.higher_is_better:
        return figure.ratios
    return [1 / ratio if ratio else math.inf for ratio in figure.ratios]


def _mark(rule: str, mark: float | None, unit: str) -> str:
    if mark is None or rule == "none":
        return ""
    if rule == "times":
        return f">= {_times(mark)}"
    if rule == "ratio":
        return f"ratio <= {mark:g}"
    return f"<= {mark:g} {unit}".rstrip()


def _times(value: float) -> str:
    if math.isinf(value):
        return "all"  # wpy's own figure is 0
    return f"x{value:.1f}" if value < 100 else f"x{value:.0f}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def as_json(found: Sequence[Figure], results: Results, about: dict[str, Any]) -> dict[str, Any]:
    """The report for a program."""
    return {
        **about,
        "rounds": results.rounds,
        "figures": {
            figure.line.key: {
                "title": figure.line.title.strip(),
                "unit": figure.line.unit,
                "wpy": figure.wpy,
                "wrangler": figure.wrangler,
                "ratio": figure.ratio,
                "times_better": None if figure.times in (None, math.inf) else figure.times,
                "ratios": figure.ratios,
                "per_round": figure.per_round,
                "rule": figure.line.rule,
                "bar": figure.line.bar,
                "moonshot": figure.line.moonshot,
                "verdict": figure.verdict,
            }
            for figure in found
        },
        "failures": results.failures,
    }
