"""How many tokens a request had, as vLLM counted them, whether or not its client asked to be told.

Once an answer is whole, vLLM leaves that for its middleware in the request's state (`RequestResponseMetadata`
of its OpenAI server). The events of a stream say less: an engine that is faster than its server puts several
tokens into one. Asking in the client's place (`stream_options`) would change what the client is told.
"""

from __future__ import annotations

from typing import NamedTuple

from sluicegate_engine.asgi import Scope


class Usage(NamedTuple):
    """Tokens: of all prompts, and of all that was generated for them."""

    prompt_tokens: int
    output_tokens: int


def told_usage(scope: Scope) -> Usage | None:
    """None while the answer is not whole, and where it never became so. `scope` is what vLLM was given."""
    metadata = scope["state"].get("request_metadata")
    told = getattr(metadata, "final_usage_info", None)
    return Usage(told.prompt_tokens, told.completion_tokens or 0) if told else None
