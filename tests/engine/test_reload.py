"""A reload around the stand-in of vLLM: to the end, refused, undone, given up, and cut short."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.models import SMALL_FILES, TENSOR, safetensors, write_model
from tests.engine.pod import DIGEST, TOKEN, VERSION, Pod
from tests.engine.reloading import digest_of, golden, order, says, start_in
from tests.engine.store import FakeStore

from sluicegate_engine.gate_settings import VERSION_HEADER

Start = Callable[..., Awaitable[Pod]]


@pytest.fixture
async def start(tmp_path: Path, store: FakeStore) -> AsyncIterator[Start]:
    pods: list[Pod] = []
    model = write_model(tmp_path / "model-a", "a")

    async def begin(misbehaviour: str = "", directory: str = "pod", **options: object) -> Pod:
        pods.append(await start_in(tmp_path / directory, model, store, misbehaviour, **options))
        await pods[-1].until("Serving")
        return pods[-1]

    yield begin
    for pod in pods:
        await pod.close()


@pytest.fixture
async def pod(start: Start) -> Pod:
    return await start()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model-b", "b")


async def test_a_switch_changes_the_answers_the_header_and_the_status(pod: Pod, model: Path) -> None:
    before = await says(pod)
    assert (await pod.order("/reload", order(model, sequence=4)))[0] == 202
    told = await pod.until_reload(outcome="Committed")
    assert (before, await says(pod)) == ((VERSION, "a"), ("model-b", "b"))
    status = await pod.status()
    assert (status["phase"], status["ready"], status["sequence"]) == ("Serving", True, 4)
    assert (status["version"], status["digest"]) == ("model-b", digest_of(model))
    assert "model-b" in status["message"]
    assert (told["phase"], told["reason"], told["mode"]) == ("Ended", "", "Switch")
    assert {"ingesting", "staging", "quiescing", "copying", "proving"} <= told["seconds"].keys()
    page = (await pod.get(f"{pod.probe}/metrics"))[1]
    assert 'sluicegate_reloads_total{outcome="Committed"} 1.0' in page
    assert 'sluicegate_reload_seconds_total{phase="staging"}' in page


async def test_what_is_staged_waits_beside_what_serves_and_is_not_staged_again(
    pod: Pod, model: Path, store: FakeStore
) -> None:
    await pod.order("/reload", order(model, "Stage"))
    told = await pod.until_reload(outcome="Staged")
    assert told["phase"] == "Staged"
    assert await says(pod) == (VERSION, "a")
    await pod.order("/reload", order(model, "Switch"))
    await pod.until_reload(outcome="Committed")
    assert await says(pod) == ("model-b", "b")
    assert len(store.orders) == 1


async def test_another_stage_takes_the_place_of_one(pod: Pod, model: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "model-c", "c")
    await pod.order("/reload", order(model, "Stage"))
    await pod.until_reload(outcome="Staged")
    await pod.order("/reload", order(other, "Switch"))
    await pod.until_reload(outcome="Committed", version="model-c")
    assert await says(pod) == ("model-c", "c")


async def test_the_way_back_is_a_switch_with_a_greater_sequence(
    pod: Pod, model: Path, tmp_path: Path
) -> None:
    await pod.order("/reload", order(model, sequence=2))
    await pod.until_reload(outcome="Committed")
    await pod.order("/reload", order(tmp_path / "model-a", sequence=3))
    await pod.until_reload(outcome="Committed", sequence=3)
    assert await says(pod) == ("model-a", "a")


async def test_the_same_order_again_begins_nothing(pod: Pod, model: Path, store: FakeStore) -> None:
    store.gate.clear()
    for _ in range(2):
        assert (await pod.order("/reload", order(model)))[0] == 202
    store.gate.set()
    await pod.until_reload(outcome="Committed")
    status, said = await pod.order("/reload", order(model))
    assert (status, said["reload"]["outcome"], len(store.orders)) == (202, "Committed", 1)


async def test_what_is_staged_is_left_alone_by_the_same_order(pod: Pod, model: Path) -> None:
    await pod.order("/reload", order(model, "Stage"))
    await pod.until_reload(outcome="Staged")
    assert (await pod.order("/reload", order(model, "Stage")))[1]["reload"]["outcome"] == "Staged"


async def test_orders_that_cannot_be_taken_are_told_why(pod: Pod, model: Path, store: FakeStore) -> None:
    assert (await pod.order("/reload", {"version": "v"}))[1]["reason"] == "Malformed"
    store.gate.clear()
    await pod.order("/reload", order(model, sequence=2))
    status, said = await pod.order("/reload", order(model, "Stage", sequence=2))
    assert (status, said["reason"]) == (409, "ReloadUnderWay")
    store.gate.set()
    await pod.until_reload(outcome="Committed")
    status, said = await pod.order("/reload", order(model, "Stage", sequence=2))
    assert (status, said["reason"]) == (409, "SequenceStale")
    await pod.order("/drain")
    await pod.until_status(phase="Draining")
    status, said = await pod.order("/reload", order(model, sequence=3))
    assert (status, said["reason"]) == (503, "NotServing")


async def test_reloads_want_the_token(pod: Pod, model: Path) -> None:
    for path in ("/reload", "/cancel"):
        async with pod.http.post(f"{pod.control}{path}", json=order(model)) as answer:
            assert answer.status == 401


async def test_under_streams_none_fails_and_each_is_of_one_version(start: Start, model: Path) -> None:
    pod = await start(max_concurrent=4, max_queued=8)
    streams = [await pod.complete(tokens=100, stream=True) for _ in range(4)]
    await pod.order("/reload", order(model))
    await pod.until_reload(phase="Quiescing")
    held = [asyncio.create_task(says(pod)) for _ in range(8)]
    await pod.until_status(queued=8, ready=True)
    for stream in streams:
        text = await stream.text()
        assert (stream.headers[VERSION_HEADER], text.count('"text":"a"')) == (VERSION, 100)
        assert '"finish_reason":"length"' in text
    assert [await call for call in held] == [("model-b", "b")] * 8
    assert (await pod.until_reload(outcome="Committed"))["seconds"]["quiescing"] > 0.1


async def test_beyond_what_may_be_held_requests_are_turned_away_until_it_is_over(
    start: Start, model: Path
) -> None:
    pod = await start(max_concurrent=1, max_queued=1, hold_seconds=0.3)
    stream = await pod.complete(tokens=300, stream=True)
    await pod.order("/reload", order(model))
    await pod.until_reload(phase="Quiescing")
    held = asyncio.create_task(pod.complete())
    await pod.until_status(queued=1, ready=True)
    beyond = await pod.complete()
    assert (beyond.status, beyond.headers["retry-after"]) == (503, "2")
    assert (await held).status == 503
    await pod.until("Reloading")
    assert "length" in await stream.text()
    await pod.until_reload(outcome="Committed")
    await pod.until("Serving")
    assert await says(pod) == ("model-b", "b")


async def test_past_its_deadline_what_is_in_flight_ends_as_an_error(start: Start, model: Path) -> None:
    pod = await start(drain_seconds=0.2)
    stream = await pod.complete(tokens=3000, stream=True)
    whole = asyncio.create_task(pod.complete(tokens=3000))
    await pod.until_status(inFlight=2)
    await pod.order("/reload", order(model))
    assert (await whole).status == 503
    assert re.search(r'"error".*Aborted', await stream.text())
    await pod.until_reload(outcome="Committed")
    assert await says(pod) == ("model-b", "b")


@pytest.mark.parametrize(
    ("misbehaviour", "outcome", "reason"),
    [
        ("fail-to-stage", "Refused", "NotFinite"),
        ("fail-to-switch", "RolledBack", "WorkerFailed"),
        ("switch-wrongly", "RolledBack", "ChecksumMismatch"),
        ("mute-once-switched", "RolledBack", "GenerationFailed"),
    ],
)
async def test_an_engine_that_fails_serves_on_as_before(
    start: Start, model: Path, misbehaviour: str, outcome: str, reason: str
) -> None:
    pod = await start(misbehaviour)
    await pod.order("/reload", order(model))
    told = await pod.until_reload(outcome=outcome)
    assert told["reason"] == reason
    assert await says(pod) == (VERSION, "a")
    status = await pod.status()
    assert (status["digest"], status["sequence"], status["ready"]) == (DIGEST, 0, True)
    assert not (pod.directory / "committed.json").exists()


async def test_golden_prompts_hold_or_the_reload_is_undone(pod: Pod, model: Path) -> None:
    await pod.order("/reload", order(model, sequence=1, golden=[golden("b"), golden("a")]))
    told = await pod.until_reload(outcome="RolledBack")
    assert told["reason"] == "GoldenPromptsFailed"
    assert "greeting: token 1 of 2: log-probability -0.98; recorded was -0.97" in told["message"]
    assert await says(pod) == (VERSION, "a")
    await pod.order("/reload", order(model, sequence=2, golden=[golden("b")]))
    await pod.until_reload(outcome="Committed")


async def test_a_commit_that_cannot_be_recorded_is_undone(start: Start, model: Path, tmp_path: Path) -> None:
    pod = await start(record=tmp_path / "absent" / "committed.json")
    await pod.order("/reload", order(model))
    assert (await pod.until_reload(outcome="RolledBack"))["reason"] == "RecordFailed"
    assert await says(pod) == (VERSION, "a")


async def test_what_cannot_be_undone_ends_the_container(start: Start, model: Path) -> None:
    pod = await start("fail-to-restore")
    await pod.order("/reload", order(model))
    assert await pod.exit_code() == 1
    assert pod.statement["error"]["reason"] == "RollbackFailed"
    assert "ChecksumMismatch" in pod.statement["error"]["message"]
    assert not (pod.directory / "committed.json").exists()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "tokenizer": ({"tokenizer": {"model": {"vocab": {"b": 0}}}}, "TokenizerDiffers"),
    "chat template": ({"tokenizer_config": {"chat_template": "{{ other }}"}}, "ChatTemplateDiffers"),
    "architecture": (
        {"config": {**SMALL_FILES["config.json"], "architectures": ["OtherForCausalLM"]}},
        "ArchitectureDiffers",
    ),
    "shape": (
        {"model": safetensors({"weight": {**TENSOR, "shape": [2, 2]}}, b"b" * 16)},
        "TensorsDiffer",
    ),
}


@pytest.mark.parametrize(("files", "particular"), WRONG.values(), ids=WRONG)
async def test_a_model_that_needs_other_pods_is_refused_before_the_engine_is_asked(
    start: Start, tmp_path: Path, files: dict[str, Any], particular: str
) -> None:
    pod = await start("fail-to-stage")
    await pod.order("/reload", order(write_model(tmp_path / "wrong", "b", **files)))
    told = await pod.until_reload(outcome="Refused")
    assert told["reason"] == "RestartRequired"
    assert told["message"].startswith(f"{particular}: ")
    assert await says(pod) == (VERSION, "a")


async def test_an_engine_that_is_not_on_the_list_is_refused_before_anything_is_fetched(
    start: Start, model: Path, store: FakeStore
) -> None:
    pod = await start("speculate")
    await pod.order("/reload", order(model))
    told = await pod.until_reload(outcome="Refused")
    assert told["reason"] == "RestartRequired"
    assert told["message"].startswith("UnsupportedSpeculation: ")
    assert store.orders == []


@pytest.mark.parametrize(
    ("said", "reason", "message"),
    [
        ("DigestMismatch", "IngestFailed", "DigestMismatch: of no use"),
        ("SourceForbidden", "RestartRequired", "SourceUnreachable: of no use"),
    ],
)
async def test_what_the_store_says_decides_whether_another_pod_could(
    pod: Pod, model: Path, store: FakeStore, said: str, reason: str, message: str
) -> None:
    store.refusal = {"reason": said, "message": "of no use"}
    await pod.order("/reload", order(model))
    told = await pod.until_reload(outcome="Refused")
    assert (told["reason"], told["message"]) == (reason, message)


async def test_after_a_refusal_the_same_order_begins_anew(pod: Pod, model: Path, store: FakeStore) -> None:
    store.refusal = {"reason": "DigestMismatch", "message": "of no use"}
    await pod.order("/reload", order(model))
    await pod.until_reload(outcome="Refused")
    store.refusal = None
    await pod.order("/reload", order(model))
    await pod.until_reload(outcome="Committed")


async def test_a_pod_whose_store_takes_no_orders_needs_others(start: Start, model: Path) -> None:
    pod = await start(**{"store-url": "http://127.0.0.1:1"})
    await pod.order("/reload", order(model))
    told = await pod.until_reload(outcome="Refused")
    assert (told["reason"], told["message"].partition(":")[0]) == ("RestartRequired", "SourceUnreachable")


async def test_a_reload_is_given_up_while_it_is_staged(start: Start, model: Path) -> None:
    pod = await start("stage-for-ever")
    await pod.order("/reload", order(model))
    await pod.until_reload(phase="Staging")
    assert (await pod.order("/cancel"))[0] == 202
    assert (await pod.until_reload(outcome="Cancelled"))["reason"] == "Cancelled"
    assert await says(pod) == (VERSION, "a")


async def test_what_is_staged_is_given_up(pod: Pod, model: Path, store: FakeStore) -> None:
    await pod.order("/reload", order(model, "Stage"))
    await pod.until_reload(outcome="Staged")
    await pod.order("/cancel")
    await pod.until_reload(outcome="Cancelled")
    await pod.order("/reload", order(model, "Switch"))
    await pod.until_reload(outcome="Committed")
    assert len(store.orders) == 2


async def test_given_up_while_it_waits_for_streams_it_leaves_them_alone(pod: Pod, model: Path) -> None:
    stream = await pod.complete(tokens=100, stream=True)
    await pod.order("/reload", order(model))
    await pod.until_reload(phase="Quiescing")
    held = asyncio.create_task(says(pod))
    await pod.until_status(queued=1)
    await pod.order("/cancel")
    await pod.until_reload(outcome="Cancelled")
    assert '"finish_reason":"length"' in await stream.text()
    assert await held == (VERSION, "a")


async def test_with_nothing_to_give_up_a_cancel_does_nothing(pod: Pod, model: Path) -> None:
    assert (await pod.order("/cancel"))[0] == 202
    await pod.order("/reload", order(model))
    await pod.until_reload(outcome="Committed")
    assert (await pod.order("/cancel"))[1]["reload"]["outcome"] == "Committed"


async def test_a_pod_that_has_to_end_gives_the_reload_up_and_drains(start: Start, model: Path) -> None:
    pod = await start("stage-for-ever", linger_seconds=0)
    stream = await pod.complete(tokens=100, stream=True)
    await pod.order("/reload", order(model))
    await pod.until_reload(phase="Staging")
    pod.signal(signal.SIGTERM)
    assert '"finish_reason":"length"' in await stream.text()
    assert await pod.exit_code() == 0


@pytest.mark.parametrize("misbehaviour", ["stage-for-ever", "switch-for-ever"])
async def test_an_engine_that_dies_in_a_reload_ends_the_container(
    start: Start, model: Path, misbehaviour: str
) -> None:
    pod = await start(misbehaviour)
    await pod.order("/reload", order(model))
    await pod.until_reload(phase="Staging" if misbehaviour == "stage-for-ever" else "Copying")
    os.kill(pod.engine_pid("VLLM::EngineCore"), signal.SIGKILL)
    assert await pod.exit_code() == 1
    assert pod.statement["error"]["reason"] == "EngineDied"
    assert not (pod.directory / "committed.json").exists()


async def test_an_engine_whose_weights_change_is_not_taken_for_a_stuck_one(start: Start, model: Path) -> None:
    pod = await start("switch-for-ever", **{"doubt-seconds": 0.4, "stuck-seconds": 1})
    await pod.order("/reload", order(model))
    await pod.until_reload(phase="Copying")
    # when it pauses, and answers nobody, for longer than any other engine may
    await asyncio.sleep(3)
    # then
    assert (await pod.until_reload(phase="Copying"))["outcome"] is None


async def restarted(pod: Pod, start: Start, **pointer: object) -> Pod:
    """Another container of the same pod, with this pointer."""
    await pod.close()
    old = pod.directory.rename(pod.directory.with_name("before"))
    again = pod.directory
    said = {"version": VERSION, "digest": DIGEST, **pointer}
    (old / "pointer.json").write_text(json.dumps(said))
    return await start(directory=again.name, pointer=old / "pointer.json", record=old / "committed.json")


async def test_a_container_comes_back_on_what_it_has_committed(
    start: Start, pod: Pod, model: Path, store: FakeStore
) -> None:
    await pod.order("/reload", order(model, sequence=5))
    await pod.until_reload(outcome="Committed")
    again = await restarted(pod, start)
    assert await says(again) == ("model-b", "b")
    assert (await again.status())["sequence"] == 5
    status, said = await again.order("/reload", order(model, sequence=5))
    assert (status, said["reload"]) == (202, None), "it is done"
    assert len(store.orders) == 2, "the files were not there any more"


async def test_a_pointer_that_moved_later_wins_and_its_files_are_brought(
    start: Start, pod: Pod, model: Path, tmp_path: Path
) -> None:
    await pod.order("/reload", order(model, sequence=5))
    await pod.until_reload(outcome="Committed")
    other = order(write_model(tmp_path / "model-c", "c"), sequence=6)
    again = await restarted(
        pod, start, **{key: other[key] for key in ("version", "digest", "source", "sequence")}
    )
    assert await says(again) == ("model-c", "c")
    assert (await again.status())["sequence"] == 6


async def test_the_control_port_tells_of_no_reload_before_any(pod: Pod) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    status = json.loads((await pod.get(f"{pod.control}/status", headers=headers))[1])
    assert (status["sequence"], status["reload"]) == (0, None)
