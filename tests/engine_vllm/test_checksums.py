"""Sums of weights: equal for equal weights, others for any change."""

from __future__ import annotations

import pytest
import torch

from sluicegate_engine.reload import checksums
from sluicegate_engine.reload.checksums import digest, fingerprint

SIZES = [1, 7, 8, 4096 * 8, 3 * 4096 * 8 + 13, 70_000]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "PIECE_BYTES", 2 * 4096 * 8)


def of(tensor: torch.Tensor) -> str:
    return digest({"weight": fingerprint(tensor)})


def weights(size: int) -> torch.Tensor:
    return torch.randint(0, 256, (size,), dtype=torch.uint8, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize("size", SIZES)
def test_any_flipped_bit_changes_the_digest(size: int) -> None:
    tensor = weights(size)
    seen = {of(tensor)}
    assert of(tensor.clone()) in seen
    places = {place % size for place in (0, 1, 7, 8, 4096 * 8, 2 * 4096 * 8, size // 2, size - 1)}
    for place in places:
        for bit in range(8):
            tensor[place] ^= 1 << bit
            seen.add(of(tensor))
            tensor[place] ^= 1 << bit
    assert len(seen) == 1 + 8 * len(places)


@pytest.mark.parametrize("distance", [2, 8, 4096 * 8, 2 * 4096 * 8])
def test_two_values_that_change_places_change_the_digest(distance: int) -> None:
    tensor = weights(SIZES[-1])
    before = of(tensor)
    tensor[[0, distance]] = tensor[[distance, 0]]
    assert of(tensor) != before


def test_equal_values_under_other_names_are_other_weights() -> None:
    one, other = fingerprint(weights(100)), fingerprint(weights(101))
    assert digest({"a": one, "b": other}) != digest({"a": other, "b": one})


def test_a_tensor_that_is_not_contiguous_is_summed_as_its_values_are_read() -> None:
    table = weights(64).view(8, 8)
    assert of(table.T) == of(table.T.contiguous())
    assert of(table.T) != of(table)
