"""The generation that proves the engine before anybody else may ask it.

It pays for what vLLM compiles at the first request, and at the first that asks for log-probabilities, which
would hold up everybody's tokens later, on a busy CPU for as long as a stuck engine would. And an engine that
loads but cannot answer (pipeline parallelism on CPU, for one) never becomes ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

from sluicegate_engine.fatal import FatalError
from sluicegate_engine.gate_settings import KEY_HEADER

_CONNECT_SECONDS = 10.0
_RETRY_SECONDS = 0.05
_ANSWER_SECONDS = 600.0
# The bound is ours alone: by itself the client gives up after half of it.
_UNBOUNDED = aiohttp.ClientTimeout(total=None)


async def warm_up(
    session: aiohttp.ClientSession, base_url: str, model: str, key: str, tokens: int = 4
) -> None:
    """Generate a few tokens through the serving port. Raises FatalError WarmupFailed."""
    request = {
        "model": model,
        "prompt": "Hello",
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        # Of the chosen tokens alone: so many are allowed whatever --max-logprobs is.
        "logprobs": 0,
    }
    try:
        status, answer = await ask(session, f"{base_url}/v1/completions", request, key)
    except (TimeoutError, aiohttp.ClientError, ValueError) as error:
        raise _failed(f"got no answer ({type(error).__name__}: {error})") from None
    if status != 200:
        raise _failed(f"was answered with HTTP {status}: {str(answer)[:300]}")
    reason = _finish_reason(answer)
    if reason not in ("stop", "length"):
        raise _failed(f"ended with finish_reason {reason!r} instead of stop or length")


async def engine_version(session: aiohttp.ClientSession, base_url: str, key: str) -> str | None:
    """vLLM's version, as its server tells it to anybody; None where it does not."""
    try:
        async with (
            asyncio.timeout(_CONNECT_SECONDS),
            session.get(f"{base_url}/version", headers={KEY_HEADER: key}) as response,
        ):
            answer = await response.json()
    except (TimeoutError, aiohttp.ClientError, ValueError):
        return None
    match answer:
        case {"version": str(version)}:
            return version
    return None


async def ask(
    session: aiohttp.ClientSession, url: str, request: Mapping[str, object], key: str
) -> tuple[int, object]:
    """Post a request past the gate. Returns the HTTP status and the answer's JSON.

    Raises TimeoutError, aiohttp.ClientError, and ValueError for an answer that is not JSON.
    """
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await _post(session, url, request, key)


async def _post(
    session: aiohttp.ClientSession, url: str, request: Mapping[str, object], key: str
) -> tuple[int, object]:
    # The gate reports an instant before the server accepts connections.
    deadline = asyncio.get_running_loop().time() + _CONNECT_SECONDS
    while True:
        try:
            headers = {KEY_HEADER: key}
            async with session.post(url, json=request, headers=headers, timeout=_UNBOUNDED) as response:
                return response.status, await response.json(content_type=None)
        except aiohttp.ClientConnectorError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_RETRY_SECONDS)


def _finish_reason(answer: object) -> object:
    match answer:
        case {"choices": [{"finish_reason": reason}, *_]}:
            return reason
    return None


def _failed(what: str) -> FatalError:
    return FatalError("WarmupFailed", f"the first generation {what}; see the engine's log")
