"""Calls to model pods, against a real HTTP server on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.shell.kit import a_key

from sluicegate.core.plan import Ask, Inquire, Score, Text
from sluicegate.shell import runtime
from sluicegate.shell.keys import Key
from sluicegate.shell.pods import HttpPods
from sluicegate.shell.runtime import ANSWERS_KEPT, RuntimeCalls
from sluicegate.shell.webhooks import HttpWebhooks

TEXT = Text("capital", (5, 6), (7, 8))
START = datetime(2026, 1, 1, tzinfo=UTC)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class World:
    """A model pod that answers as `answer` says, and the calls to it."""

    def __init__(self) -> None:
        self.now = START
        self.requeued: asyncio.Queue[Key] = asyncio.Queue()
        self.requests: list[tuple[str, Any, str | None]] = []
        self.answer: Handler = generates("v1")
        self.pods = HttpPods()
        self.webhooks = HttpWebhooks()
        self.leads = True
        self.calls = RuntimeCalls(
            self.pods, self.webhooks, lambda: self.now, self.requeued.put_nowait, lambda: self.leads
        )
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.requests.append((request.path, body, request.headers.get("Authorization")))
        return await self.answer(request)

    def ask(self, subject: str = "service/1") -> Ask:
        return Ask(subject, self.url, "chat", "why")

    def score(self, *texts: Text) -> Score:
        return Score("golden/1", self.url, "chat", texts or (TEXT,), "why")

    def inquire(self) -> Inquire:
        return Inquire("chat-1", "uid-1", self.url, "secret", "why")


def generates(version: str | None, finish_reason: str = "length") -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {"x-sluicegate-model-version": version} if version else {}
        return web.json_response(
            {"choices": [{"text": "p", "finish_reason": finish_reason}]}, headers=headers
        )

    return answer


def says(status: int, **body: Any) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return answer


def refuses(status: int, version: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=status, headers={"x-sluicegate-model-version": version})

    return answer


def scores(*found: Any, version: str = "v1") -> Handler:
    """Each token of the prompt but the first gets its log-probability, the last ones these."""

    async def answer(request: web.Request) -> web.StreamResponse:
        prompt = (await request.json())["prompt"]
        nats = (*(-1.0 for _ in prompt[1 : len(prompt) - len(found)]), *found)
        told = [{str(token): {"logprob": each}} for token, each in zip(prompt[1:], nats, strict=True)]
        body = json.dumps({"choices": [{"prompt_logprobs": [None, *told]}]})
        headers = {"x-sluicegate-model-version": version}
        return web.Response(text=body, content_type="application/json", headers=headers)

    return answer


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    world = World()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", world.handle)
    async with TestServer(app) as server:
        world.url = str(server.make_url("")).rstrip("/")
        try:
            yield world
        finally:
            await world.calls.close()
            await world.pods.aclose()
            await world.webhooks.aclose()


async def test_an_ask_is_one_token_and_its_answer_the_version_of_the_header() -> None:
    async with a_world() as world:
        world.calls.start(a_key(), world.ask())
        assert await world.requeued.get() == a_key()
        answer = world.calls.answers(a_key())["service/1"]
        assert (answer.at, answer.version, answer.error) == (START, "v1", None)
        ping = {"model": "chat", "prompt": "ping", "max_tokens": 1, "temperature": 0}
        assert world.requests == [("/v1/completions", ping, None)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(503, error="loading"), "HTTP 503 Service Unavailable"),
        (refuses(503, "v1"), "HTTP 503 Service Unavailable"),
        (says(429), "HTTP 429 Too Many Requests"),
        (generates(None), "the answer lacks x-sluicegate-model-version"),
        (generates("v1", finish_reason="abort"), "the generation ended with finish_reason abort"),
        (says(200, choices=[]), "the answer lacks"),
        (says(200, error="no"), "the answer lacks choices"),
    ],
    ids=[
        "refused",
        "not open yet",
        "a queue of somebody else's",
        "no version",
        "aborted",
        "no choice",
        "error in a 200",
    ],
)
async def test_what_is_no_answer_is_an_error_in_words_that_stay_the_same(answer: Handler, words: str) -> None:
    async with a_world() as world:
        world.answer = answer
        said = set()
        for _ in range(2):
            world.calls.start(a_key(), world.ask())
            await world.requeued.get()
            heard = world.calls.answers(a_key())["service/1"]
            assert heard.version is None
            said.add(heard.error)
        (error,) = said
        assert error is not None
        assert error.startswith(words)


async def test_a_full_queue_that_names_its_version_is_an_answer() -> None:
    async with a_world() as world:
        world.answer = refuses(429, "v1")
        world.calls.start(a_key(), world.ask())
        await world.requeued.get()
        answer = world.calls.answers(a_key())["service/1"]
        assert (answer.version, answer.error) == ("v1", None)


async def test_a_service_that_does_not_answer_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "ASK_SECONDS", 0.1)
    async with a_world() as world:
        world.answer = never
        world.calls.start(a_key(), world.ask())
        await world.requeued.get()
        error = world.calls.answers(a_key())["service/1"].error
        assert error is not None
        assert error.startswith("no answer within")


async def test_a_call_begins_when_its_turn_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "CALLS_AT_A_TIME", 1)
    async with a_world() as world:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(request: web.Request) -> web.StreamResponse:
            asked.set()
            await go_on.wait()
            return await generates("v1")(request)

        world.answer = slowly
        world.calls.start(a_key(), world.ask())
        await asked.wait()
        world.calls.start(a_key(), world.ask("service/2"))
        await asyncio.sleep(0)
        world.now += timedelta(seconds=5)
        go_on.set()
        await world.requeued.get()
        await world.requeued.get()
        ages = [world.calls.answers(a_key())[f"service/{number}"].at - START for number in (1, 2)]
        assert ages == [timedelta(0), timedelta(seconds=5)]


async def test_a_service_that_nobody_listens_at_is_an_error() -> None:
    async with a_world() as world:
        world.calls.start(a_key(), Ask("service/1", "http://127.0.0.1:1", "chat", "why"))
        await world.requeued.get()
        error = world.calls.answers(a_key())["service/1"].error
        assert error == "the connection was refused or could not be made"


async def test_an_answer_is_dated_to_its_question_and_the_same_is_not_asked_twice_at_a_time() -> None:
    async with a_world() as world:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(request: web.Request) -> web.StreamResponse:
            asked.set()
            await go_on.wait()
            return await generates("v1")(request)

        world.answer = slowly
        world.calls.start(a_key(), world.ask())
        await asked.wait()
        world.now += timedelta(seconds=5)
        world.calls.start(a_key(), world.ask())
        go_on.set()
        await world.requeued.get()
        assert world.calls.answers(a_key())["service/1"].at == START
        assert len(world.requests) == 1


async def test_texts_are_scored_one_after_another_by_their_last_tokens() -> None:
    async with a_world() as world:
        world.answer = scores(-0.5, -0.25)
        world.calls.start(a_key(), world.score(TEXT, Text("moon", (1,), (2, 3))))
        assert await world.requeued.get() == a_key()
        found = world.calls.scores(a_key())["golden/1"]
        assert (found.at, found.version, found.error, found.refusal) == (START, "v1", None, None)
        assert found.log_probabilities == {"capital": (-0.5, -0.25), "moon": (-0.5, -0.25)}
        asked = {"model": "chat", "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        assert world.requests == [
            ("/v1/completions", {**asked, "prompt": [5, 6, 7, 8]}, None),
            ("/v1/completions", {**asked, "prompt": [1, 2, 3]}, None),
        ]


async def test_what_is_no_number_is_kept_as_it_was_said() -> None:
    async with a_world() as world:
        world.answer = scores(math.nan, None)
        world.calls.start(a_key(), world.score())
        await world.requeued.get()
        found = world.calls.scores(a_key())["golden/1"].log_probabilities["capital"]
        assert found[0] is not None
        assert math.isnan(found[0])
        assert found[1] is None


async def test_a_text_that_is_refused_ends_the_question_in_the_words_of_the_engine() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        error = {"error": {"message": "Out of range float values are not JSON compliant: nan"}}
        return web.json_response(error, status=400, headers={"x-sluicegate-model-version": "v1"})

    async with a_world() as world:
        world.answer = refuse
        world.calls.start(a_key(), world.score(TEXT, Text("moon", (1,), (2, 3))))
        await world.requeued.get()
        found = world.calls.scores(a_key())["golden/1"]
        assert (found.version, found.error, len(world.requests)) == ("v1", None, 1)
        assert found.refusal == "capital: Out of range float values are not JSON compliant: nan"


async def test_answers_of_two_versions_are_none_of_either() -> None:
    async with a_world() as world:
        versions = iter(("v1", "v2"))

        async def answer(request: web.Request) -> web.StreamResponse:
            return await scores(-0.5, -0.5, version=next(versions))(request)

        world.answer = answer
        world.calls.start(a_key(), world.score(TEXT, Text("moon", (1,), (2, 3))))
        await world.requeued.get()
        assert world.calls.scores(a_key())["golden/1"].version == "v1 and v2"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(500), "HTTP 500 Internal Server Error"),
        (refuses(429, "v1"), "HTTP 429 Too Many Requests"),
        (says(400, error={"message": "no"}), "the answer lacks"),
        (generates("v1"), "the answer lacks prompt_logprobs"),
        (scores(), "the answer lacks"),
    ],
    ids=["failed", "full", "refused by somebody else", "not asked", "too few tokens"],
)
async def test_what_is_no_score_is_an_error(answer: Handler, words: str) -> None:
    async with a_world() as world:
        world.answer = answer
        text = Text("capital", (), (7, 8)) if words == "the answer lacks" else TEXT
        world.calls.start(a_key(), world.score(text))
        await world.requeued.get()
        found = world.calls.scores(a_key())["golden/1"]
        assert found.version is None
        assert found.error is not None
        assert found.error.startswith(words)


async def test_scores_that_take_too_long_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "SCORE_SECONDS", 0.1)
    async with a_world() as world:
        world.answer = never
        world.calls.start(a_key(), world.score())
        await world.requeued.get()
        error = world.calls.scores(a_key())["golden/1"].error
        assert error is not None
        assert error.startswith("no answer within")


async def test_scores_go_with_their_key() -> None:
    async with a_world() as world:
        world.answer = scores(-0.5, -0.25)
        world.calls.start(a_key(), world.score())
        await world.requeued.get()
        world.calls.forget(a_key())
        assert world.calls.scores(a_key()) == {}


async def test_an_inquiry_carries_the_token_and_reads_the_status() -> None:
    async with a_world() as world:
        world.answer = says(200, digest="sha256:1", ready=True, inFlight=3, vllm="0.32.0")
        world.calls.start(a_key(), world.inquire())
        await world.requeued.get()
        status = world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]
        assert status.vllm == "0.32.0"
        assert (status.digest, status.ready, status.in_flight, status.error) == ("sha256:1", True, 3, None)
        assert world.requests == [("/status", None, "Bearer secret")]


async def test_a_runtime_that_does_not_name_its_vllm_is_asked_all_the_same() -> None:
    async with a_world() as world:
        world.answer = says(200, digest="sha256:1", ready=True, inFlight=3)
        world.calls.start(a_key(), world.inquire())
        await world.requeued.get()
        status = world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]
        assert (status.digest, status.vllm, status.error) == ("sha256:1", None, None)


MEASURED = {"v1": {"outcomes": {"served": 3}, "outputTokens": [[7, 3]]}}


@pytest.mark.parametrize(
    ("told", "kept"), [({"measured": MEASURED}, MEASURED), ({}, {}), ({"measured": [7]}, {})]
)
async def test_an_inquiry_brings_what_was_measured_where_the_runtime_tells_it(
    told: dict[str, Any], kept: dict[str, Any]
) -> None:
    async with a_world() as world:
        world.answer = says(200, digest="sha256:1", ready=True, inFlight=3, **told)
        world.calls.start(a_key(), world.inquire())
        await world.requeued.get()
        status = world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]
        assert (status.measured, status.error) == (kept, None)


def test_an_inquiry_does_not_show_its_token() -> None:
    assert "secret" not in repr(Inquire("chat-1", "uid-1", "http://10.0.0.1", "secret", "why"))


async def test_a_refused_inquiry_is_no_ready_pod() -> None:
    async with a_world() as world:
        world.answer = says(401)
        world.calls.start(a_key(), world.inquire())
        await world.requeued.get()
        status = world.calls.statuses(a_key(), frozenset({"uid-1"}))["uid-1"]
        assert (status.digest, status.ready, status.error) == (None, False, "HTTP 401 Unauthorized")


async def test_what_is_known_of_pods_that_are_gone_is_dropped() -> None:
    async with a_world() as world:
        world.calls.start(a_key(), world.inquire())
        await world.requeued.get()
        assert world.calls.statuses(a_key(), frozenset()) == {}
        assert world.calls.statuses(a_key(), frozenset({"uid-1"})) == {}


async def test_answers_go_with_their_key_and_old_ones_make_room() -> None:
    async with a_world() as world:
        for number in range(ANSWERS_KEPT + 2):
            world.calls.start(a_key(), world.ask(f"service/{number}"))
            await world.requeued.get()
        assert len(world.calls.answers(a_key())) == ANSWERS_KEPT
        world.calls.forget(a_key())
        assert world.calls.answers(a_key()) == {}
