"""Engine settings and the vLLM flags they mean.

tests/core compares the flags, tests/engine_vllm has the pinned vLLM parse each set, and those that the CPU
can do are started and asked by the nightly target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.api.v1alpha1.modelversion import Facts

FACTS = Facts(
    architecture="LlamaForCausalLM",
    dtype="bfloat16",
    quantization="None",
    context_length=8192,
    attention_heads=32,
    vocabulary_size=32000,
)
CPU: dict[str, Any] = {"device": "CPU"}
COMMON = ("--dtype=auto", "--max-num-seqs=64", "--kv-cache-dtype=auto")
PREFIX = ("--enable-prefix-caching", "--prefix-caching-hash-algo=sha256")
MEMORY = "--kv-cache-memory-bytes=1073741824"
EAGER = "--enforce-eager"


@dataclass(frozen=True)
class Case:
    """An `engine` block, the files' facts, and the flags: all of them, or those that must be among them."""

    name: str
    engine: dict[str, Any]
    among: tuple[str, ...] = ()
    whole: tuple[str, ...] | None = None
    model: Facts | None = FACTS
    draft: Facts | None = None

    @property
    def spec(self) -> LLMDeploymentSpec:
        return spec_of(self.engine)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Refused:
    """An `engine` block that cannot be, and why."""

    name: str
    engine: dict[str, Any]
    reason: str
    said: tuple[str, ...]
    model: Facts = field(default=FACTS)
    draft: Facts | None = None

    def __str__(self) -> str:
        return self.name


def spec_of(engine: dict[str, Any]) -> LLMDeploymentSpec:
    return LLMDeploymentSpec.model_validate({"modelVersion": "v1", "engine": engine})


def facts(**changes: Any) -> Facts:
    return FACTS.model_copy(update=changes)


DRAFT = {"method": "DraftModel", "draftModelVersion": "small", "tokens": 4}

CASES = (
    Case("cuda defaults", {}, whole=COMMON + PREFIX),
    Case("cpu defaults", CPU, whole=(*COMMON, MEMORY, *PREFIX, EAGER)),
    Case("nothing is known of the files", CPU, whole=(*COMMON, MEMORY, *PREFIX, EAGER), model=None),
    Case("bfloat16", {**CPU, "dtype": "BFloat16"}, ("--dtype=bfloat16",)),
    Case("float16", {**CPU, "dtype": "Float16"}, ("--dtype=float16",)),
    Case("float32", {**CPU, "dtype": "Float32"}, ("--dtype=float32",)),
    Case("a float32 checkpoint stays so", CPU, ("--dtype=float32",), model=facts(dtype="float32")),
    Case(
        "a float32 checkpoint asked for less",
        {"dtype": "BFloat16"},
        ("--dtype=bfloat16",),
        model=facts(dtype="float32"),
    ),
    Case(
        "quantised weights of a float32 model",
        {},
        ("--dtype=auto",),
        model=facts(dtype="float32", quantization="GPTQ"),
    ),
    Case("int8 at start", {**CPU, "quantization": "INT8"}, ("--quantization=int8_per_channel_weight_only",)),
    Case(
        "int8 at start of a float32 checkpoint",
        {**CPU, "quantization": "INT8"},
        ("--dtype=auto", "--quantization=int8_per_channel_weight_only"),
        model=facts(dtype="float32"),
    ),
    Case("fp8 at start", {"quantization": "FP8"}, ("--quantization=fp8",)),
    Case(
        "an fp8 checkpoint", {"quantization": "FP8"}, whole=COMMON + PREFIX, model=facts(quantization="FP8")
    ),
    Case("a found gptq checkpoint", {}, whole=COMMON + PREFIX, model=facts(quantization="GPTQ")),
    Case("gptq on cpu", CPU, ("--dtype=auto",), model=facts(quantization="GPTQ")),
    Case("awq on cpu", {**CPU, "quantization": "AWQ"}, ("--dtype=auto",), model=facts(quantization="AWQ")),
    Case(
        "compressed tensors on cpu",
        {**CPU, "quantization": "CompressedTensors"},
        ("--dtype=auto",),
        model=facts(quantization="COMPRESSED_TENSORS"),
    ),
    Case("a named gptq checkpoint", {"quantization": "GPTQ"}, COMMON, model=facts(quantization="GPTQ")),
    Case(
        "torchao in float32", {"dtype": "Float32"}, ("--dtype=float32",), model=facts(quantization="TORCHAO")
    ),
    Case("a modelopt checkpoint", {}, whole=COMMON + PREFIX, model=facts(quantization="MODELOPT")),
    Case(
        "compressed tensors in float32",
        {"dtype": "Float32"},
        ("--dtype=float32",),
        model=facts(quantization="COMPRESSED_TENSORS"),
    ),
    Case("a named awq checkpoint", {"quantization": "AWQ"}, COMMON, model=facts(quantization="AWQ")),
    Case("plain weights by name", {"quantization": "None"}, COMMON),
    Case("context", {**CPU, "maxModelLength": 4096}, ("--max-model-len=4096",)),
    Case("the whole context", {"maxModelLength": 8192}, ("--max-model-len=8192",)),
    Case("concurrency", {**CPU, "maxConcurrentSequences": 8}, ("--max-num-seqs=8",)),
    Case("batch", {**CPU, "maxBatchedTokens": 64}, ("--max-num-batched-tokens=64",)),
    Case(
        "more sequences than vLLM's least default batch",
        {"maxConcurrentSequences": 2049},
        ("--max-num-seqs=2049", "--max-num-batched-tokens=2049"),
    ),
    Case(
        "as many sequences as vLLM's least default batch",
        {"maxConcurrentSequences": 2048},
        whole=("--dtype=auto", "--max-num-seqs=2048", "--kv-cache-dtype=auto", *PREFIX),
    ),
    Case(
        "a batch beside more sequences than vLLM's least default one",
        {"maxConcurrentSequences": 3000, "maxBatchedTokens": 4096},
        ("--max-num-seqs=3000", "--max-num-batched-tokens=4096"),
    ),
    Case("kv memory", {**CPU, "kvCache": {"memoryMiB": 64}}, ("--kv-cache-memory-bytes=67108864",)),
    Case("kv fp8", {**CPU, "kvCache": {"dtype": "FP8"}}, ("--kv-cache-dtype=fp8",)),
    Case("kv fp8 e5m2", {**CPU, "kvCache": {"dtype": "FP8E5M2"}}, ("--kv-cache-dtype=fp8_e5m2",)),
    Case("kv bfloat16", {**CPU, "kvCache": {"dtype": "BFloat16"}}, ("--kv-cache-dtype=bfloat16",)),
    Case(
        "kv offload",
        {"kvCache": {"offloadMiB": 1536}},
        ("--kv-offloading-size=1.5", "--kv-offloading-backend=native"),
    ),
    Case(
        "no prefix caching",
        {**CPU, "prefixCaching": {"mode": "Disabled", "hashAlgorithm": "XXHash"}},
        whole=(*COMMON, MEMORY, "--no-enable-prefix-caching", EAGER),
    ),
    Case(
        "prefix hash cbor",
        {**CPU, "prefixCaching": {"hashAlgorithm": "SHA256CBOR"}},
        ("--prefix-caching-hash-algo=sha256_cbor",),
    ),
    Case(
        "prefix hash xxhash",
        {"prefixCaching": {"hashAlgorithm": "XXHash"}},
        ("--prefix-caching-hash-algo=xxhash",),
    ),
    Case(
        "ngram",
        {**CPU, "speculative": {"method": "Ngram", "tokens": 2}},
        ('--speculative-config={"method":"ngram","num_speculative_tokens":2}',),
    ),
    Case(
        "draft model",
        {**CPU, "speculative": DRAFT},
        ('--speculative-config={"method":"draft_model","model":"@draft","num_speculative_tokens":4}',),
        draft=facts(attention_heads=8),
    ),
    Case(
        "draft model of a vocabulary that is not known of the model",
        {"speculative": DRAFT},
        model=facts(vocabulary_size=0),
        draft=facts(attention_heads=8),
    ),
    Case(
        "tensor and pipeline parallel",
        {"parallelism": {"tensor": 4, "pipeline": 2}},
        ("--tensor-parallel-size=4", "--pipeline-parallel-size=2"),
    ),
    Case("tensor parallel on cpu", {**CPU, "parallelism": {"tensor": 2}}, ("--tensor-parallel-size=2",)),
    Case(
        "extra arguments come last",
        {"extraArgs": ["--gpu-memory-utilization=0.8", "--no-async-scheduling", "--enforce-eager"]},
        whole=(
            *COMMON,
            *PREFIX,
            "--gpu-memory-utilization=0.8",
            "--no-async-scheduling",
            "--enforce-eager",
        ),
    ),
)

REFUSALS = (
    Refused("fp8 on cpu", {**CPU, "quantization": "FP8"}, "UnsupportedOnCPU", ("FP8", "INT8")),
    Refused("offload on cpu", {**CPU, "kvCache": {"offloadMiB": 64}}, "UnsupportedOnCPU", ("offloadMiB",)),
    Refused(
        "xxhash on cpu",
        {**CPU, "prefixCaching": {"hashAlgorithm": "XXHash"}},
        "UnsupportedOnCPU",
        ("SHA256",),
    ),
    Refused(
        "fp8 checkpoint on cpu", CPU, "QuantizationUnsupported", ("FP8", "CPU"), facts(quantization="FP8")
    ),
    Refused(
        "bitsandbytes", {}, "QuantizationUnsupported", ("BITSANDBYTES",), facts(quantization="BITSANDBYTES")
    ),
    Refused("awq of plain weights", {"quantization": "AWQ"}, "QuantizationMismatch", ("AWQ", "None")),
    Refused(
        "plain of awq weights",
        {"quantization": "None"},
        "QuantizationMismatch",
        ("None", "AWQ"),
        facts(quantization="AWQ"),
    ),
    Refused(
        "int8 of gptq weights",
        {"quantization": "INT8"},
        "QuantizationMismatch",
        ("INT8", "GPTQ"),
        facts(quantization="GPTQ"),
    ),
    Refused(
        "int8 in float32", {"quantization": "INT8", "dtype": "Float32"}, "DTypeMismatch", ("INT8", "BFloat16")
    ),
    Refused("gptq in float32", {"dtype": "Float32"}, "DTypeMismatch", ("GPTQ",), facts(quantization="GPTQ")),
    Refused(
        "modelopt in float32",
        {"dtype": "Float32"},
        "DTypeMismatch",
        ("MODELOPT",),
        facts(quantization="MODELOPT"),
    ),
    Refused(
        "fbgemm, which is deprecated",
        {},
        "QuantizationUnsupported",
        ("FBGEMM_FP8",),
        facts(quantization="FBGEMM_FP8"),
    ),
    Refused("context", {"maxModelLength": 8193}, "ContextTooLong", ("8193", "8192")),
    Refused("batch", {"maxBatchedTokens": 64, "maxConcurrentSequences": 65}, "BatchTooSmall", ("64", "65")),
    Refused(
        "heads",
        {"parallelism": {"tensor": 2}},
        "HeadsNotDivisible",
        ("the model has 9", "2"),
        facts(attention_heads=9),
    ),
    Refused(
        "draft heads",
        {"parallelism": {"tensor": 2}, "speculative": DRAFT},
        "HeadsNotDivisible",
        ("draft model", "3"),
        draft=facts(attention_heads=3),
    ),
    Refused(
        "draft vocabulary",
        {"speculative": DRAFT},
        "VocabularyMismatch",
        ("32000", "31999"),
        draft=facts(vocabulary_size=31999),
    ),
    Refused("typed", {"extraArgs": ["--max-model-len=9"]}, "ExtraArgRefused", ("engine.maxModelLength",)),
    Refused(
        "typed, negated", {"extraArgs": ["--no-enable-prefix-caching"]}, "ExtraArgRefused", ("prefixCaching",)
    ),
    Refused("forced", {**CPU, "extraArgs": ["--no-enforce-eager"]}, "ExtraArgRefused", ("device",)),
    Refused("unsafe", {"extraArgs": ["--trust-remote-code"]}, "ExtraArgRefused", ("--trust-remote-code",)),
    Refused("abbreviated", {"extraArgs": ["--trust-remote"]}, "ExtraArgRefused", ("--trust-remote",)),
    Refused("around the gate", {"extraArgs": ["--middleware=a.B"]}, "ExtraArgRefused", ("--middleware=a.B",)),
)
