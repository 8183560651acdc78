"""Sums of weights: equal for equal weights, others for any change."""

from __future__ import annotations

import pytest
import torch

from sluicegate_engine.reload import checksums
from sluicegate_engine.reload.checksums import as_bytes, digest, fingerprint, fingerprints, pieces, sums

ROW = 8192
SIZES = [1, 7, 8, ROW, 8 * ROW + 4464, 17 * ROW, 18 * ROW + 13]


def of(tensor: torch.Tensor) -> str:
    return digest([fingerprint(tensor)])


def weights(size: int) -> torch.Tensor:
    return torch.randint(0, 256, (size,), dtype=torch.uint8, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize("size", SIZES)
def test_any_flipped_bit_changes_the_digest(size: int) -> None:
    tensor = weights(size)
    seen = {of(tensor)}
    assert of(tensor.clone()) in seen
    places = {place % size for place in (0, 1, 7, 8, ROW, 17 * ROW, size // 2, size - 1)}
    for place in places:
        for bit in range(8):
            tensor[place] ^= 1 << bit
            seen.add(of(tensor))
            tensor[place] ^= 1 << bit
    assert len(seen) == 1 + 8 * len(places)


def test_a_flipped_bit_in_a_model_of_many_sums_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_FOLDED_BYTES", 3000)
    tensors = [weights(20 * ROW), weights(100), weights(40 * ROW + 3), weights(5)]
    seen = {digest(map(fingerprint, tensors))}
    places = [(tensor, place) for tensor in tensors for place in (0, tensor.numel() // 2, tensor.numel() - 1)]
    for tensor, place in places:
        tensor[place] ^= 0x80
        seen.add(digest(map(fingerprint, tensors)))
    assert len(seen) == 1 + len(places)


@pytest.mark.parametrize("size", [ROW, 17 * ROW])
@pytest.mark.parametrize("byte", [0x7F, 0x80, 0xFF])
def test_sums_are_exact_for_the_largest_and_the_smallest_bytes(size: int, byte: int) -> None:
    tensor = torch.full((size,), byte, dtype=torch.uint8)
    factors = checksums._factors(tensor.device).to(torch.int64)
    wanted = tensor.view(torch.int8).to(torch.int64).view(-1, ROW) @ factors.T
    assert torch.equal(sums(tensor).to(torch.int64), wanted.view(-1))


def test_factors_are_odd_and_two_products_of_theirs_with_bytes_have_room_in_16_bits() -> None:
    factors = checksums._factors(torch.device("cpu")).to(torch.int64)
    assert (factors % 2 == 1).all()
    assert 2 * 255 * factors.abs().max() < 1 << 15


def test_no_two_places_of_a_row_have_factors_alike_or_opposite() -> None:
    columns = checksums._factors(torch.device("cpu")).T.tolist()
    assert len({tuple(sign * each for each in column) for column in columns for sign in (1, -1)}) == 2 * ROW


@pytest.mark.parametrize("size", SIZES)
def test_a_tensor_has_the_sums_of_its_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "PIECE_BYTES", 8 * ROW)
    tensor = weights(size)
    assert torch.equal(torch.cat([sums(piece) for (piece,) in pieces(tensor)]), sums(as_bytes(tensor)))


@pytest.mark.parametrize("distance", [1, 8, ROW, 17 * ROW])
def test_two_values_that_change_places_change_the_digest(distance: int) -> None:
    tensor = weights(SIZES[-1])
    before = of(tensor)
    tensor[[0, distance]] = tensor[[distance, 0]]
    assert of(tensor) != before


@pytest.mark.parametrize("folded_bytes", [1, 1 << 20])
def test_equal_values_under_other_names_are_other_weights(
    folded_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "_FOLDED_BYTES", folded_bytes)
    one, other = torch.nn.ParameterDict(), torch.nn.ParameterDict()
    one["a"] = other["b"] = torch.nn.Parameter(torch.ones(100))
    one["b"] = other["a"] = torch.nn.Parameter(torch.zeros(100))
    assert digest(fingerprints(one)) != digest(fingerprints(other))


def test_the_order_in_which_a_model_lists_its_parameters_does_not_matter() -> None:
    one, other = torch.nn.Parameter(torch.ones(100)), torch.nn.Parameter(torch.zeros(100))
    models = torch.nn.Module(), torch.nn.Module()
    models[0].a, models[0].b = one, other
    models[1].b, models[1].a = other, one
    assert digest(fingerprints(models[0])) == digest(fingerprints(models[1]))


def test_a_tensor_that_is_not_contiguous_is_summed_as_its_values_are_read() -> None:
    table = weights(64).view(8, 8)
    assert of(table.T) == of(table.T.contiguous())
    assert of(table.T) != of(table)
