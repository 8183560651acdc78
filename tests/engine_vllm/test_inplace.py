"""New values into the storage of the old ones, on a GPU that is none: its memory is the host's."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sluicegate_engine.reload import checksums, inplace
from sluicegate_engine.reload.checksums import digest, fingerprints
from sluicegate_engine.reload.inplace import InPlaceCopy
from sluicegate_engine.reload.refusal import RefusedError, restart_required
from sluicegate_engine.reload.shadow import CancelledError

PIECE = 1 << 16


class FakeGpu:
    """`taken` are the bytes taken of its memory, `locked` those of the host's, piece by piece.

    `lockable` is how many pieces can be locked.
    """

    def __init__(self) -> None:
        self.free = 0
        self.lockable = 1000
        self.taken: list[int] = []
        self.locked: list[int] = []
        self.transfers = 0

    @contextmanager
    def beside_the_engine(self) -> Iterator[None]:
        yield

    def lock(self, memory: torch.Tensor) -> None:
        if len(self.locked) == self.lockable:
            raise restart_required("InsufficientHostMemory", "no more")
        self.locked.append(memory.numel())

    def unlock(self, memory: torch.Tensor) -> None:
        self.locked.remove(memory.numel())

    def finish(self) -> None:
        self.transfers += 1

    def room(self) -> int:
        return self.free

    def take(self, size: int) -> torch.Tensor:
        self.taken.append(size)
        return torch.empty(size, dtype=torch.uint8)


class Model(torch.nn.Module):
    """Two layers, one of them larger than a piece and neither a multiple of one."""

    def __init__(self) -> None:
        super().__init__()
        self.large = torch.nn.Linear(256, PIECE // 256 // 2 + 3, bias=False, dtype=torch.bfloat16)
        self.small = torch.nn.Linear(3, 5, dtype=torch.bfloat16)

    def load_weights(self, weights: Iterator[tuple[str, torch.Tensor]]) -> set[str]:
        parameters, loaded = dict(self.named_parameters()), set()
        for name, tensor in weights:
            parameters[name].data.copy_(tensor)
            loaded.add(name)
        return loaded


def model(seed: int) -> Model:
    torch.manual_seed(seed)
    return Model()


def write(directory: Path, weights: dict[str, torch.Tensor]) -> Path:
    directory.mkdir()
    save_file(weights, directory / "model.safetensors")
    return directory


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(inplace, "PIECE_BYTES", PIECE)


@pytest.fixture
def gpu() -> FakeGpu:
    return FakeGpu()


@pytest.fixture
def serving() -> Model:
    return model(1)


@pytest.fixture
def way(serving: Model, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> InPlaceCopy:
    monkeypatch.setattr(inplace, "build_shadow", lambda _: Model())
    return InPlaceCopy(serving, None, gpu)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return write(tmp_path / "second", model(2).state_dict())


@pytest.fixture
def third(tmp_path: Path) -> Path:
    return write(tmp_path / "third", model(3).state_dict())


def fill(way: InPlaceCopy, directory: Path) -> None:
    way.fill(directory, threading.Event())


def of(model: torch.nn.Module) -> str:
    return digest(fingerprints(model))


def break_the_last_copy(way: InPlaceCopy) -> None:
    target, source = way._forth[-1]
    way._forth[-1] = target, source[:-1]


@pytest.mark.parametrize("room", [0, 1 << 40], ids=["from the host", "from the GPU"])
def test_staged_weights_serve_after_a_switch_in_the_storage_of_the_old(
    way: InPlaceCopy, serving: Model, second: Path, gpu: FakeGpu, room: int
) -> None:
    gpu.free = room
    places = [each.data_ptr() for each in serving.parameters()]
    fill(way, second)
    assert of(serving) == of(model(1)), "staging touches nothing that serves"
    assert way.other_digest() == of(model(2))
    if room:
        # What waits on the GPU is what serves then.
        for tensor in way._blocks[1].values():
            tensor.zero_()
    way.switch()
    assert of(serving) == of(model(2))
    assert [each.data_ptr() for each in serving.parameters()] == places
    way.restore()
    assert of(serving) == of(model(1))


def test_after_a_failure_at_the_last_copy_everything_is_as_before(
    way: InPlaceCopy, serving: Model, second: Path
) -> None:
    fill(way, second)
    break_the_last_copy(way)
    with pytest.raises(RuntimeError):
        way.switch()
    assert of(serving) == of(model(1))
    way.restore()
    assert of(serving) == of(model(1))
    fill(way, second)
    way.switch()
    assert of(serving) == of(model(2))


def test_what_was_staged_last_is_the_way_back_from_the_next(
    way: InPlaceCopy, serving: Model, second: Path, third: Path, gpu: FakeGpu
) -> None:
    fill(way, second)
    way.switch()
    way.free()
    locked, backed_up = len(gpu.locked), gpu.transfers
    fill(way, third)
    measured = gpu.transfers - backed_up
    assert len(gpu.locked) == locked, "memory is taken once"
    assert measured == len(way._forth), "and read from the GPU once"
    break_the_last_copy(way)
    with pytest.raises(RuntimeError):
        way.switch()
    assert of(serving) == of(model(2))


def test_after_a_way_back_the_next_staging_leaves_the_backup_alone(
    way: InPlaceCopy, serving: Model, second: Path, third: Path
) -> None:
    fill(way, second)
    way.switch()
    way.restore()
    fill(way, third)
    way.switch()
    assert of(serving) == of(model(3))
    way.restore()
    assert of(serving) == of(model(1))


def test_memory_is_locked_in_the_pieces_in_which_it_is_copied(
    way: InPlaceCopy, second: Path, gpu: FakeGpu
) -> None:
    assert way.host_bytes == 0
    fill(way, second)
    pieces = [source.numel() for _, source in way._forth]
    assert max(pieces) == PIECE
    assert gpu.locked == 2 * pieces
    assert all(source.data_ptr() % 4096 == 0 for _, source in way._forth)
    assert way.host_bytes >= 2 * sum(pieces)


@pytest.mark.parametrize("fault", [None, ValueError("unreadable")])
def test_half_of_the_threads_read_files_in_short_turns(
    way: InPlaceCopy, second: Path, fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, turns = sys.getswitchinterval(), []
    load_weights = Model.load_weights

    def watched(self: Model, weights: Iterator[tuple[str, torch.Tensor]]) -> set[str]:
        turns.append(sys.getswitchinterval())
        if fault:
            raise fault
        return load_weights(self, weights)

    monkeypatch.setattr(Model, "load_weights", watched)
    with pytest.raises(ValueError, match="unreadable") if fault else nullcontext():
        fill(way, second)
    assert turns == [pytest.approx(usual / 10)] * (inplace._LOADERS // 2)
    assert sys.getswitchinterval() == usual


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """How long each thread rests after something that takes a second: this one locks, others read."""
    found: dict[str, list[float]] = {"locking": [], "reading": []}

    def rest(seconds: float) -> None:
        main = threading.current_thread() is threading.main_thread()
        found["locking" if main else "reading"].append(seconds)

    monkeypatch.setattr(time, "perf_counter", count().__next__)
    monkeypatch.setattr(time, "sleep", rest)
    return found


def test_two_ranks_rest_twice_as_long_after_each_lock_and_read_with_half_as_many_threads(
    serving: Model,
    second: Path,
    gpu: FakeGpu,
    rests: dict[str, list[float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inplace, "build_shadow", lambda _: Model())
    threads: list[int] = []
    load = inplace.load
    monkeypatch.setattr(inplace, "load", lambda *given: (threads.append(given[3]), load(*given)))
    for ranks in (1, 2, 8):
        fill(InPlaceCopy(serving, None, gpu, ranks), second)
    locking = rests["locking"]
    alone, two, eight = locking[: len(locking) // 3], locking[len(locking) // 3 :], locking[-1:]
    assert two[: len(alone)] == [2 * rest for rest in alone]
    assert eight == [8 * alone[-1]]
    assert threads == [4, 2, 2]


def test_a_reader_rests_as_long_as_each_tensor_took(
    way: InPlaceCopy, second: Path, gpu: FakeGpu, rests: dict[str, list[float]]
) -> None:
    way._ranks = 2
    fill(way, second)
    assert rests["reading"] == [1.0] * len(model(2).state_dict())


def test_host_memory_that_cannot_be_had_is_no_fault_of_the_version_and_leaves_none_locked(
    way: InPlaceCopy, second: Path, gpu: FakeGpu
) -> None:
    gpu.lockable = 3
    with pytest.raises(RefusedError, match="RestartRequired: InsufficientHostMemory"):
        fill(way, second)
    assert (gpu.locked, way.host_bytes) == ([], 0)
    gpu.lockable = 1000
    fill(way, second)
    assert way.other_digest() == of(model(2))


def test_the_memory_of_the_gpu_is_left_alone_where_the_engine_may_need_it(
    way: InPlaceCopy, second: Path, gpu: FakeGpu
) -> None:
    fill(way, second)
    weights = way.host_bytes // 2
    assert gpu.taken == [PIECE]
    gpu.free = weights + inplace._RESERVE - 1
    fill(way, second)
    assert gpu.taken == 2 * [PIECE]
    gpu.free += 1
    for _ in range(2):
        fill(way, second)
    assert gpu.taken == [*2 * [PIECE], weights]


def test_staging_that_is_given_up_leaves_the_next_one_a_clean_place(
    way: InPlaceCopy, serving: Model, second: Path
) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError):
        way.fill(second, cancelled)
    fill(way, second)
    way.switch()
    assert of(serving) == of(model(2))


BAD = {
    "a value that is no number": ("NotFinite", lambda w: w | {"small.bias": w["small.bias"] * torch.nan}),
    "no values": ("CheckpointIncomplete", lambda w: {k: v for k, v in w.items() if k != "small.bias"}),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_refused_and_touches_nothing(
    way: InPlaceCopy, serving: Model, tmp_path: Path, case: str
) -> None:
    reason, spoil = BAD[case]
    with pytest.raises(RefusedError) as refusal:
        fill(way, write(tmp_path / "bad", spoil(model(2).state_dict())))
    assert refusal.value.reason == reason
    assert of(serving) == of(model(1))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(torch.nn.Linear(3, 5, dtype=torch.float32), id="another dtype"),
        pytest.param(torch.nn.Linear(3, 6, dtype=torch.bfloat16), id="another shape"),
        pytest.param(torch.nn.Linear(3, 5, bias=False, dtype=torch.bfloat16), id="a parameter less"),
        pytest.param(torch.nn.Linear(3, 5, dtype=torch.bfloat16).requires_grad_(False), id="transposed"),
    ],
)
def test_an_engine_that_keeps_weights_in_another_form_is_refused(
    other: Any, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if "transposed" in request.node.callspec.id:
        other.weight.data = other.weight.data.T.contiguous().T
    serving = model(1)
    serving.small = other
    monkeypatch.setattr(inplace, "build_shadow", lambda _: Model())
    with pytest.raises(RefusedError, match="LayoutDiffers: the engine keeps small"):
        InPlaceCopy(serving, None, gpu)
