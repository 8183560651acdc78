"""Engine settings of an LLMDeployment: what vLLM is told, in typed fields."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sluicegate.api.meta import Change, ListType, Model, ObjectName, Rule


class Device(StrEnum):
    CUDA = "CUDA"
    CPU = "CPU"


class DType(StrEnum):
    AUTO = "Auto"
    BFLOAT16 = "BFloat16"
    FLOAT16 = "Float16"
    FLOAT32 = "Float32"


class Quantization(StrEnum):
    AUTO = "Auto"
    NONE = "None"
    INT8 = "INT8"
    GPTQ = "GPTQ"
    AWQ = "AWQ"
    FP8 = "FP8"
    COMPRESSED_TENSORS = "CompressedTensors"


class KVCacheDType(StrEnum):
    AUTO = "Auto"
    BFLOAT16 = "BFloat16"
    FP8 = "FP8"
    FP8_E5M2 = "FP8E5M2"


class PrefixCachingMode(StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class HashAlgorithm(StrEnum):
    SHA256 = "SHA256"
    SHA256_CBOR = "SHA256CBOR"
    XXHASH = "XXHash"


class SpeculativeMethod(StrEnum):
    NGRAM = "Ngram"
    DRAFT_MODEL = "DraftModel"


class KVCache(Model):
    """Memory of attention keys and values."""

    dtype: Annotated[KVCacheDType, Change.TEMPLATE] = KVCacheDType.AUTO
    """Element type. Auto follows the model; the FP8 types halve the memory of a token."""
    memory_mib: Annotated[int | None, Field(ge=16, le=4_194_304, alias="memoryMiB"), Change.TEMPLATE] = None
    """Size in MiB for each accelerator. Left out, CUDA takes what is free and CPU takes 1024."""
    offload_mib: Annotated[int | None, Field(ge=16, le=4_194_304, alias="offloadMiB"), Change.TEMPLATE] = None
    """Host memory in MiB that evicted blocks move to. CUDA only."""


class PrefixCaching(Model):
    """Reuse of the keys and values of equal prompt beginnings."""

    mode: Annotated[PrefixCachingMode, Change.TEMPLATE] = PrefixCachingMode.ENABLED
    """Whether it is used."""
    hash_algorithm: Annotated[HashAlgorithm, Change.TEMPLATE] = HashAlgorithm.SHA256
    """How prompt blocks are hashed."""


class Speculative(Model):
    """Speculative decoding: tokens guessed ahead and checked by the model."""

    method: Annotated[SpeculativeMethod, Change.TEMPLATE]
    """Ngram guesses from the prompt itself; DraftModel from a smaller model of the same vocabulary."""
    draft_model_version: Annotated[ObjectName | None, Change.TEMPLATE] = None
    """ModelVersion of the draft model, in the same namespace. Only with method DraftModel."""
    tokens: Annotated[int, Field(ge=1, le=16), Change.TEMPLATE] = 3
    """Number of tokens guessed at a time."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.method == 'DraftModel') == has(self.draftModelVersion)",
            message="draftModelVersion is required with method DraftModel and not allowed with any other",
            holds=lambda s: (
                (s.method is SpeculativeMethod.DRAFT_MODEL) == (s.draft_model_version is not None)
            ),
        ),
    )


class Parallelism(Model):
    """How one replica spreads over the accelerators of its node."""

    tensor: Annotated[int, Field(ge=1, le=16), Change.TEMPLATE] = 1
    """Number of accelerators that share each layer."""
    pipeline: Annotated[int, Field(ge=1, le=16), Change.TEMPLATE] = 1
    """Number of groups of layers, one after another. CUDA only."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.tensor * self.pipeline <= 16",
            message="tensor x pipeline may be at most 16: a replica runs on one node",
            holds=lambda p: p.tensor * p.pipeline <= 16,
        ),
    )


class Engine(Model):
    """Settings of vLLM."""

    device: Annotated[Device, Change.TEMPLATE] = Device.CUDA
    """What the engine computes on."""
    dtype: Annotated[DType, Change.TEMPLATE] = DType.AUTO
    """Element type of weights and activations. Auto takes the checkpoint's own."""
    quantization: Annotated[Quantization, Change.TEMPLATE] = Quantization.AUTO
    """How weights are quantised. Auto does what the checkpoint says; FP8 and INT8 quantise at start."""
    max_model_length: Annotated[int | None, Field(ge=16, le=10_485_760), Change.TEMPLATE] = None
    """Longest sequence in tokens, prompt and answer together. Left out, the model's context length."""
    max_concurrent_sequences: Annotated[int, Field(ge=1, le=4096), Change.TEMPLATE] = 64
    """Number of requests that a replica computes at a time; more wait in the queue."""
    max_batched_tokens: Annotated[int | None, Field(ge=64, le=1_048_576), Change.TEMPLATE] = None
    """Number of tokens in one step of the engine. Left out, vLLM chooses."""
    kv_cache: KVCache = KVCache()
    """Memory of attention keys and values."""
    prefix_caching: PrefixCaching = PrefixCaching()
    """Reuse of the keys and values of equal prompt beginnings."""
    speculative: Speculative | None = None
    """Speculative decoding. Left out, none."""
    parallelism: Parallelism = Parallelism()
    """How one replica spreads over the accelerators of its node."""
    image: Annotated[
        str | None, Field(min_length=1, max_length=512, pattern=r"^[!-~]+$"), Change.TEMPLATE
    ] = None
    """Engine image. Left out, the operator's default for the device, kept for the life of the pods."""
    extra_args: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
        Field(max_length=32),
        ListType.ATOMIC,
        Change.TEMPLATE,
    ] = ()
    """Further vLLM arguments, each "--flag" or "--flag=value". Refused where a typed field says the same."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.extraArgs) || self.extraArgs.all(a, a.matches('^--[a-z][a-z0-9-]*(=[ -~]*)?$'))",
            message="each of extraArgs must read --flag or --flag=value",
            holds=lambda e: all(_is_flag(arg) for arg in e.extra_args),
        ),
    )


def _is_flag(arg: str) -> bool:
    flag, _, value = arg.partition("=")
    words = flag.removeprefix("--")
    return (
        flag.startswith("--")
        and words[:1].isascii()
        and words[:1].islower()
        and all(c == "-" or (c.isascii() and (c.isdigit() or c.islower())) for c in words)
        and all(" " <= c <= "~" for c in value)
    )
