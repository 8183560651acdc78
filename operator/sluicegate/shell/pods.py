"""How questions reach model pods: through a Service, or at a pod's control port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from sluicegate.core.plan import Ask, Inquire, Score, Text
from sluicegate.shell import scoring

# A packet that meets kube-proxy between two of its tables is lost. The kernel sends it again after 1 and 3 s;
# another connection is answered at once.
CONNECT_SECONDS = 0.5
VERSION_HEADER = "x-sluicegate-model-version"
FINISHED = frozenset({"stop", "length"})


class NoAnswer(Exception):  # noqa: N818
    """Why there is no answer that can be used, in words that stay the same when it happens again."""


@dataclass(frozen=True)
class Report:
    """What a pod says of itself: the digest of the weights it serves, its requests in flight, its vLLM.

    `measured` is what its answers were like, by version; nothing where its runtime is older than that.
    """

    digest: str | None
    ready: bool
    in_flight: int
    vllm: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """By a text's name, the log-probability in nats of each of its tokens, None where there is no number.

    `version` is named by all answers. `refusal` is what the engine said of a text that it does not take.
    """

    version: str
    log_probabilities: Mapping[str, tuple[float | None, ...]]
    refusal: str | None = None


class Pods(Protocol):
    """Carries questions. Every method may take its time, and raises NoAnswer."""

    async def generate(self, ask: Ask) -> str:
        """One token from the Service; the version that the answer names."""
        ...

    async def score(self, score: Score) -> Scored:
        """What the engine behind the Service makes of the texts, asked one after another."""
        ...

    async def report(self, inquire: Inquire) -> Report: ...


class HttpPods:
    """The real way. Made inside a running loop, and closed by whoever made it."""

    def __init__(self) -> None:
        # A connection each: one that is kept open would always reach the same pod.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def generate(self, ask: Ask) -> str:
        try:
            return await self._generate(ask)
        except _FAILURES as failure:
            raise NoAnswer(_words(failure)) from failure

    async def score(self, score: Score) -> Scored:
        versions: set[str] = set()
        found: dict[str, tuple[float | None, ...]] = {}
        refusal = None
        try:
            for text in score.texts:
                version, said = await self._score(score, text)
                versions.add(version)
                if isinstance(said, str):
                    refusal = f"{text.name}: {said}"
                    break
                found[text.name] = said
        except _FAILURES as failure:
            raise NoAnswer(_words(failure)) from failure
        return Scored(" and ".join(sorted(versions)), found, refusal)

    async def report(self, inquire: Inquire) -> Report:
        headers = {"Authorization": f"Bearer {inquire.token}"}
        try:
            async with self._session.get(f"{inquire.url}/status", headers=headers) as response:
                response.raise_for_status()
                body: Any = await response.json()
            digest, ready, in_flight = body["digest"], bool(body["ready"]), int(body["inFlight"])
            measured = body.get("measured")
            told = measured if isinstance(measured, dict) else {}
            return Report(digest, ready, in_flight, body.get("vllm"), told)
        except _FAILURES as failure:
            raise NoAnswer(_words(failure)) from failure

    async def aclose(self) -> None:
        await self._session.close()

    async def _generate(self, ask: Ask) -> str:
        prompt = {"model": ask.model, "prompt": "ping", "max_tokens": 1, "temperature": 0}
        async with self._session.post(f"{ask.url}/v1/completions", json=prompt) as response:
            if response.status == 429 and VERSION_HEADER in response.headers:
                # Users fill its queue, and a gate queues only for an engine that has generated already.
                return response.headers[VERSION_HEADER]
            response.raise_for_status()
            body = await response.json()
            reason = body["choices"][0]["finish_reason"]
            if reason not in FINISHED:
                raise ValueError(f"the generation ended with finish_reason {reason}")
            return response.headers[VERSION_HEADER]

    async def _score(self, score: Score, text: Text) -> tuple[str, tuple[float | None, ...] | str]:
        """The version that answers, and the text's scores or why it is refused."""
        question = scoring.question(score.model, text.prompt, text.tokens)
        async with self._session.post(f"{score.url}/v1/completions", json=question) as response:
            if response.status == 400:
                # A token that it does not know, too long a text, or what JSON has no word for: NaN.
                return response.headers[VERSION_HEADER], (await response.json())["error"]["message"]
            response.raise_for_status()
            return response.headers[VERSION_HEADER], scoring.scores(await response.json(), text.tokens)


_FAILURES = (aiohttp.ClientError, LookupError, TypeError, ValueError)


def _words(failure: BaseException) -> str:
    match failure:
        case aiohttp.ClientResponseError():
            return f"HTTP {failure.status} {failure.message}".strip()
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return "the connection was refused or could not be made"
        case aiohttp.ClientError():
            return "the connection broke"
        case KeyError() | IndexError() | TypeError():
            return f"the answer lacks {failure.args[0] if failure.args else 'a field'}"
    return str(failure)
