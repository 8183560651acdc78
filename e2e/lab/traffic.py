"""Clients of a deployment's Service: they ask without retries and write down what came back."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import aiohttp

VERSION_HEADER = "x-sluicegate-model-version"
FINISHED = frozenset({"stop", "length"})
TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)


@dataclass(frozen=True)
class Outcome:
    """One request: when it began and ended (monotonic seconds), and what came of it."""

    began: float
    ended: float
    prompt: str
    version: str | None
    text: str | None
    error: str | None

    @property
    def served(self) -> bool:
        return self.error is None


OutcomeT = TypeVar("OutcomeT", bound=Outcome)


@dataclass
class Record(Generic[OutcomeT]):
    """Every outcome of some clients, in the order of their ends."""

    outcomes: list[OutcomeT] = field(default_factory=list)
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, outcome: OutcomeT) -> None:
        async with self._grown:
            self.outcomes.append(outcome)
            self._grown.notify_all()

    @property
    def served(self) -> list[OutcomeT]:
        return [outcome for outcome in self.outcomes if outcome.served]

    @property
    def failed(self) -> list[OutcomeT]:
        return [outcome for outcome in self.outcomes if not outcome.served]

    def versions(self) -> list[str]:
        """The versions that answered, each once, in the order of their first answer."""
        return list(dict.fromkeys(outcome.version or "" for outcome in self.served))

    async def grows(self, by: int, within: float = 60.0) -> None:
        """Returns after `by` more served requests."""
        wanted = len(self.served) + by
        async with asyncio.timeout(within):
            async with self._grown:
                await self._grown.wait_for(lambda: len(self.served) >= wanted)


async def ask(
    session: aiohttp.ClientSession, url: str, prompt: str, *, model: str = "lab", tokens: int = 8
) -> Outcome:
    """One greedy chat request. Served means: a finish_reason, the expected tokens, no error."""
    began = time.monotonic()
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
    }
    version: str | None = None
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as response:
            version = response.headers.get(VERSION_HEADER)
            said = await response.json(content_type=None)
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}: {said}")
        text = _text(said, tokens)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError) as failure:
        words = f"{type(failure).__name__}: {failure}"
        return Outcome(began, time.monotonic(), prompt, version, None, words)
    return Outcome(began, time.monotonic(), prompt, version, text, None)


def _text(said: dict[str, Any], tokens: int) -> str:
    choice = said["choices"][0]
    if choice["finish_reason"] not in FINISHED:
        raise ValueError(f"finish_reason {choice['finish_reason']}")
    count = said["usage"]["completion_tokens"]
    if choice["finish_reason"] == "length" and count != tokens:
        raise ValueError(f"{count} tokens instead of {tokens}")
    return str(choice["message"]["content"])


def fresh_connections(*traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """A session that opens a connection for each request."""
    return _session(aiohttp.TCPConnector(force_close=True), traces)


def kept_connections(*traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """A session that keeps its connections open, as most clients do."""
    return _session(aiohttp.TCPConnector(keepalive_timeout=300), traces)


def _session(connector: aiohttp.TCPConnector, traces: Sequence[aiohttp.TraceConfig]) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, trace_configs=list(traces))


@asynccontextmanager
async def traffic(
    url: str, prompts: Sequence[str], *, clients: int = 2, pause: float = 0.4, tokens: int = 8
) -> AsyncIterator[Record[Outcome]]:
    """Clients that ask one prompt after another, half of them over new connections, until the block ends."""
    record, ending = Record[Outcome](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(_client(url, around(prompts, number), record, ending, number, pause, tokens))
        try:
            yield record
        finally:
            ending.set()


@asynccontextmanager
async def steady(url: str, prompts: Sequence[str], *, every: float = 1.0) -> AsyncIterator[Record[Outcome]]:
    """One request each `every` seconds, however long the answers take, until the block ends."""
    record, ending = Record[Outcome](), asyncio.Event()
    async with fresh_connections() as fresh, kept_connections() as kept, asyncio.TaskGroup() as group:

        async def one(session: aiohttp.ClientSession, prompt: str) -> None:
            await record.add(await ask(session, url, prompt))

        async def ask_on() -> None:
            for session, prompt in zip(itertools.cycle((fresh, kept)), around(prompts, 0), strict=False):
                if ending.is_set():
                    return
                group.create_task(one(session, prompt))
                await asyncio.sleep(every)

        group.create_task(ask_on())
        try:
            yield record
        finally:
            ending.set()


async def _client(
    url: str,
    prompts: Iterable[str],
    record: Record[Outcome],
    ending: asyncio.Event,
    number: int,
    pause: float,
    tokens: int,
) -> None:
    async with fresh_connections() if number % 2 == 0 else kept_connections() as session:
        for prompt in prompts:
            await record.add(await ask(session, url, prompt, tokens=tokens))
            if ending.is_set():
                return
            await asyncio.sleep(pause)


def around(prompts: Sequence[str], start: int) -> Iterator[str]:
    """The prompts again and again, from the one at `start`."""
    position = start
    while True:
        yield prompts[position % len(prompts)]
        position += 1
