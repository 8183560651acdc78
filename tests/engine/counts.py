"""What vLLM leaves in a request's state when its answer is whole: how many tokens it counted."""

from __future__ import annotations

from types import SimpleNamespace

from sluicegate_engine.asgi import Scope


def leave_counts(scope: Scope, prompt_tokens: int, output_tokens: int) -> None:
    """Under vLLM's names, which the pod contract holds to the real one."""
    usage = SimpleNamespace(prompt_tokens=prompt_tokens, completion_tokens=output_tokens)
    scope.setdefault("state", {})["request_metadata"] = SimpleNamespace(final_usage_info=usage)
