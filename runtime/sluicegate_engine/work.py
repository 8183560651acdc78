"""What the engine has done so far, as vLLM's own metrics tell it inside the process of its server.

Read there and not from its page: that takes the server's event loop some milliseconds, which every stream
would feel every second.
"""

from __future__ import annotations

from prometheus_client import REGISTRY

WORK = "work"
"""The gate's answer to this order is `engine_work()`."""
METRICS = (
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    # Prompts are counted when they are through. Before that, each chunk of one takes blocks of the cache,
    # and the engine tells so after each of its steps.
    "vllm:kv_cache_usage_perc",
)


def engine_work() -> list[float]:
    """Figures that change with every step of an engine that works; none where vLLM keeps none."""
    chosen = REGISTRY.restricted_registry(METRICS)
    return [sample.value for metric in chosen.collect() for sample in metric.samples]
