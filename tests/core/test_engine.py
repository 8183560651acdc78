"""Typed engine settings become vLLM flags, or a refusal that says what to change."""

from __future__ import annotations

import pytest
from tests.core.engine_cases import CASES, CPU, REFUSALS, Case, Refused, spec_of

from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.core.engine import Refusal, engine_flags
from sluicegate.core.extra_args import ALLOWED, TYPED_FIELDS


@pytest.mark.parametrize("case", CASES, ids=str)
def test_settings_become_flags(case: Case) -> None:
    flags = engine_flags(case.spec, case.model, case.draft)
    assert not isinstance(flags, Refusal), flags
    assert case.whole is None or flags == case.whole
    assert set(case.among) <= set(flags)


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_what_cannot_be_is_refused_with_what_to_change(case: Refused) -> None:
    refusal = engine_flags(spec_of(case.engine), case.model, case.draft)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.reason == case.reason
    assert all(word in refusal.message for word in case.said), refusal.message


def test_pipeline_parallelism_on_cpu_is_refused_where_the_api_server_let_it_through() -> None:
    spec = spec_of({"parallelism": {"pipeline": 2}})
    smuggled = spec.engine.model_copy(update={"device": spec_of(CPU).engine.device})
    unchecked = LLMDeploymentSpec.model_construct(model_version="v1", engine=smuggled)
    refusal = engine_flags(unchecked, None, None)
    assert isinstance(refusal, Refusal)
    assert "pipeline" in refusal.message


def test_no_argument_is_both_typed_and_passed_through() -> None:
    assert not ALLOWED & TYPED_FIELDS.keys()
