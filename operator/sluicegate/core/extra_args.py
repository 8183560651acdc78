"""Which of vLLM's arguments a user may pass through beside the typed fields.

This is a list of what is allowed, by whole name: vLLM has some 300 arguments and completes the beginning of
one, so whatever is not listed could lead around a typed field, the gate or the sandbox.
"""

from __future__ import annotations

from collections.abc import Collection

TYPED_FIELDS = {
    "dtype": "engine.dtype",
    "enable-prefix-caching": "engine.prefixCaching.mode",
    "kv-cache-dtype": "engine.kvCache.dtype",
    "kv-cache-memory-bytes": "engine.kvCache.memoryMiB",
    "kv-offloading-backend": "engine.kvCache.offloadMiB",
    "kv-offloading-size": "engine.kvCache.offloadMiB",
    "max-model-len": "engine.maxModelLength",
    "max-num-batched-tokens": "engine.maxBatchedTokens",
    "max-num-seqs": "engine.maxConcurrentSequences",
    "model": "modelVersion",
    "pipeline-parallel-size": "engine.parallelism.pipeline",
    "prefix-caching-hash-algo": "engine.prefixCaching.hashAlgorithm",
    "quantization": "engine.quantization",
    "served-model-name": "servedModelName",
    "spec-method": "engine.speculative.method",
    "spec-model": "engine.speculative.draftModelVersion",
    "spec-tokens": "engine.speculative.tokens",
    "speculative-config": "engine.speculative",
    "tensor-parallel-size": "engine.parallelism.tensor",
}
"""vLLM's argument to the field of the spec that says the same."""

_MESSAGES = {
    "chat-template",
    "chat-template-content-format",
    "default-chat-template-kwargs",
    "enable-auto-tool-choice",
    "enable-force-include-usage",
    "enable-prompt-tokens-details",
    "exclude-tools-when-tool-choice-none",
    "generation-config",
    "logprobs-mode",
    "max-logprobs",
    "override-generation-config",
    "reasoning-config",
    "reasoning-parser",
    "response-role",
    "return-tokens-as-token-ids",
    "sse-keep-alive-interval",
    "structured-outputs-config",
    "tokenizer-mode",
    "tool-call-parser",
    "tool-strict-level",
}
_COMPUTATION = {
    "async-scheduling",
    "attention-backend",
    "attention-config",
    "block-size",
    "compilation-config",
    "cpu-offload-gb",
    "cudagraph-capture-sizes",
    "disable-cascade-attn",
    "disable-custom-all-reduce",
    "disable-sliding-window",
    "enable-chunked-prefill",
    "enable-expert-parallel",
    "enable-flashinfer-autotune",
    "enforce-eager",
    "gpu-memory-utilization",
    "kernel-config",
    "linear-backend",
    "long-prefill-token-threshold",
    "max-cudagraph-capture-size",
    "model-impl",
    "moe-backend",
    "optimization-level",
    "performance-mode",
    "safetensors-load-strategy",
    "seed",
    "stream-interval",
}
_MULTIMODAL = {
    "language-model-only",
    "limit-mm-per-prompt",
    "mm-encoder-tp-mode",
    "mm-processor-cache-gb",
    "mm-processor-kwargs",
    "skip-mm-profiling",
}
_METRICS = {
    "cudagraph-metrics",
    "enable-mfu-metrics",
    "kv-cache-metrics",
    "per-request-spec-decode-metrics",
}
ALLOWED = frozenset(_MESSAGES | _COMPUTATION | _MULTIMODAL | _METRICS)


def objection(arguments: Collection[str], derived: Collection[str]) -> str | None:
    """The first thing wrong with a user's arguments, or None.

    `derived` are the flags made from the typed fields, which a user's may not contradict.
    """
    taken = {argument_name(flag) for flag in derived}
    for argument in arguments:
        name = argument_name(argument)
        if name in TYPED_FIELDS:
            return f"{argument} says what {TYPED_FIELDS[name]} is for: set that field instead"
        if name in taken:
            return f"{argument} contradicts what this device needs: leave it out"
        if name not in ALLOWED:
            return f"{argument} is not among the arguments that may be passed through: leave it out"
    return None


def argument_name(flag: str) -> str:
    """The bare name of an argument: "--no-enforce-eager" and "--enforce-eager=1" are "enforce-eager"."""
    return flag.partition("=")[0].removeprefix("--").removeprefix("no-")
