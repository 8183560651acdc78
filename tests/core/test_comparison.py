"""Comparing two versions by what their pods measured: what is worse, and what is only chance."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.core.measured import measured

from sluicegate.api.v1alpha1.comparison import Comparison
from sluicegate.core.comparison import FIRST_TOKEN, LATENCY, LENGTH, PER_TOKEN, Sample, compare, sample

EVERYTHING = Comparison(
    max_ttft_p95_increase_percent=50,
    max_tpot_p95_increase_percent=50,
    max_latency_p95_increase_percent=50,
    max_output_tokens_p50_drift_percent=50,
)


def judged(before: dict[str, Any], after: dict[str, Any], limits: Comparison = EVERYTHING) -> str | None:
    return compare(sample([before]), sample([after]), limits).worse


def drawn(seed: int, count: int, scale: float = 1.0) -> dict[str, Any]:
    """Requests whose times vary as they do, log-normally; each is `scale` times as long as it would be."""
    chance = random.Random(seed)
    values = [int(scale * chance.lognormvariate(11, 0.8)) for _ in range(count)]
    return {"outcomes": {"served": count}, FIRST_TOKEN: [[value, 1] for value in values]}


# what came after -> words of what is worse, or None
AFTER: dict[str, tuple[dict[str, Any], str | None]] = {
    "the same": (measured(), None),
    "a little slower": (measured(first_token=149_000, per_token=29_000, latency=2_900_000), None),
    "faster": (measured(first_token=1_000, per_token=200, latency=20_000), None),
    "a slower first token": (
        measured(first_token=160_000),
        "the 95th percentile of the time to first token rose from 100 to 160 ms, by more than 50 %",
    ),
    "slower tokens": (
        measured(per_token=31_500),
        "the 95th percentile of the time per output token rose from 20 to 31.5 ms, by more than 50 %",
    ),
    "slower answers": (
        measured(latency=4_000_000),
        "the 95th percentile of the latency rose from 2000 to 4000 ms, by more than 50 %",
    ),
    "longer answers": (measured(length=151), "the median length went from 100 to 151 tokens"),
    "shorter answers": (measured(length=49), "the median length went from 100 to 49 tokens"),
    "somewhat shorter answers": (measured(length=51), None),
    "errors": (
        measured(800, error=200),
        "failed requests rose from 0 to 200 per mille, by more than 50",
    ),
    "clients that gave up": (measured(800, unanswered=200), "failed requests rose from 0 to 200 per mille"),
    "clients that left in the middle": (measured(800, disconnected=200), None),
    "bad requests": (measured(800, client_error=200), None),
    "a full queue": (measured(800, rejected=200), None),
    "some errors": (measured(950, error=50), None),
}


@pytest.mark.parametrize(("after", "worse"), AFTER.values(), ids=AFTER)
def test_what_came_after_is_judged(after: dict[str, Any], worse: str | None) -> None:
    found = judged(measured(), after)
    assert (found is None) == (worse is None)
    assert (worse or "") in (found or "")


def test_errors_that_were_there_before_are_no_reason() -> None:
    assert judged(measured(700, error=300), measured(700, error=300)) is None
    assert judged(measured(700, error=300), measured(680, error=320)) is None


def test_errors_alone_are_compared_unless_more_is_asked_for() -> None:
    slow = measured(first_token=10**9, per_token=10**9, latency=10**9, length=5)
    assert judged(measured(), slow, Comparison()) is None
    assert judged(measured(), measured(1, error=999), Comparison()) is not None
    assert (
        judged(measured(), measured(1, error=999), Comparison(max_error_rate_increase_permille=1000)) is None
    )


@pytest.mark.parametrize(("before", "after", "least"), [(99, 1000, 99), (1000, 40, 40), (0, 0, 0)])
def test_too_few_requests_on_either_side_are_not_compared_and_it_says_so(
    before: int, after: int, least: int
) -> None:
    found = compare(sample([measured(before)]), sample([measured(0, error=after)]), EVERYTHING)
    assert (found.worse, found.note) == (None, f"too few requests to compare: {least} of 100")


def test_a_figure_of_too_few_values_is_not_compared() -> None:
    whole = {**measured(), FIRST_TOKEN: [[100_000, 99]]}
    assert judged(whole, measured(first_token=10**9)) is None
    assert judged(measured(), {**measured(), FIRST_TOKEN: [[10**9, 99]]}) is None
    assert judged({**measured(), LENGTH: [[100, 99]]}, measured(length=10**6)) is None
    assert judged(measured(), {**measured(), LENGTH: [[10**6, 99]]}) is None


def test_what_was_compared_is_told() -> None:
    found = compare(sample([measured(500)]), sample([measured(300)]), EVERYTHING)
    assert found.note == "compared by 500 requests before and 300 after"


def test_clients_that_left_count_and_what_was_refused_does_not() -> None:
    after = measured(200, disconnected=100, client_error=50, rejected=50)
    found = compare(sample([measured(500)]), sample([after]), EVERYTHING)
    assert found.note == "compared by 500 requests before and 300 after"


@pytest.mark.parametrize("count", [100, 300, 1000, 5000])
def test_chance_makes_no_difference(count: int) -> None:
    limits = Comparison(max_ttft_p95_increase_percent=5)
    found = [judged(drawn(seed, count), drawn(seed + 1000, count), limits) for seed in range(200)]
    assert [each for each in found if each] == []


@pytest.mark.parametrize(("count", "scale"), [(100, 6.0), (1000, 2.0), (5000, 1.5)])
def test_a_true_difference_is_found_with_enough_requests(count: int, scale: float) -> None:
    limits = Comparison(max_ttft_p95_increase_percent=10)
    found = [judged(drawn(seed, count), drawn(seed + 1000, count, scale), limits) for seed in range(50)]
    assert sum(each is not None for each in found) >= 45


def each_once(count: int, name: str, step: int) -> dict[str, Any]:
    """Requests of which each took longer than the one before: the value at a rank is so many steps."""
    return {"outcomes": {"served": count}, name: [[rank * step, 1] for rank in range(1, count + 1)]}


def alike(count: int, name: str, value: int) -> dict[str, Any]:
    return {"outcomes": {"served": count}, name: [[value, count]]}


# figure, number of requests -> the ranks between which chance leaves its quantile: three standard deviations
RANKS = [
    (FIRST_TOKEN, 10, 8, 10),
    (FIRST_TOKEN, 233, 213, 231),
    (FIRST_TOKEN, 236, 215, 235),
    (FIRST_TOKEN, 1000, 930, 970),
    (LENGTH, 10, 1, 9),
    (LENGTH, 215, 86, 130),
    (LENGTH, 255, 105, 151),
    (LENGTH, 1000, 453, 547),
]


@pytest.mark.parametrize(("name", "count", "low", "high"), RANKS)
def test_what_is_allowed_is_allowed_to_the_last_unit_beyond_chance(
    name: str, count: int, low: int, high: int
) -> None:
    limits = Comparison(
        min_requests=10, max_ttft_p95_increase_percent=5, max_output_tokens_p50_drift_percent=5
    )
    assert judged(alike(count, name, low * 1000), each_once(count, name, 1050), limits) is None
    assert judged(alike(count, name, low * 1000 - 1), each_once(count, name, 1050), limits)
    assert judged(each_once(count, name, 1000), alike(count, name, high * 1050), limits) is None
    assert judged(each_once(count, name, 1000), alike(count, name, high * 1050 + 1), limits)
    if name == LENGTH:
        assert judged(each_once(count, name, 1000), alike(count, name, low * 950), limits) is None
        assert judged(each_once(count, name, 1000), alike(count, name, low * 950 - 1), limits)
        assert judged(alike(count, name, high * 1000), each_once(count, name, 950), limits) is None
        assert judged(alike(count, name, high * 1000 + 1), each_once(count, name, 950), limits)


def test_the_percentile_that_is_told_is_the_value_at_its_rank() -> None:
    def times(unit: int) -> dict[str, Any]:
        values = [[100 * unit, 949], [150 * unit, 1], [200 * unit, 50]]
        return {"outcomes": {"served": 1000}, FIRST_TOKEN: values}

    assert "rose from 150 to 1500 ms" in (judged(times(1000), times(10_000)) or "")


# before, after -> the greatest increase in per mille that is not allowed yet
RATES = [
    (measured(100), measured(90, error=10), 9),
    (measured(100), measured(49, error=51), 360),
    (measured(1000), measured(900, error=100), 71),
    (measured(700, error=300), measured(400, error=600), 210),
    (measured(1999, error=1), measured(0, error=100), 998),
]


@pytest.mark.parametrize(("before", "after", "permille"), RATES)
def test_errors_may_rise_as_far_as_is_allowed_beyond_chance(
    before: dict[str, Any], after: dict[str, Any], permille: int
) -> None:
    assert judged(before, after, Comparison(max_error_rate_increase_permille=permille))
    assert judged(before, after, Comparison(max_error_rate_increase_permille=permille + 1)) is None


def test_few_errors_are_told_from_chance_only_with_many_requests() -> None:
    limits = Comparison(max_error_rate_increase_permille=10)
    assert judged(measured(100), measured(96, error=4), limits) is None
    assert judged(measured(4000), measured(3840, error=160), limits) is not None


def test_pods_add_up() -> None:
    both = sample([measured(300, error=1), measured(200, first_token=7, error=2)])
    assert (both.requests, both.failed) == (503, 3)
    assert both.sketches[FIRST_TOKEN] == {100_000: 300, 7: 200}


def test_an_answer_without_a_token_counts() -> None:
    assert sample([{LENGTH: [[0, 5]]}]).sketches[LENGTH] == {0: 5}


FIGURES = {
    "timeToFirstTokenMicroseconds": FIRST_TOKEN,
    "timePerOutputTokenMicroseconds": PER_TOKEN,
    "latencyMicroseconds": LATENCY,
    "outputTokens": LENGTH,
}


@pytest.mark.parametrize(("told", "name"), FIGURES.items())
def test_figures_are_read_by_the_names_by_which_pods_tell_them(told: str, name: str) -> None:
    assert sample([{told: [[7, 5]]}]).sketches[name] == {7: 5}


# What a pod may say that is not to be believed.
NONSENSE: list[Any] = [
    None,
    7,
    {},
    {"outcomes": 7, FIRST_TOKEN: 7},
    {"outcomes": {"served": -1, "error": "many", "unanswered": None}, LATENCY: [[1, 2, 3], 5, [1, -1]]},
    {"outcomes": [], PER_TOKEN: {"1": 2}, LENGTH: [["1", 2], [None, 1], [2.5, 1]]},
]


@pytest.mark.parametrize("told", NONSENSE)
def test_what_cannot_be_read_counts_as_nothing(told: Any) -> None:
    found = sample([told])
    assert found.requests == 0
    assert not any(found.sketches.values())
    assert compare(found, Sample(), EVERYTHING).worse is None
