"""What new weights have to show before anybody else may ask them: that they answer, and as recorded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

import aiohttp

from sluicegate_engine.fatal import FatalError
from sluicegate_engine.reload.order import GoldenPrompt
from sluicegate_engine.reload.refusal import RefusedError
from sluicegate_engine.warmup import ask, warm_up


class Prover:
    """Asks the engine through its serving port, past the gate, as nobody else can meanwhile."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, model: str, key: str) -> None:
        self._session = session
        self._base_url = base_url
        self._model = model
        self._key = key

    async def generate(self) -> None:
        """A generation. Raises RefusedError GenerationFailed."""
        try:
            await warm_up(self._session, self._base_url, self._model, self._key)
        except FatalError as error:
            raise RefusedError("GenerationFailed", error.message) from None

    async def hold_golden(self, prompts: Iterable[GoldenPrompt]) -> None:
        """Each recorded answer is as likely as it was. Raises RefusedError GoldenPromptsFailed."""
        for prompt in prompts:
            seen = await self._scores(prompt)
            for position, (now, then) in enumerate(zip_longest(seen, prompt.log_probabilities), start=1):
                if now is None or not math.isfinite(now) or abs(now - then) > prompt.tolerance:
                    raise _failed(
                        prompt,
                        f"token {position} of {len(prompt.tokens)}: log-probability {now}; recorded was "
                        f"{then}, {prompt.tolerance} more or less",
                    )

    async def _scores(self, prompt: GoldenPrompt) -> tuple[float | None, ...]:
        """The log-probability of each recorded token after those before it."""
        request = {
            "prompt": [*prompt.prompt, *prompt.tokens],
            "max_tokens": 1,
            "temperature": 0,
            # vLLM computes them anew, whatever its prefix cache holds.
            "prompt_logprobs": 0,
        }
        answer = await self._ask(request, prompt)
        try:
            told = answer["choices"][0]["prompt_logprobs"][-len(prompt.tokens) :]
            pairs = zip(told, prompt.tokens, strict=True)
            return tuple(at[str(token)]["logprob"] for at, token in pairs)
        except (LookupError, TypeError, ValueError):
            raise _failed(prompt, "the engine's answer tells no log-probabilities") from None

    async def _ask(self, request: Mapping[str, Any], prompt: GoldenPrompt) -> dict[str, Any]:
        body, url = {"model": self._model, **request}, f"{self._base_url}/v1/completions"
        try:
            status, answer = await ask(self._session, url, body, self._key)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise _failed(prompt, f"got no answer ({type(error).__name__})") from None
        if status != 200 or not isinstance(answer, dict):
            raise _failed(prompt, f"was answered with HTTP {status}")
        return answer


def _failed(prompt: GoldenPrompt, what: str) -> RefusedError:
    return RefusedError("GoldenPromptsFailed", f"golden prompt {prompt.name}: {what}")
