"""What pods are told at their control ports, against a real HTTP server on the loopback interface."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from tests.shell.kit import a_key
from tests.shell.test_runtime import World, a_world, says

from sluicegate.core.observed import Reloading, RuntimeStatus
from sluicegate.core.plan import Action, CancelReload, Reload

BODY = {
    "version": "v2",
    "digest": "sha256:2",
    "sequence": 3,
    "source": {"uri": "pvc://w/v2"},
    "mode": "Stage",
}
SERVES = {"version": "v1", "digest": "sha256:1", "ready": True, "inFlight": 0, "sequence": 2}
STAGES = {
    "version": "v2",
    "digest": "sha256:2",
    "sequence": 3,
    "mode": "Stage",
    "phase": "Ingesting",
    "outcome": None,
    "reason": "",
    "message": "",
}


def a_reload(world: World) -> Reload:
    return Reload("chat-1", "uid-1", world.url, "secret", BODY, "why")


def a_cancel(world: World) -> CancelReload:
    return CancelReload("chat-1", "uid-1", world.url, "secret", "why")


async def told(world: World, action: Reload | CancelReload) -> RuntimeStatus:
    world.calls.start(a_key(), action)
    await world.requeued.get()
    return world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]


async def test_an_order_is_posted_with_the_token_and_what_the_pod_says_then_is_kept() -> None:
    async with a_world() as world:
        world.answer = says(202, **SERVES, reload=STAGES)
        status = await told(world, a_reload(world))
        assert world.requests == [("/reload", BODY, "Bearer secret")]
        assert (status.version, status.digest, status.sequence) == ("v1", "sha256:1", 2)
        assert status.reload == Reloading("sha256:2", 3, "Stage", None, "", "")
        assert status.reload.lives


async def test_how_it_ended_is_read_with_its_reason_in_words() -> None:
    async with a_world() as world:
        ended = {
            **STAGES,
            "outcome": "Refused",
            "reason": "RestartRequired",
            "message": "TokenizerDiffers: x",
        }
        world.answer = says(202, **SERVES, reload=ended)
        status = await told(world, a_reload(world))
        assert status.reload is not None
        assert (status.reload.outcome, status.reload.reason) == ("Refused", "RestartRequired")
        assert status.reload.message == "TokenizerDiffers: x"
        assert not status.reload.lives


async def test_a_cancel_is_posted_without_a_body() -> None:
    async with a_world() as world:
        world.answer = says(202, **SERVES, reload=None)
        status = await told(world, a_cancel(world))
        assert world.requests == [("/cancel", None, "Bearer secret")]
        assert (status.reload, status.error) == (None, None)


@pytest.mark.parametrize(
    ("code", "body", "error"),
    [
        (409, {"error": "7 is not after 8", "reason": "SequenceStale"}, "SequenceStale: 7 is not after 8"),
        (503, {"error": "it starts", "reason": "NotServing"}, "NotServing: it starts"),
        (503, {}, "the answer lacks reason"),
        (500, {}, "HTTP 500 Internal Server Error"),
    ],
)
async def test_what_a_pod_does_not_take_is_said_in_its_words(
    code: int, body: dict[str, Any], error: str
) -> None:
    async with a_world() as world:
        world.answer = says(code, **body)
        status = await told(world, a_reload(world))
        assert (status.digest, status.error) == (None, error)


@pytest.mark.parametrize("code", [400, 404])
async def test_a_runtime_that_knows_no_such_order_has_to_restart_for_it(code: int) -> None:
    async with a_world() as world:
        world.answer = says(code, error="no digest", reason="Malformed")
        status = await told(world, a_reload(world))
        assert (status.error, status.sequence) == (None, 0)
        assert status.reload is not None
        assert (status.reload.digest, status.reload.outcome) == ("sha256:2", "Refused")
        assert status.reload.reason == "RestartRequired"
        assert f"its runtime takes no such order: HTTP {code} " in status.reload.message
        assert "Malformed" in status.reload.message


@pytest.mark.parametrize("code", [400, 404])
async def test_a_runtime_that_cannot_give_up_an_order_is_told_so_again(code: int) -> None:
    async with a_world() as world:
        world.answer = says(code)
        status = await told(world, a_cancel(world))
        assert status.error is not None
        assert status.error.startswith(f"HTTP {code}")


@pytest.mark.parametrize("order", [a_reload, a_cancel])
async def test_who_may_not_lead_any_more_tells_pods_nothing(order: Any) -> None:
    async with a_world() as world:
        world.leads = False
        status = await told(world, order(world))
        assert world.requests == []
        assert status.error == "another operator may lead by now"


async def test_what_a_pod_said_is_from_before_an_order_until_that_is_answered() -> None:
    arrived, let_go = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            arrived.set()
            await let_go.wait()
        return web.json_response(SERVES)

    async with a_world() as world:
        world.answer = answer
        world.calls.start(a_key(), world.inquire())
        await world.requeued.get()
        world.calls.start(a_key(), a_reload(world))
        await arrived.wait()
        meanwhile = world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]
        let_go.set()
        await world.requeued.get()
        afterwards = world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]

    assert (meanwhile.ordered, meanwhile.version) == (True, "v1")
    assert not afterwards.ordered


async def test_an_older_runtime_names_no_sequence() -> None:
    async with a_world() as world:
        world.answer = says(200, digest="sha256:1", ready=True, inFlight=0)
        world.calls.start(a_key(), world.inquire())
        await world.requeued.get()
        status = world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]
        assert (status.sequence, status.reload, status.error) == (None, None, None)


def test_an_order_does_not_show_its_token() -> None:
    orders: list[Action] = [
        Reload("chat-1", "uid-1", "http://10.0.0.1", "secret", BODY, "why"),
        CancelReload("chat-1", "uid-1", "http://10.0.0.1", "secret", "why"),
    ]
    assert not any("secret" in repr(each) for each in orders)
