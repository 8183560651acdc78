"""Every setting that vLLM's CPU backend can do, started for real and asked: by name only, some 20 minutes.

python -m pytest tests/engine_vllm/nightly_rows.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.engine_cases import CASES, CPU, Case
from tests.engine_vllm.conftest import START_SECONDS, Start
from tests.engine_vllm.quantised import quantise
from tests.engine_vllm.tiny_llama import write_model

from sluicegate.api.v1alpha1.modelversion import Facts
from sluicegate.core.engine import engine_flags

TINY = Facts(dtype="float32", context_length=2048, attention_heads=4, vocabulary_size=258)
ROWS = [case for case in CASES if case.engine.get("device") == CPU["device"]]


@pytest.mark.parametrize("case", ROWS, ids=str)
async def test_a_row_starts_and_answers(case: Case, start: Start, tmp_path: Path) -> None:
    small = {"maxModelLength": 1024, "kvCache": {"memoryMiB": 64, **case.engine.get("kvCache", {})}}
    spec = Case(case.name, {**case.engine, **small}).spec
    method = case.model.quantization if case.model else "None"
    facts = TINY.model_copy(update={"quantization": method})
    flags = engine_flags(spec, facts, TINY if case.draft else None)
    assert isinstance(flags, tuple)
    weights = write_model(tmp_path / "weights", seed=1)
    if method != "None":
        quantise(weights, method)
    draft = write_model(tmp_path / "draft", seed=2, layers=1) if case.draft else None
    pod = await start(*flags, draft=draft, weights=weights)
    await pod.until("Serving", START_SECONDS)
    answer = await pod.complete("The quick brown fox", tokens=32)
    assert answer.status == 200, await answer.text()
    choice = (await answer.json())["choices"][0]
    assert choice["finish_reason"] == "length"
