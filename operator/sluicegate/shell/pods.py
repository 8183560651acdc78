"""How questions and orders reach model pods: through a Service, or at a pod's control port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from sluicegate.api.reasons import Reason
from sluicegate.core.observed import Reloading
from sluicegate.core.plan import Ask, CancelReload, Inquire, Reload, Score, Text
from sluicegate.shell import scoring

# A packet that meets kube-proxy between two of its tables is lost. The kernel sends it again after 1 and 3 s;
# another connection is answered at once.
CONNECT_SECONDS = 0.5
VERSION_HEADER = "x-sluicegate-model-version"
FINISHED = frozenset({"stop", "length"})


class NoAnswer(Exception):  # noqa: N818
    """Why there is no answer that can be used, in words that stay the same when it happens again."""


class NoSuchOrder(NoAnswer):
    """A pod does not know of such orders, and never will."""


@dataclass(frozen=True)
class Report:
    """What a pod says of itself: the digest of the weights it serves, its requests in flight, its vLLM.

    `measured` is what its answers were like, by version; nothing where its runtime is older than that.
    `sequence` is None where its runtime cannot change what it serves.
    """

    digest: str | None
    ready: bool
    in_flight: int
    vllm: str | None = None
    measured: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    sequence: int | None = None
    reload: Reloading | None = None


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

    async def reload(self, reload: Reload) -> Report:
        """What the pod says of itself once it has taken the order, or had it already."""
        ...

    async def cancel(self, cancel: CancelReload) -> Report: ...


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
        return await self._control("GET", f"{inquire.url}/status", inquire.token)

    async def reload(self, reload: Reload) -> Report:
        try:
            return await self._control("POST", f"{reload.url}/reload", reload.token, reload.body)
        except NoSuchOrder as refused:
            return _never(reload, f"its runtime takes no such order: {refused}")

    async def cancel(self, cancel: CancelReload) -> Report:
        return await self._control("POST", f"{cancel.url}/cancel", cancel.token)

    async def _control(
        self, method: str, url: str, token: str, body: Mapping[str, Any] | None = None
    ) -> Report:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.request(method, url, headers=headers, json=body) as response:
                if method == "POST" and response.status in _NO_SUCH_ORDER:
                    raise NoSuchOrder(
                        f"HTTP {response.status} {(await response.text())[:WORDS_LIMIT]}".strip()
                    )
                if method == "POST" and response.status in _NOT_NOW:
                    refused = await response.json()
                    raise NoAnswer(f"{refused['reason']}: {refused['error']}")
                response.raise_for_status()
                return _report(await response.json())
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


WORDS_LIMIT = 256
# What a pod says of an order that it does not take now: it is at another one, knows a later one, or starts.
_NOT_NOW = frozenset({409, 503})
# What one says that does not know of such orders, or not in these words: another version of the runtime.
_NO_SUCH_ORDER = frozenset({400, 404})


def _never(order: Reload, why: str) -> Report:
    """What a pod would say that has to restart for it."""
    body = order.body
    told = Reloading(body["digest"], body["sequence"], body["mode"], "Refused", Reason.RESTART_REQUIRED, why)
    return Report(None, ready=False, in_flight=0, sequence=0, reload=told)


def _report(body: Any) -> Report:
    measured, reload = body.get("measured"), body.get("reload")
    return Report(
        body["digest"],
        bool(body["ready"]),
        int(body["inFlight"]),
        body.get("vllm"),
        measured if isinstance(measured, dict) else {},
        body.get("version"),
        int(body["sequence"]) if "sequence" in body else None,
        _reloading(reload) if reload else None,
    )


def _reloading(told: Any) -> Reloading:
    return Reloading(
        told["digest"],
        int(told["sequence"]),
        told["mode"],
        told.get("outcome"),
        str(told.get("reason", "")),
        str(told.get("message", "")),
    )


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
