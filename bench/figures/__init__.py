"""What is measured: one function for each group of figures, and how its lines are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.sides import Subject

#: One measurement: a number, or the samples of which the line takes a percentile.
Value = float | list[float]


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of the report, with its bar.

    `bar` and `moonshot` are read by `rule`:

    - "times": how many times better wpy is than wrangler, median of the rounds; at least the bar.
    - "ratio": wpy / wrangler, median of the rounds; at most the bar.
    - "at most": wpy's own figure; at most the bar.
    - "none": for the reader's information.
    """

    key: str
    title: str
    unit: str
    rule: Literal["times", "ratio", "at most", "none"] = "none"
    bar: float | None = None
    moonshot: float | None = None
    #: How the moonshot is read where that differs from the bar.
    moonshot_rule: Literal["times", "ratio", "at most", "none"] | None = None
    higher_is_better: bool = False
    #: For samples: which part of them lies below the figure (0.99 for p99).
    quantile: float | None = None
    #: How the rounds become one figure: their median, the sum, or one pool of samples (implied by `quantile`).
    combine: Literal["median", "sum"] = "median"


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that are measured together. `measure` is called once per side and round."""

    name: str
    lines: tuple[Line, ...]
    measure: Callable[[Subject], dict[str, Value]]
    #: Measured for wpy alone: its bar needs no reference, or wrangler has nothing to compare with.
    wpy_alone: bool = False
    #: Takes minutes, so that it is left out unless asked for.
    full_only: bool = False
