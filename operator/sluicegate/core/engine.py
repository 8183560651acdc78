"""Engine flags: what the typed fields of a spec mean to vLLM, and what cannot be.

What vLLM would find out only after minutes of loading, or at the first request, is refused here with a
reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sluicegate.api.v1alpha1.engine import (
    Device,
    DType,
    Engine,
    HashAlgorithm,
    KVCacheDType,
    PrefixCachingMode,
    Quantization,
    Speculative,
    SpeculativeMethod,
)
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.api.v1alpha1.modelversion import Facts
from sluicegate.core.extra_args import objection

DRAFT_PLACE = "@draft"
"""Stands for the draft model's folder, which only the pod knows."""

_MIB = 1024 * 1024
_CPU_KV_CACHE_MIB = 1024
_LEAST_DEFAULT_BATCH = 2048

_DTYPES = {
    DType.AUTO: "auto",
    DType.BFLOAT16: "bfloat16",
    DType.FLOAT16: "float16",
    DType.FLOAT32: "float32",
}
_KV_DTYPES = {
    KVCacheDType.AUTO: "auto",
    KVCacheDType.BFLOAT16: "bfloat16",
    KVCacheDType.FP8: "fp8",
    KVCacheDType.FP8_E5M2: "fp8_e5m2",
}
_HASHES = {
    HashAlgorithm.SHA256: "sha256",
    HashAlgorithm.SHA256_CBOR: "sha256_cbor",
    HashAlgorithm.XXHASH: "xxhash",
}
_ONLINE = {Quantization.INT8: "int8_per_channel_weight_only", Quantization.FP8: "fp8"}
_CHECKPOINT_METHOD = {
    Quantization.NONE: "None",
    Quantization.GPTQ: "GPTQ",
    Quantization.AWQ: "AWQ",
    Quantization.COMPRESSED_TENSORS: "COMPRESSED_TENSORS",
}
_FLOAT32_METHODS = frozenset({"None", "COMPRESSED_TENSORS", "TORCHAO"})
_CPU_METHODS = frozenset({"None", "GPTQ", "AWQ", "COMPRESSED_TENSORS"})
CUDA_METHODS = _CPU_METHODS | {
    "AUTO_ROUND",
    "FP8",
    "INC",
    "MODELOPT",
    "MODELOPT_FP4",
    "MODELOPT_MIXED",
    "MODELOPT_MXFP8",
    "MXFP4",
    "MXFP8",
    "QUARK",
    "TORCHAO",
}
"""How a checkpoint may be quantised: what vLLM 0.32 reads and does not call deprecated."""


@dataclass(frozen=True)
class Refusal:
    """Why an engine with these settings would not start. `reason` is one word in CamelCase."""

    reason: str
    message: str


def engine_flags(
    spec: LLMDeploymentSpec, model: Facts | None, draft: Facts | None
) -> tuple[str, ...] | Refusal:
    """vLLM's arguments, each "--flag" or "--flag=value", or why there are none.

    `model` and `draft` are what is known of the files; what is not known is not judged.
    """
    engine, facts = spec.engine, model or Facts()
    refusal = next(_refusals(engine, facts, draft or Facts()), None)
    if refusal is not None:
        return refusal
    flags = tuple(_flags(engine, facts))
    wrong = objection(engine.extra_args, flags)
    return Refusal("ExtraArgRefused", f"engine.extraArgs: {wrong}") if wrong else flags + engine.extra_args


def _flags(engine: Engine, facts: Facts) -> Iterator[str]:
    yield f"--dtype={_dtype(engine, facts)}"
    if engine.quantization in _ONLINE and facts.quantization == "None":
        yield f"--quantization={_ONLINE[engine.quantization]}"
    if engine.max_model_length is not None:
        yield f"--max-model-len={engine.max_model_length}"
    yield f"--max-num-seqs={engine.max_concurrent_sequences}"
    if (batch := _batched_tokens(engine)) is not None:
        yield f"--max-num-batched-tokens={batch}"
    yield from _cache_flags(engine)
    if engine.speculative is not None:
        yield f"--speculative-config={_speculative_config(engine.speculative)}"
    if engine.parallelism.tensor > 1:
        yield f"--tensor-parallel-size={engine.parallelism.tensor}"
    if engine.parallelism.pipeline > 1:
        yield f"--pipeline-parallel-size={engine.parallelism.pipeline}"
    if engine.device is Device.CPU:
        yield "--enforce-eager"


def _cache_flags(engine: Engine) -> Iterator[str]:
    cache, prefix = engine.kv_cache, engine.prefix_caching
    yield f"--kv-cache-dtype={_KV_DTYPES[cache.dtype]}"
    memory = cache.memory_mib or (_CPU_KV_CACHE_MIB if engine.device is Device.CPU else None)
    if memory is not None:
        yield f"--kv-cache-memory-bytes={memory * _MIB}"
    if cache.offload_mib is not None:
        yield f"--kv-offloading-size={cache.offload_mib / 1024}"
        yield "--kv-offloading-backend=native"
    if prefix.mode is PrefixCachingMode.DISABLED:
        yield "--no-enable-prefix-caching"
    else:
        yield "--enable-prefix-caching"
        yield f"--prefix-caching-hash-algo={_HASHES[prefix.hash_algorithm]}"


def _dtype(engine: Engine, facts: Facts) -> str:
    # vLLM's own "auto" computes a float32 checkpoint in 16 bits, which quantised weights need.
    plain = facts.quantization == "None" and engine.quantization not in _ONLINE
    if engine.dtype is DType.AUTO and facts.dtype == "float32" and plain:
        return "float32"
    return _DTYPES[engine.dtype]


def _batched_tokens(engine: Engine) -> int | None:
    """vLLM's default fits every device, but wants a token for each sequence at least."""
    sequences = engine.max_concurrent_sequences
    if engine.max_batched_tokens is None and sequences > _LEAST_DEFAULT_BATCH:
        return sequences
    return engine.max_batched_tokens


def _speculative_config(speculative: Speculative) -> str:
    config: dict[str, object] = {"num_speculative_tokens": speculative.tokens}
    if speculative.method is SpeculativeMethod.DRAFT_MODEL:
        config |= {"method": "draft_model", "model": DRAFT_PLACE}
    else:
        config |= {"method": "ngram"}
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def _refusals(engine: Engine, facts: Facts, draft: Facts) -> Iterator[Refusal]:
    if engine.device is Device.CPU:
        yield from _cpu_refusals(engine)
    yield from _quantization_refusals(engine, facts)
    yield from _dtype_refusals(engine, facts)
    yield from _size_refusals(engine, facts)
    yield from _parallelism_refusals(engine, facts, draft)
    if facts.vocabulary_size and draft.vocabulary_size:
        yield from _draft_refusals(facts, draft)


def _cpu_refusals(engine: Engine) -> Iterator[Refusal]:
    if engine.parallelism.pipeline > 1:
        # It starts, and the first request kills it.
        yield _not_on_cpu("pipeline parallelism", "set engine.parallelism.pipeline to 1")
    if engine.quantization is Quantization.FP8:
        yield _not_on_cpu("FP8 weights", "set engine.quantization to INT8 or Auto")
    if engine.kv_cache.offload_mib is not None:
        yield _not_on_cpu("offload of the KV cache", "remove engine.kvCache.offloadMiB")
    prefix = engine.prefix_caching
    if prefix.mode is PrefixCachingMode.ENABLED and prefix.hash_algorithm is HashAlgorithm.XXHASH:
        yield _not_on_cpu("the XXHash algorithm", "set engine.prefixCaching.hashAlgorithm to SHA256")


def _not_on_cpu(what: str, instead: str) -> Refusal:
    return Refusal("UnsupportedOnCPU", f"vLLM's CPU backend has no {what}: {instead}")


def _quantization_refusals(engine: Engine, facts: Facts) -> Iterator[Refusal]:
    found, asked = facts.quantization, engine.quantization
    known = _CPU_METHODS if engine.device is Device.CPU else CUDA_METHODS
    if found not in known:
        yield Refusal(
            "QuantizationUnsupported",
            f"the checkpoint is quantised with {found}, which is not served with vLLM 0.32 on "
            f"{engine.device}: use a checkpoint with one of {', '.join(sorted(known))}",
        )
    fits = {"None", "FP8"} if asked is Quantization.FP8 else {_CHECKPOINT_METHOD.get(asked, "None")}
    if asked is not Quantization.AUTO and found not in fits:
        yield Refusal(
            "QuantizationMismatch",
            f"engine.quantization is {asked}, but the checkpoint's is {found}: "
            "set Auto, or use another checkpoint",
        )


def _dtype_refusals(engine: Engine, facts: Facts) -> Iterator[Refusal]:
    method = str(engine.quantization) if engine.quantization in _ONLINE else facts.quantization
    if engine.dtype is DType.FLOAT32 and method not in _FLOAT32_METHODS:
        yield Refusal(
            "DTypeMismatch",
            f"engine.dtype is Float32, but {method} weights need 16 bits: set Auto, BFloat16 or Float16",
        )


def _size_refusals(engine: Engine, facts: Facts) -> Iterator[Refusal]:
    length, batch = engine.max_model_length, engine.max_batched_tokens
    if length is not None and facts.context_length and length > facts.context_length:
        yield Refusal(
            "ContextTooLong",
            f"engine.maxModelLength is {length}, but the model was made for {facts.context_length} tokens",
        )
    if batch is not None and batch < engine.max_concurrent_sequences:
        yield Refusal(
            "BatchTooSmall",
            f"engine.maxBatchedTokens is {batch}, less than engine.maxConcurrentSequences, "
            f"{engine.max_concurrent_sequences}: each sequence needs a token in a step",
        )


def _parallelism_refusals(engine: Engine, facts: Facts, draft: Facts) -> Iterator[Refusal]:
    ranks = engine.parallelism.tensor
    for whose, heads in (("model", facts.attention_heads), ("draft model", draft.attention_heads)):
        if heads % ranks:
            yield Refusal(
                "HeadsNotDivisible",
                f"the {whose} has {heads} attention heads, which engine.parallelism.tensor, {ranks}, "
                "does not divide",
            )


def _draft_refusals(facts: Facts, draft: Facts) -> Iterator[Refusal]:
    if facts.vocabulary_size != draft.vocabulary_size:
        yield Refusal(
            "VocabularyMismatch",
            f"the model knows {facts.vocabulary_size} tokens and the draft model {draft.vocabulary_size}: "
            "a draft model must have the vocabulary of the model",
        )
