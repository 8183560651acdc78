"""What a reload decides without an engine: which orders, which engines, how much memory, which record."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from sluicegate_engine.pointer import Pointer, Source, Target
from sluicegate_engine.reload.capability import EngineFacts, Way, way_for
from sluicegate_engine.reload.committed import Committed, newest, read_committed, write_committed
from sluicegate_engine.reload.memory import Room, container_room, require_room, staging_bytes
from sluicegate_engine.reload.order import GoldenPrompt, MalformedError, Mode, parse_order
from sluicegate_engine.reload.ranks import Ranks
from sluicegate_engine.reload.refusal import RefusedError
from sluicegate_engine.reload.snapshot import Tensor

DIGEST = "sha256:" + "a" * 64
TARGET = Target("v2", DIGEST, Source("pvc://claim/m"))
GOLDEN = {"name": "g", "prompt": [5], "tokens": [1, 2], "logProbabilities": [-1, -0.5], "tolerance": 0.05}
ORDER: dict[str, Any] = {
    "version": "v2",
    "digest": DIGEST,
    "sequence": 3,
    "source": {"uri": "pvc://claim/m"},
    "mode": "Stage",
}
CPU = EngineFacts(
    architecture="LlamaForCausalLM",
    quantization=None,
    device="cpu",
    dtype="bfloat16",
    element_bytes=2,
    tensor_parallel=1,
    other_parallel=1,
    compiled=False,
    speculation=None,
    adapters=False,
    host_bytes=0,
)
CUDA = replace(CPU, device="cuda", compiled=True)


def test_an_order_is_read_with_its_golden_prompts() -> None:
    found = parse_order(json.dumps({**ORDER, "golden": [GOLDEN]}).encode())
    assert (found.target, found.sequence, found.mode) == (TARGET, 3, Mode.STAGE)
    assert found.golden == (GoldenPrompt("g", (5,), (1, 2), (-1.0, -0.5), 0.05),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": ""}, "version"),
        ({"digest": "sha256:1"}, "digest"),
        ({"source": None}, "source"),
        ({"source": {"uri": 1}}, "source"),
        ({"sequence": 0}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"sequence": "3"}, "sequence"),
        ({"mode": "switch"}, "mode"),
        ({"mode": []}, "mode"),
        ({"golden": {}}, "golden"),
        ({"golden": [1]}, "golden"),
        ({"golden": [{**GOLDEN, "tokens": [1]}]}, "golden"),
        ({"golden": [{**GOLDEN, "tokens": [], "logProbabilities": []}]}, "golden"),
        ({"golden": [{**GOLDEN, "tokens": [1, -2]}]}, "golden"),
        ({"golden": [{**GOLDEN, "logProbabilities": [0, None]}]}, "golden"),
    ],
)
def test_an_order_that_is_malformed_is_told_what_is_wrong(change: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        parse_order(json.dumps({**ORDER, **change}).encode())


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_what_is_no_object_is_no_order(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_order(body)


@pytest.mark.parametrize("ranks", [1, 2])
def test_an_engine_on_the_list_is_changed_its_way(ranks: int) -> None:
    assert way_for(replace(CPU, tensor_parallel=ranks)) is Way.EXCHANGE


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("ranks", [1, 2])
def test_on_gpus_weights_are_copied_compiled_or_not(compiled: bool, ranks: int) -> None:
    assert way_for(replace(CUDA, compiled=compiled, tensor_parallel=ranks)) is Way.COPY


@pytest.mark.parametrize(
    ("change", "particular"),
    [
        ({"dtype": "float16"}, "UnsupportedDtype"),
        ({"dtype": "float32"}, "UnsupportedDtype"),
        ({"quantization": "fp8"}, "UnsupportedQuantization"),
        ({"tensor_parallel": 4}, "UnsupportedParallelism"),
        ({"speculation": "eagle3"}, "UnsupportedSpeculation"),
        ({"adapters": True}, "UnsupportedAdapters"),
    ],
)
def test_on_a_gpu_what_was_not_tested_there_needs_another_pod(
    change: dict[str, Any], particular: str
) -> None:
    with pytest.raises(RefusedError, match=particular):
        way_for(replace(CUDA, **change))


@pytest.mark.parametrize(
    ("change", "particular"),
    [
        ({"architecture": "DeepseekV3ForCausalLM"}, "UnsupportedArchitecture"),
        ({"device": "tpu"}, "UnsupportedArchitecture"),
        ({"dtype": "float64"}, "UnsupportedDtype"),
        ({"quantization": "awq"}, "UnsupportedQuantization"),
        ({"tensor_parallel": 4}, "UnsupportedParallelism"),
        ({"other_parallel": 2}, "UnsupportedParallelism"),
        ({"compiled": True}, "CompiledEngine"),
        ({"speculation": "ngram"}, "UnsupportedSpeculation"),
        ({"adapters": True}, "UnsupportedAdapters"),
    ],
)
def test_an_engine_that_is_not_on_the_list_needs_another_pod(change: dict[str, Any], particular: str) -> None:
    with pytest.raises(RefusedError) as caught:
        way_for(replace(CPU, **change))
    assert caught.value.reason == "RestartRequired"
    assert caught.value.message.startswith(f"{particular}: ")


WEIGHTS = [Tensor("F32", (10, 2)), Tensor("BF16", (5,))]


def test_to_exchange_takes_the_weights_and_twice_the_largest() -> None:
    assert staging_bytes(WEIGHTS, CPU, Way.EXCHANGE) == 40 + 10 + 2 * 40


@pytest.mark.parametrize(("kept", "needed"), [(0, 100), (60, 40), (4096, 0)])
def test_to_copy_takes_the_weights_twice_less_what_is_kept_for_it(kept: int, needed: int) -> None:
    assert staging_bytes(WEIGHTS, replace(CUDA, host_bytes=kept), Way.COPY) == needed


async def test_what_ranks_have_taken_for_copies_counts_together() -> None:
    async def call(name: str, _: object) -> list[dict[str, Any]]:
        assert name == "describe"
        return [{"ok": True, **asdict(replace(CUDA, host_bytes=kept))} for kept in (60, 30)]

    facts = await Ranks(call).describe()
    assert facts == replace(CUDA, host_bytes=90)
    assert staging_bytes(WEIGHTS, facts, Way.COPY) == 10


def test_staging_wants_memory_that_the_container_has() -> None:
    mib = 1 << 20
    require_room(None, 1 << 50)
    require_room(Room(limit=1000 * mib, held=572 * mib), 300 * mib)
    with pytest.raises(RefusedError, match="RestartRequired: InsufficientHostMemory") as caught:
        require_room(Room(limit=1000 * mib, held=573 * mib + 1), 300 * mib)
    assert "staging takes 300 MiB" in caught.value.message
    assert "set resources.memory to 1002Mi or more" in caught.value.message
    # and with as much it goes
    require_room(Room(limit=1002 * mib, held=573 * mib + 1), 300 * mib)


V1 = {
    "memory/memory.limit_in_bytes": "1000",
    "memory/memory.usage_in_bytes": "600",
    "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
}
V2 = {"memory.max": "1000\n", "memory.current": "600\n", "memory.stat": "anon 500\ninactive_file 50\n"}


@pytest.mark.parametrize(
    ("files", "room"),
    [
        (V1, Room(1000, 550)),
        (V2, Room(1000, 550)),
        ({**V2, "memory.max": "max\n"}, None),
        ({**V1, "memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ({}, None),
        ({**V2, "memory.current": "many"}, None),
    ],
    ids=["v1", "v2", "no limit in v2", "no limit in v1", "no control group", "nonsense"],
)
def test_the_containers_memory_is_what_its_control_group_says(
    tmp_path: Path, files: dict[str, str], room: Room | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert container_room(tmp_path) == room


def test_a_commit_is_remembered(tmp_path: Path) -> None:
    committed = Committed(3, TARGET)
    write_committed(tmp_path / "record", committed)
    assert read_committed(tmp_path / "record") == committed
    assert list(tmp_path.iterdir()) == [tmp_path / "record"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", json.dumps({**TARGET.as_json(), "sequence": "3"}), json.dumps(TARGET.as_json())]
)
def test_a_record_that_is_none_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "record").write_text(text)
    assert read_committed(tmp_path / "record") is None
    assert read_committed(tmp_path / "absent") is None


def test_the_greater_sequence_is_served_and_at_a_tie_the_pointers() -> None:
    draft = Target("d", DIGEST)
    pointer = Pointer(Target("v1", DIGEST), draft, 3)
    assert newest(pointer, None) is pointer
    assert newest(pointer, Committed(2, TARGET)) is pointer
    assert newest(pointer, Committed(3, TARGET)) is pointer
    assert newest(pointer, Committed(4, TARGET)) == Pointer(TARGET, draft, 4)
