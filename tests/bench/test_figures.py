"""What a benchmark shows: medians beside their bars, for people and for programs."""

from __future__ import annotations

import json

import pytest
from bench.operator.figures import Bar, Figure, show


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [(Bar("≥", 0.7), "met"), (Bar("≥", 0.8), "missed"), (Bar("≤", 0.7), "met"), (Bar("≤", 0.6), "missed")],
)
def test_the_median_is_held_to_the_bar(bar: Bar, verdict: str) -> None:
    assert Figure("rate", "", [0.1, 0.7, 5.0], bar).verdict == verdict


def test_a_table_has_its_columns_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    show([Figure("time", "s", [1.25, 2.5, 100.4], Bar("≤", 3)), Figure("a longer name", "", [0])], "table")

    assert capsys.readouterr().out.splitlines() == [
        "figure         median  lowest to highest  runs  bar  verdict",
        "time           2.50 s  1.25 to 100        3     ≤ 3  met",
        "a longer name  0                          1",
    ]


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show([Figure("time", "s", [3, 1, 2], Bar("≤", 3)), Figure("other", "", [4])], "json")

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "figure": "time",
        "unit": "s",
        "median": 2,
        "runs": [3, 1, 2],
        "bar": "≤ 3",
        "verdict": "met",
    }
    assert (second["bar"], second["verdict"]) == (None, None)
