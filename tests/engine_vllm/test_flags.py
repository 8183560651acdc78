"""Every set of flags that the operator derives is understood by the pinned vLLM."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

import pytest
from tests.core.engine_cases import CASES, Case

from sluicegate.core.engine import CUDA_METHODS, engine_flags
from sluicegate.core.extra_args import ALLOWED, TYPED_FIELDS
from sluicegate_engine.cli import parse
from sluicegate_engine.launch import engine_command
from sluicegate_engine.pointer import Pointer, Target

MODEL, DRAFT = Target("v1", "sha256:" + "a" * 64), Target("small", "sha256:" + "b" * 64)


@pytest.fixture(scope="session")
def parser() -> Any:
    cli_args = importlib.import_module("vllm.entrypoints.launchers.cli_args")
    arguments = importlib.import_module("vllm.utils.argparse_utils")
    return cli_args.make_arg_parser(arguments.FlexibleArgumentParser())


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("models")
    for target in (MODEL, DRAFT):
        (root / "snapshots" / target.digest[7:]).mkdir(parents=True)
    return str(root)


def test_vllm_is_the_pinned_one() -> None:
    version = importlib.import_module("vllm.version").__version__
    assert version.split("+")[0].startswith("0.32.0")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_derived_flags_are_parsed(case: Case, parser: Any, models: str) -> None:
    flags = engine_flags(case.spec, case.model, case.draft)
    assert isinstance(flags, tuple)
    files = ("--pointer=p", f"--models={models}", "--control-token-file=t", "--served-model-name=chat")
    settings = parse(["run", *files, "--max-concurrent=1", "--max-queued=1", "--", *flags])
    command = engine_command(settings, Pointer(MODEL, DRAFT))
    parsed: argparse.Namespace = parser.parse_args(command[3:])
    assert parsed.model == f"{models}/snapshots/{'a' * 64}"
    assert parsed.max_num_seqs == case.spec.engine.max_concurrent_sequences
    assert parsed.enforce_eager is (
        case.spec.engine.device == "CPU" or "--enforce-eager" in case.spec.engine.extra_args
    )
    assert (parsed.trust_remote_code, parsed.enable_log_requests, parsed.api_server_count) == (
        False,
        False,
        1,
    )
    if case.draft:
        assert parsed.speculative_config["model"] == f"{models}/snapshots/{'b' * 64}"


NOT_IN_CHECKPOINTS = {
    # what vLLM makes of a checkpoint's method by itself
    *("auto_awq", "auto_gptq", "awq_marlin", "gptq_marlin", "moe_wna16", "gpt_oss_mxfp4", "deepseek_v4_fp8"),
    # what it does to plain weights at its start
    *("online", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "nvfp4_per_token"),
    *("int8_per_channel_weight_only", "experts_int8", "humming"),
}
OTHER_NAMES = {"auto-round"}
"""Names in checkpoints that vLLM takes for one of its own: this one for "inc"."""


def test_a_checkpoint_may_be_quantised_as_vllm_reads_it() -> None:
    vllm = importlib.import_module("vllm.model_executor.layers.quantization")
    read = {*vllm.QUANTIZATION_METHODS} - {*vllm.DEPRECATED_QUANTIZATION_METHODS} - NOT_IN_CHECKPOINTS
    assert {"None"} | {name.upper().replace("-", "_") for name in read | OTHER_NAMES} == CUDA_METHODS


@pytest.mark.parametrize("name", sorted(ALLOWED | TYPED_FIELDS.keys()))
def test_every_argument_that_we_name_exists(name: str, parser: Any) -> None:
    assert f"--{name}" in parser._option_string_actions
