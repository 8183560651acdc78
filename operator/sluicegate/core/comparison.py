"""Comparison: whether one version answers worse than another, by what their pods measured.

A quantile of few requests says little. So two are told apart only where even the most favourable values that
chance leaves open differ by more than is allowed: order statistics three standard deviations to each side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import isqrt
from typing import Any

from sluicegate.api.v1alpha1.comparison import Comparison

FIRST_TOKEN = "timeToFirstTokenMicroseconds"
PER_TOKEN = "timePerOutputTokenMicroseconds"
LATENCY = "latencyMicroseconds"
LENGTH = "outputTokens"

_DEVIATIONS = 3
_FAILED = ("error", "unanswered")
_ANSWERED = ("served", "disconnected")


@dataclass(frozen=True)
class Sample:
    """Requests of one version: counts by outcome, and by name how often each value was there."""

    outcomes: Mapping[str, int] = field(default_factory=dict)
    sketches: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.outcomes.get(each, 0) for each in _FAILED)

    @property
    def requests(self) -> int:
        """Those that the version had to answer."""
        return self.failed + sum(self.outcomes.get(each, 0) for each in _ANSWERED)


@dataclass(frozen=True)
class Finding:
    """`worse` says what is worse than allowed, or is None; `note` what was compared, for people.

    `so_far` says the same without numbers that change with every request.
    """

    worse: str | None
    note: str
    so_far: str


def sample(told: Iterable[Any]) -> Sample:
    """What several pods tell of one version, added up. What cannot be read counts as nothing."""
    outcomes: Counter[str] = Counter()
    sketches: dict[str, Counter[int]] = {}
    for each in told:
        body = each if isinstance(each, Mapping) else {}
        outcomes.update(_counts(body.get("outcomes")))
        for name in (FIRST_TOKEN, PER_TOKEN, LATENCY, LENGTH):
            sketches.setdefault(name, Counter()).update(_pairs(body.get(name)))
    return Sample(outcomes, sketches)


def compare(before: Sample, after: Sample, limits: Comparison) -> Finding:
    """Whether `after` is worse than `before` by more than the limits allow."""
    least = min(before.requests, after.requests)
    if least < limits.min_requests:
        note = f"too few requests to compare: {least} of {limits.min_requests}"
        return Finding(
            None, note, f"fewer than {limits.min_requests} requests on either side: not compared yet"
        )
    note = f"compared by {before.requests} requests before and {after.requests} after"
    return Finding(next(_worse(before, after, limits), None), note, "no worse so far")


def _worse(before: Sample, after: Sample, limits: Comparison) -> Iterator[str]:
    yield from _more_errors(before, after, limits.max_error_rate_increase_permille)
    for name, words, percent in (
        (FIRST_TOKEN, "time to first token", limits.max_ttft_p95_increase_percent),
        (PER_TOKEN, "time per output token", limits.max_tpot_p95_increase_percent),
        (LATENCY, "latency", limits.max_latency_p95_increase_percent),
    ):
        old, new = _quantiles(before, name, 95, limits), _quantiles(after, name, 95, limits)
        if percent and old and new and new.low * 100 > old.high * (100 + percent):
            times = f"{_milliseconds(old.told)} to {_milliseconds(new.told)} ms"
            yield f"the 95th percentile of the {words} rose from {times}, by more than {percent} %"
    yield from _other_lengths(before, after, limits)


def _more_errors(before: Sample, after: Sample, permille: int) -> Iterator[str]:
    old, new = _rate(before), _rate(after)
    if new.low > old.high + permille * 1000:
        rates = f"{old.told // 1000} to {new.told // 1000} per mille"
        yield f"failed requests rose from {rates}, by more than {permille}"


def _other_lengths(before: Sample, after: Sample, limits: Comparison) -> Iterator[str]:
    percent = limits.max_output_tokens_p50_drift_percent
    old, new = _quantiles(before, LENGTH, 50, limits), _quantiles(after, LENGTH, 50, limits)
    if not (percent and old and new):
        return
    longer = new.low * 100 > old.high * (100 + percent)
    if longer or new.high * 100 < old.low * (100 - percent):
        yield f"the median length went from {old.told} to {new.told} tokens, by more than {percent} %"


@dataclass(frozen=True)
class _Range:
    """A value, and between what chance leaves it."""

    low: int
    told: int
    high: int


def _quantiles(of: Sample, name: str, percent: int, limits: Comparison) -> _Range | None:
    """A percentile, or None of too few values."""
    counts = of.sketches.get(name, {})
    count = sum(counts.values())
    if count < limits.min_requests:
        return None
    rank = -(-count * percent // 100)
    spread = _DEVIATIONS * (isqrt(count * percent * (100 - percent)) + 1) // 100
    ranks = (max(1, rank - spread), rank, min(count, rank + spread))
    values = sorted(counts)
    reached = list(accumulate(counts[value] for value in values))
    low, told, high = (next(v for v, n in zip(values, reached, strict=True) if n >= each) for each in ranks)
    return _Range(low, told, high)


def _rate(of: Sample) -> _Range:
    """Failed requests, in millionths of all."""
    failed, count = of.failed, of.requests
    rate = failed * 1_000_000 // count
    spread = _DEVIATIONS * isqrt(rate * (1_000_000 - rate) // count)
    return _Range(rate - spread, rate, rate + spread)


def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.4g}"


def _counts(told: Any) -> Mapping[str, int]:
    pairs = told.items() if isinstance(told, Mapping) else ()
    return {name: count for name, count in pairs if _is_count(count)}


def _pairs(told: Any) -> Mapping[int, int]:
    pairs: Counter[int] = Counter()
    for pair in told if isinstance(told, list) else ():
        if isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_count, pair)):
            pairs[pair[0]] += pair[1]
    return pairs


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0
