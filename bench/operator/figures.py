"""Figures: what was measured how often, beside the bar that it has to reach."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach: no less (≥) or no more (≤) than the limit."""

    sign: Literal["≥", "≤"]
    limit: float

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.sign == "≥" else value <= self.limit


@dataclass(frozen=True)
class Figure:
    """One row. `runs` are the measurements, in the order in which they were made; their median counts."""

    name: str
    unit: str
    runs: Sequence[float]
    bar: Bar | None = None

    @property
    def value(self) -> float:
        return median(self.runs)

    @property
    def verdict(self) -> str:
        """`met` or `missed`; empty for a figure that only explains others."""
        if self.bar is None:
            return ""
        return "met" if self.bar.holds(self.value) else "missed"


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", choices=("table", "json"), default="table", help="json: one object a line for each figure"
    )


def show(figures: Iterable[Figure], output: str) -> None:
    print("\n".join(map(_as_json, figures)) if output == "json" else _as_table(list(figures)))


def _as_json(figure: Figure) -> str:
    return json.dumps(
        {
            "figure": figure.name,
            "unit": figure.unit,
            "median": round(figure.value, 4),
            "runs": [round(run, 4) for run in figure.runs],
            "bar": f"{figure.bar.sign} {figure.bar.limit:g}" if figure.bar else None,
            "verdict": figure.verdict or None,
        },
        ensure_ascii=False,
    )


def _as_table(figures: Sequence[Figure]) -> str:
    rows = [("figure", "median", "lowest to highest", "runs", "bar", "verdict"), *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    spread = f"{_number(min(figure.runs))} to {_number(max(figure.runs))}" if len(figure.runs) > 1 else ""
    bar = f"{figure.bar.sign} {figure.bar.limit:g}" if figure.bar else ""
    value = f"{_number(figure.value)} {figure.unit}".strip()
    return figure.name, value, spread, str(len(figure.runs)), bar, figure.verdict


def _number(value: float) -> str:
    """Three digits that matter, and whole numbers as they are."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
