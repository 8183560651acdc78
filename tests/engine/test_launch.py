"""vLLM's command line and environment: what must hold in every pod, whatever was asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sluicegate_engine.cli import parse
from sluicegate_engine.fatal import FatalError
from sluicegate_engine.gate_settings import VARIABLE, GateSettings
from sluicegate_engine.launch import engine_command, engine_environment
from sluicegate_engine.pointer import Pointer, Target
from sluicegate_engine.settings import Settings
from sluicegate_engine.stacks import VARIABLE as STACKS_VARIABLE

MODEL = Target("v1", "sha256:" + "a" * 64)
DRAFT = Target("small", "sha256:" + "b" * 64)
GATE = GateSettings("/run/gate", "key", "v1", 4, 2)
STACKS = Path("/run/stacks")


def settings(root: Path, *flags: str) -> Settings:
    for target in (MODEL, DRAFT):
        (root / "snapshots" / target.digest[7:]).mkdir(parents=True, exist_ok=True)
    files = ("--pointer=p", f"--models={root}", "--control-token-file=t")
    numbers = ("--max-concurrent=4", "--max-queued=2")
    return parse(["run", *files, *numbers, "--served-model-name=chat", "--", *flags])


def test_the_snapshot_the_name_and_the_gate_are_on_the_command_line(tmp_path: Path) -> None:
    command = engine_command(settings(tmp_path, "--dtype=float32"), Pointer(MODEL))
    assert command[1:4] == ["-m", "vllm.entrypoints.openai.api_server", "--dtype=float32"]
    assert f"--model={tmp_path}/snapshots/{'a' * 64}" in command
    assert "--served-model-name=chat" in command
    assert "--middleware=sluicegate_engine.middleware.Gate" in command


@pytest.mark.parametrize(
    ("asked", "forced"),
    [
        ("--trust-remote-code", "--no-trust-remote-code"),
        ("--enable-log-requests", "--no-enable-log-requests"),
        ("--enable-log-outputs", "--no-enable-log-outputs"),
        ("--api-server-count=4", "--api-server-count=1"),
        ("--model=other", "--model="),
        ("--shutdown-timeout=600", "--shutdown-timeout=0"),
        ("--allowed-media-domains=169.254.169.254", "--allowed-media-domains=none.invalid"),
    ],
)
def test_what_must_hold_comes_after_what_was_asked(tmp_path: Path, asked: str, forced: str) -> None:
    command = engine_command(settings(tmp_path, asked), Pointer(MODEL))
    last = max(i for i, flag in enumerate(command) if flag.startswith(forced) and flag != asked)
    assert last > command.index(asked)


@pytest.mark.parametrize(
    "flag", ["--middleware=a.B", "--uds=/x", "--conf=/x", "--root_path=/x", "--ssl-keyf=k"]
)
def test_flags_that_lead_around_the_gate_are_refused(tmp_path: Path, flag: str) -> None:
    with pytest.raises(FatalError, match="FlagRefused"):
        engine_command(settings(tmp_path, flag), Pointer(MODEL))


def test_the_draft_model_becomes_its_snapshot(tmp_path: Path) -> None:
    flag = '--speculative-config={"method":"draft_model","model":"@draft","num_speculative_tokens":3}'
    given = settings(tmp_path, flag)
    command = engine_command(given, Pointer(MODEL, DRAFT))
    path = f"{tmp_path}/snapshots/{'b' * 64}"
    assert flag.replace("@draft", path) in command
    with pytest.raises(FatalError, match="DraftMissing"):
        engine_command(given, Pointer(MODEL))


def test_the_environment_has_no_secrets_no_dev_mode_and_no_hub() -> None:
    inherited = {
        "PATH": "/bin",
        "HF_TOKEN": "t",
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_USE_RUST_FRONTEND": "1",
        "VLLM_PORT": "tcp://10.0.0.1:8000",
        "SLUICEGATE_ANYTHING": "x",
        "HF_HUB_OFFLINE": "0",
    }
    environment = engine_environment(inherited, GATE, STACKS, [])
    assert not {*inherited} & {*environment} - {"PATH", "HF_HUB_OFFLINE"}
    assert environment["PATH"] == "/bin"
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert GateSettings.from_environment(environment) == GATE
    assert environment[STACKS_VARIABLE] == str(STACKS)


def test_tensor_parallel_ranks_share_the_processors_unless_told_otherwise() -> None:
    bound = engine_environment({}, GATE, STACKS, ["--tensor-parallel-size=2"])["VLLM_CPU_OMP_THREADS_BIND"]
    first, second = (set(group.split(",")) for group in bound.split("|"))
    assert len(first) == len(second) == max(1, len(os.sched_getaffinity(0)) // 2)
    alone = engine_environment({}, GATE, STACKS, ["--tensor-parallel-size=1"])
    assert alone["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    told = {"VLLM_CPU_OMP_THREADS_BIND": "0|0"}
    assert (
        engine_environment(told, GATE, STACKS, ["--tensor-parallel-size=2"])["VLLM_CPU_OMP_THREADS_BIND"]
        == "0|0"
    )


def test_ranks_take_no_more_processors_than_the_pod_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    promised = {"OMP_NUM_THREADS": "2"}
    bound = engine_environment(promised, GATE, STACKS, ["--tensor-parallel-size=2"])[
        "VLLM_CPU_OMP_THREADS_BIND"
    ]
    assert bound == "0,1|2,3"
    many = {"OMP_NUM_THREADS": "99"}
    bound = engine_environment(many, GATE, STACKS, ["--tensor-parallel-size=4"])["VLLM_CPU_OMP_THREADS_BIND"]
    assert [group.count(",") + 1 for group in bound.split("|")] == [4, 4, 4, 4]


def test_a_gate_outside_the_supervisor_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match=VARIABLE):
        GateSettings.from_environment({})


def test_prompt_tokens_are_bounded_only_where_that_is_asked_for(tmp_path: Path) -> None:
    files = ("--pointer=p", f"--models={tmp_path}", "--control-token-file=t", "--served-model-name=n")
    given = ["run", *files, "--max-concurrent=1", "--max-queued=1"]
    assert parse(given).max_queued_prompt_tokens is None
    assert parse([*given, "--max-queued-prompt-tokens=9"]).max_queued_prompt_tokens == 9


@pytest.mark.parametrize(
    "wrong",
    [
        "--max-concurrent=0",
        "--max-queued=-1",
        "--max-queued-prompt-tokens=0",
        "--max-conc=1",
        "--doubt-seconds=25",
    ],
)
def test_bad_arguments_of_our_own_are_refused(tmp_path: Path, wrong: str) -> None:
    files = ("--pointer=p", f"--models={tmp_path}", "--control-token-file=t", "--served-model-name=n")
    with pytest.raises(SystemExit):
        parse(["run", *files, "--max-concurrent=1", "--max-queued=1", wrong])
