"""Typed engine settings become vLLM flags, or a refusal that says what to change."""

from __future__ import annotations

import pytest
from tests.core.engine_cases import CASES, CPU, REFUSALS, Case, Refused, spec_of
from tests.core.test_target import LEAVES

from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.core.engine import Refusal, engine_flags
from sluicegate.core.extra_args import ALLOWED, TYPED_FIELDS, argument_name, objection


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


@pytest.mark.parametrize("argument", sorted(TYPED_FIELDS))
def test_the_field_that_an_objection_names_is_there(argument: str) -> None:
    said = objection((f"--{argument}=1",), ()) or ""
    path = said.partition(" says what ")[2].partition(" is for")[0]
    assert any(f"{leaf}.".startswith(f"{path}.") for leaf in LEAVES)


def test_every_flag_that_a_field_makes_is_refused_among_the_extra_arguments() -> None:
    made = {flag for case in CASES for flag in engine_flags(case.spec, case.model, case.draft)}
    typed = {argument_name(flag) for flag in made} - ALLOWED
    assert typed <= TYPED_FIELDS.keys()


@pytest.mark.parametrize(
    ("argument", "field"),
    [
        ("--model=org/name", "modelVersion"),
        ("--served-model-name=chat", "servedModelName"),
        ("--spec-method=ngram", "engine.speculative.method"),
        ("--spec-model=org/name", "engine.speculative.draftModelVersion"),
        ("--spec-tokens=3", "engine.speculative.tokens"),
    ],
)
def test_another_word_for_what_a_field_says_is_refused_with_that_field(argument: str, field: str) -> None:
    assert f"says what {field} is for" in (objection((argument,), ()) or "")
