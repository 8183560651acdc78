"""Closed-loop streams: each client asks again when it has its answer, at once or after a short thought."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp

PROMPT_TOKENS = (64, 255)
_SO_FAR = re.compile(rb'"completion_tokens": ?(\d+)')
_ENDED = re.compile(rb'"finish_reason": ?"(stop|length)"')
_UNBOUNDED = aiohttp.ClientTimeout(total=None)


@dataclass
class Request:
    """One request. `arrivals` are times and how many tokens there were by then; times are monotonic seconds.

    `failure` is empty once it was answered whole.
    """

    asked: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    failure: str = "not answered yet"


@dataclass(frozen=True)
class Window:
    """A time, in monotonic seconds."""

    begin: float
    end: float

    def __contains__(self, at: float) -> bool:
        return self.begin <= at < self.end


def rate(requests: Iterable[Request], window: Window) -> float:
    """Tokens a second that arrived in the window."""
    tokens = sum(
        now - before
        for request in requests
        for (_, before), (at, now) in pairwise([(request.asked, 0), *request.arrivals])
        if at in window
    )
    return tokens / (window.end - window.begin)


def longest_gap(requests: Iterable[Request], window: Window) -> float:
    """Seconds between two tokens of an answer, the later of which arrived in the window; or else 0."""
    gaps = (
        at - before
        for request in requests
        for (before, _), (at, _) in pairwise(request.arrivals)
        if at in window
    )
    return max(gaps, default=0.0)


def first_tokens(requests: Iterable[Request], window: Window) -> list[float]:
    """Seconds to each first token that arrived in the window."""
    firsts = ((request.asked, request.arrivals[0][0]) for request in requests if request.arrivals)
    return [at - asked for asked, at in firsts if at in window]


def longest_wait(requests: Iterable[Request], window: Window) -> float:
    """Seconds to a first token that arrived in the window; 0 where none did."""
    return max(first_tokens(requests, window), default=0.0)


class Streams:
    """`requests` are all that were begun, in that order. Another `seed` gives other prompts.

    An answer has `tokens`, at most `spread` more or less. A client thinks for up to `think` seconds before it
    asks again, each time for another while.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        vocabulary: int,
        tokens: int,
        *,
        spread: int = 0,
        think: float = 0,
        seed: int = 0,
    ) -> None:
        self._session = session
        self._url = url
        self._vocabulary = vocabulary
        self._tokens = tokens - spread, tokens + spread
        self._think = think
        self._random = random.Random(seed)
        self._ending = False
        self.requests: list[Request] = []

    @asynccontextmanager
    async def flowing(self, count: int) -> AsyncIterator[None]:
        """So many clients ask in the block; their last answers are waited for."""
        self._ending = False
        clients = [asyncio.create_task(self._ask_on()) for _ in range(count)]
        try:
            yield
        finally:
            self._ending = True
            await asyncio.gather(*clients)

    async def _ask_on(self) -> None:
        while not self._ending:
            await self.ask()
            if self._think:
                await asyncio.sleep(self._random.uniform(0, self._think))

    async def ask(self) -> None:
        """One request; its answer is waited for."""
        request = Request(time.monotonic())
        self.requests.append(request)
        try:
            await self._ask(request)
        except (aiohttp.ClientError, TimeoutError) as error:
            request.failure = f"{type(error).__name__}: {error}"

    async def _ask(self, request: Request) -> None:
        length = self._random.randint(*PROMPT_TOKENS)
        prompt = [self._random.randrange(2, self._vocabulary) for _ in range(length)]
        body = {**question(prompt, self._random.randint(*self._tokens)), "stream": True}
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        ended = done = False
        async with self._session.post(self._url, json=body, timeout=_UNBOUNDED) as answer:
            async for line in answer.content:
                if b'"error"' in line:
                    request.failure = line.decode(errors="replace")[:300]
                    return
                done = done or line.startswith(b"data: [DONE]")
                ended = ended or _ENDED.search(line) is not None
                told = _SO_FAR.search(line)
                last = request.arrivals[-1][1] if request.arrivals else 0
                if told and int(told[1]) > last:
                    request.arrivals.append((time.monotonic(), int(told[1])))
        whole = answer.status == 200 and ended and done
        request.failure = "" if whole else f"HTTP {answer.status}, ended: {ended}, done: {done}"


def question(prompt: Sequence[int], tokens: int) -> dict[str, Any]:
    """A completion of so many tokens, always the same."""
    return {"model": "chat", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}


@dataclass(frozen=True)
class Answer:
    """Each token, and by token the logarithms of the probabilities of the likeliest ones in its place."""

    tokens: tuple[str, ...]
    likeliest: tuple[Mapping[str, float], ...] = field(compare=False)


async def answers(session: aiohttp.ClientSession, url: str, vocabulary: int) -> list[Answer]:
    """What the model says to eight prompts, one after another, with nobody else asking."""
    return [await _answer(session, url, prompt) for prompt in _prompts(vocabulary)]


async def answers_at_once(session: aiohttp.ClientSession, url: str, vocabulary: int) -> list[Answer]:
    """To the same prompts, asked all at once."""
    return await asyncio.gather(*(_answer(session, url, prompt) for prompt in _prompts(vocabulary)))


def _prompts(vocabulary: int) -> list[list[int]]:
    draw = random.Random(1)
    return [[draw.randrange(2, vocabulary) for _ in range(128)] for _ in range(8)]


async def _answer(session: aiohttp.ClientSession, url: str, prompt: Sequence[int]) -> Answer:
    body = {**question(prompt, 48), "logprobs": 5, "return_tokens_as_token_ids": True}
    async with session.post(url, json=body) as answer:
        told = (await answer.json())["choices"][0]["logprobs"]
    return Answer(tuple(told["tokens"]), tuple(told["top_logprobs"]))
