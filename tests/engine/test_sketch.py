"""Sketches: small, exact where it matters, and within their error everywhere."""

from __future__ import annotations

import random

from sluicegate_engine.sketch import Sketch


def of(*values: int) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


def test_small_values_are_counted_as_they_are() -> None:
    assert of(*range(64), 0, 63).encode() == [(0, 2), *((n, 1) for n in range(1, 63)), (63, 2)]


def test_any_value_is_told_within_a_sixty_fourth() -> None:
    chance = random.Random(7)
    values = [2**n + more for n in range(6, 36) for more in (-1, 0, 1, 2 ** (n - 1), chance.randrange(2**n))]
    for value in values:
        ((told, count),) = of(value).encode()
        assert count == 1
        assert abs(told - value) * 64 <= value


def test_order_is_kept_over_the_edges_of_buckets() -> None:
    told = [of(value).encode()[0][0] for value in range(5000)]
    assert told == sorted(told)


def test_a_sketch_is_bounded_whatever_is_counted() -> None:
    chance = random.Random(7)
    sketch = of(*(int(2 ** chance.uniform(0, 60)) for _ in range(200_000)), *range(64))
    assert 900 < len(sketch.encode()) <= 1024
    assert max(value for value, _ in sketch.encode()) < 2**36


def test_sketches_add_up_to_that_of_all_values() -> None:
    chance = random.Random(7)
    some, others = ([chance.randrange(10**6) for _ in range(1000)] for _ in range(2))
    assert (of(*some) + of(*others)).encode() == of(*some, *others).encode()
