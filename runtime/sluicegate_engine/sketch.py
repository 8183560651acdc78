"""A sketch: how values are distributed, in little room and with a known relative error.

A bucket's width is a thirty-second of the power of two that it lies in, so that the error is relative, as in
DDSketch and HdrHistogram, with integers alone. A bucket goes by the value in its middle: whoever reads a
sketch needs to know nothing of how it was made, and adds sketches of several pods value by value.
"""

from __future__ import annotations

from collections import Counter

_EXACT_BITS = 6
"""Values of as many bits are counted as they are; of longer ones, so many leading bits matter."""
_LARGEST = (1 << 36) - 1
"""In microseconds, 19 hours. Larger values count as this one, so that there are at most 1,024 buckets."""


class Sketch:
    """Counts of integers from 0. The middle of a bucket is at most 1/64 (1.6 %) away from what it counts."""

    def __init__(self, counts: Counter[int] | None = None) -> None:
        self._counts: Counter[int] = counts or Counter()

    def add(self, value: int) -> None:
        self._counts[_middle(value)] += 1

    def __add__(self, other: Sketch) -> Sketch:
        return Sketch(self._counts + other._counts)

    def encode(self) -> list[tuple[int, int]]:
        """Pairs of a value and how often it was there, by value."""
        return sorted(self._counts.items())


def _middle(value: int) -> int:
    value = min(value, _LARGEST)
    shift = value.bit_length() - _EXACT_BITS
    if shift <= 0:
        return value
    return (value >> shift << shift) + (1 << shift >> 1)
