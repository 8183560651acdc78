"""Fingerprints of engines: equal where the arithmetic is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import DEFAULTS, RECORDED_WITH, ADeployment, a_model_version

from sluicegate.api.v1alpha1.golden import LONGEST_ENGINE
from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.core.engine import engine_flags
from sluicegate.core.extra_args import ALLOWED, TYPED_FIELDS
from sluicegate.core.fingerprint import fingerprint
from sluicegate.core.pointer import Pointer, files_of
from sluicegate.core.template import pod_template

# Everything else that vLLM may be told: who answers, how much fits and what is shown, but not what comes out.
HARMLESS = frozenset(
    {
        "async-scheduling",
        "block-size",
        "chat-template",
        "chat-template-content-format",
        "cpu-offload-gb",
        "cudagraph-capture-sizes",
        "cudagraph-metrics",
        "default-chat-template-kwargs",
        "enable-auto-tool-choice",
        "enable-chunked-prefill",
        "enable-flashinfer-autotune",
        "enable-force-include-usage",
        "enable-mfu-metrics",
        "enable-prefix-caching",
        "enable-prompt-tokens-details",
        "exclude-tools-when-tool-choice-none",
        "generation-config",
        "gpu-memory-utilization",
        "kv-cache-memory-bytes",
        "kv-cache-metrics",
        "kv-offloading-backend",
        "kv-offloading-size",
        "language-model-only",
        "limit-mm-per-prompt",
        "long-prefill-token-threshold",
        "max-cudagraph-capture-size",
        "max-logprobs",
        "max-model-len",
        "max-num-batched-tokens",
        "max-num-seqs",
        "mm-encoder-tp-mode",
        "mm-processor-cache-gb",
        "mm-processor-kwargs",
        "model",
        "override-generation-config",
        "per-request-spec-decode-metrics",
        "prefix-caching-hash-algo",
        "reasoning-config",
        "reasoning-parser",
        "response-role",
        "return-tokens-as-token-ids",
        "safetensors-load-strategy",
        "seed",
        "served-model-name",
        "skip-mm-profiling",
        "spec-method",
        "spec-model",
        "spec-tokens",
        "sse-keep-alive-interval",
        "stream-interval",
        "structured-outputs-config",
        "tokenizer-mode",
        "tool-call-parser",
        "tool-strict-level",
    }
)


def of(vllm: str = "0.32.0", **engine: Any) -> str:
    built = ADeployment().with_engine(**engine).build()
    deployment = LLMDeployment.model_validate(built)
    model = ModelVersion.model_validate(a_model_version())
    flags = engine_flags(deployment.spec, model.status.facts, None)
    assert isinstance(flags, tuple)
    pointer = Pointer(files_of(model))
    return fingerprint(pod_template(deployment, "0a1b2c3d", pointer, flags, DEFAULTS), vllm)


def test_it_reads_like_a_command_line() -> None:
    assert of() == RECORDED_WITH


@pytest.mark.parametrize(
    "engine",
    [
        {"dtype": "BFloat16"},
        {"quantization": "INT8"},
        {"speculative": {"method": "Ngram"}},
        {"parallelism": {"tensor": 2}},
        {"kvCache": {"dtype": "FP8"}},
        {"device": "CUDA"},
        {"device": "CUDA", "extraArgs": ["--enforce-eager"]},
        {"extraArgs": ["--model-impl=transformers"]},
    ],
    ids=str,
)
def test_it_differs_where_the_arithmetic_does(engine: dict[str, Any]) -> None:
    assert of(**engine) != of()


@pytest.mark.parametrize(
    "engine",
    [
        {"maxModelLength": 512},
        {"maxConcurrentSequences": 7, "maxBatchedTokens": 64},
        {"kvCache": {"memoryMiB": 512}},
        {"prefixCaching": {"mode": "Disabled"}},
        {"extraArgs": ["--seed=7"]},
        {"image": "registry.test/engine:2"},
    ],
    ids=str,
)
def test_it_is_the_same_where_only_room_and_speed_differ(engine: dict[str, Any]) -> None:
    assert of(**engine) == of()


def test_another_vllm_is_another_engine() -> None:
    assert of("0.25.1") != of()


def test_one_that_would_be_too_long_is_told_apart_all_the_same() -> None:
    long = [f"--compilation-config={'x' * 200}", f"--attention-config={'y' * 200}"]
    other = [*long[:1], f"--attention-config={'z' * 200}"]
    found = {of(extraArgs=[*each, f"--kernel-config={'k' * 200}"]) for each in (long, other)}
    assert len(found) == 2
    assert all(len(each) <= LONGEST_ENGINE for each in found)


def a_template(*others: dict[str, Any], flag: str = "--dtype=auto", **limits: str) -> dict[str, Any]:
    engine = {"name": "engine", "command": ["run", "--", flag], "resources": {"limits": limits}}
    return {"spec": {"containers": [*others, engine]}}


@pytest.mark.parametrize("argument", sorted(ALLOWED | TYPED_FIELDS.keys()))
def test_every_argument_is_known_to_matter_or_not(argument: str) -> None:
    flag = f"--{argument}=x"
    assert (flag in fingerprint(a_template(flag=flag), "0.32.0")) == (argument not in HARMLESS)


def test_one_that_just_fits_is_told_whole() -> None:
    def one_of(length: int) -> str:
        return fingerprint(a_template(flag=f"--dtype={'x' * length}"), "0.32.0")

    room = LONGEST_ENGINE - len(one_of(0))
    assert one_of(room).endswith("x" * room)
    assert "x" not in one_of(room + 1)


def test_other_containers_say_nothing() -> None:
    beside = {"name": "beside", "command": ["run", "--", "--dtype=float32"]}
    assert fingerprint(a_template(beside), "0.32.0") == fingerprint(a_template(), "0.32.0")


def test_the_memory_is_not_what_computes() -> None:
    limits = {"memory": "48Gi", "nvidia.com/gpu": "1"}
    assert fingerprint(a_template(**limits), "0.32.0") == "vllm 0.32.0 on nvidia.com/gpu --dtype=auto"


@pytest.mark.parametrize(
    "template",
    [
        None,
        {},
        {"spec": {}},
        {"spec": {"containers": [{"name": "engine", "command": ["sluicegate-engine"]}]}},
    ],
    ids=str,
)
def test_a_template_that_tells_nothing_is_an_engine_of_its_own(template: dict[str, Any] | None) -> None:
    assert fingerprint(template, "0.32.0") == "vllm 0.32.0 on cpu"
