"""The target's hash: changed by each field that makes new pods, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from tests.builders import a_model_version

from sluicegate.api.meta import Change
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.core.naming import rollout_id
from sluicegate.core.pointer import Pointer, files_of
from sluicegate.core.target import asked_for, target_of

PLAIN = {"modelVersion": "v1"}


def comparison(**limits: int) -> dict[str, Any]:
    return {"rollout": {"verification": {"comparison": limits}}}


def job(**settings: Any) -> dict[str, Any]:
    return {"rollout": {"verification": {"job": {"image": "tests:1", **settings}}}}


def webhook(**settings: Any) -> dict[str, Any]:
    return {"rollout": {"verification": {"webhook": {"url": "http://gate.test/", **settings}}}}


# Another legal value of each field, inside whatever else the field needs.
CHANGED: dict[str, dict[str, Any]] = {
    "modelVersion": {"modelVersion": "v2"},
    "servedModelName": {"servedModelName": "org/chat"},
    "replicas": {"replicas": 3},
    "engine.device": {"engine": {"device": "CPU"}},
    "engine.dtype": {"engine": {"dtype": "Float32"}},
    "engine.quantization": {"engine": {"quantization": "GPTQ"}},
    "engine.maxModelLength": {"engine": {"maxModelLength": 512}},
    "engine.maxConcurrentSequences": {"engine": {"maxConcurrentSequences": 8}},
    "engine.maxBatchedTokens": {"engine": {"maxBatchedTokens": 512}},
    "engine.kvCache.dtype": {"engine": {"kvCache": {"dtype": "FP8"}}},
    "engine.kvCache.memoryMiB": {"engine": {"kvCache": {"memoryMiB": 512}}},
    "engine.kvCache.offloadMiB": {"engine": {"kvCache": {"offloadMiB": 512}}},
    "engine.prefixCaching.mode": {"engine": {"prefixCaching": {"mode": "Disabled"}}},
    "engine.prefixCaching.hashAlgorithm": {"engine": {"prefixCaching": {"hashAlgorithm": "XXHash"}}},
    "engine.speculative.method": {"engine": {"speculative": {"method": "Ngram"}}},
    "engine.speculative.draftModelVersion": {
        "engine": {"speculative": {"method": "DraftModel", "draftModelVersion": "v2"}}
    },
    "engine.speculative.tokens": {"engine": {"speculative": {"method": "Ngram", "tokens": 5}}},
    "engine.parallelism.tensor": {"engine": {"parallelism": {"tensor": 2}}},
    "engine.parallelism.pipeline": {"engine": {"parallelism": {"pipeline": 2}}},
    "engine.image": {"engine": {"image": "engine:2"}},
    "engine.extraArgs": {"engine": {"extraArgs": ["--seed=7"]}},
    "resources.accelerator.resource": {"resources": {"accelerator": {"resource": "amd.com/gpu"}}},
    "resources.accelerator.count": {
        "engine": {"device": "CPU"},
        "resources": {"accelerator": {"count": 2}},
    },
    "resources.cpu": {"resources": {"cpu": "4"}},
    "resources.memory": {"resources": {"memory": "4Gi"}},
    "pod.labels": {"pod": {"labels": {"team": "x"}}},
    "pod.annotations": {"pod": {"annotations": {"team": "x"}}},
    "pod.nodeSelector": {"pod": {"nodeSelector": {"gpu": "x"}}},
    "pod.tolerations.key": {"pod": {"tolerations": [{"key": "gpu"}]}},
    "pod.tolerations.operator": {"pod": {"tolerations": [{"operator": "Exists"}]}},
    "pod.tolerations.value": {"pod": {"tolerations": [{"key": "gpu", "value": "x"}]}},
    "pod.tolerations.effect": {"pod": {"tolerations": [{"key": "gpu", "effect": "NoExecute"}]}},
    "pod.topologySpreadConstraints.topologyKey": {
        "pod": {"topologySpreadConstraints": [{"topologyKey": "zone"}]}
    },
    "pod.topologySpreadConstraints.maxSkew": {
        "pod": {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 2}]}
    },
    "pod.topologySpreadConstraints.whenUnsatisfiable": {
        "pod": {"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}
    },
    "pod.imagePullSecrets": {"pod": {"imagePullSecrets": ["x"]}},
    "pod.serviceAccountName": {"pod": {"serviceAccountName": "x"}},
    "pod.priorityClassName": {"pod": {"priorityClassName": "x"}},
    "admission.maxQueuedRequests": {"admission": {"maxQueuedRequests": 0}},
    "admission.maxQueuedPromptTokens": {"admission": {"maxQueuedPromptTokens": 1}},
    "observability.requestLog": {"observability": {"requestLog": "Disabled"}},
    "observability.tracing.endpoint": {"observability": {"tracing": {"endpoint": "http://collector:4318"}}},
    "observability.tracing.samplingRatePerMillion": {
        "observability": {"tracing": {"endpoint": "http://collector:4318", "samplingRatePerMillion": 1}}
    },
    "rollout.drainSeconds": {"rollout": {"drainSeconds": 5}},
    "rollout.progressDeadlineSeconds": {"rollout": {"progressDeadlineSeconds": 60}},
    "rollout.strategy": {"rollout": {"strategy": "Swap"}},
    "rollout.capacity": {"rollout": {"capacity": "Wait"}},
    "rollout.historyLimit": {"rollout": {"historyLimit": 3}},
    "rollout.promotion": {"rollout": {"promotion": "Manual"}},
    "rollout.verification.goldenPrompts.policy": {
        "rollout": {"verification": {"goldenPrompts": {"policy": "Required"}}}
    },
    "rollout.verification.goldenPrompts.maxDifferenceMilliNats": {
        "rollout": {"verification": {"goldenPrompts": {"maxDifferenceMilliNats": 9}}}
    },
    "rollout.verification.goldenPrompts.skipReason": {
        "rollout": {"verification": {"goldenPrompts": {"policy": "Skip", "skipReason": "a fire"}}}
    },
    "rollout.verification.job.image": job(),
    "rollout.verification.job.command": job(command=["pytest"]),
    "rollout.verification.job.args": job(args=["-q"]),
    "rollout.verification.job.env.name": job(env=[{"name": "LEVEL"}]),
    "rollout.verification.job.env.value": job(env=[{"name": "LEVEL", "value": "3"}]),
    "rollout.verification.job.serviceAccountName": job(serviceAccountName="tester"),
    "rollout.verification.job.timeoutSeconds": job(timeoutSeconds=5),
    "rollout.verification.job.resources.cpu": job(resources={"cpu": "1"}),
    "rollout.verification.job.resources.memory": job(resources={"memory": "1Gi"}),
    "rollout.verification.job.skipReason": job(skipReason="a fire"),
    "rollout.verification.webhook.url": webhook(),
    "rollout.verification.webhook.timeoutSeconds": webhook(timeoutSeconds=5),
    "rollout.verification.webhook.skipReason": webhook(skipReason="a fire"),
    "rollout.observeSeconds": {"rollout": {"observeSeconds": 7}},
    "rollout.verification.comparison.minRequests": comparison(minRequests=50),
    "rollout.verification.comparison.maxErrorRateIncreasePermille": comparison(
        maxErrorRateIncreasePermille=10
    ),
    "rollout.verification.comparison.maxTtftP95IncreasePercent": comparison(maxTtftP95IncreasePercent=50),
    "rollout.verification.comparison.maxTpotP95IncreasePercent": comparison(maxTpotP95IncreasePercent=50),
    "rollout.verification.comparison.maxLatencyP95IncreasePercent": comparison(
        maxLatencyP95IncreasePercent=50
    ),
    "rollout.verification.comparison.maxOutputTokensP50DriftPercent": comparison(
        maxOutputTokensP50DriftPercent=50
    ),
    "paused": {"paused": True},
}


def leaves(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Change]]:
    """Every field that holds a value, with what a change of it does."""
    for field in model.model_fields.values():
        where = f"{path}{field.alias}"
        inner = _model_in(field.annotation)
        if inner:
            yield from leaves(inner, f"{where}.")
        else:
            yield where, next(each for each in field.metadata if isinstance(each, Change))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


LEAVES = dict(leaves(LLMDeploymentSpec))


def asked(spec: dict[str, Any]) -> str:
    return asked_for(LLMDeploymentSpec.model_validate({**PLAIN, **spec}))


@pytest.mark.parametrize("path", LEAVES)
def test_only_a_template_field_changes_the_target(path: str) -> None:
    changed = asked(CHANGED[path]) != asked({})
    assert changed == (LEAVES[path] is Change.TEMPLATE)


def test_every_listed_change_differs_from_every_other() -> None:
    hashes = {path: asked(change) for path, change in CHANGED.items() if LEAVES[path] is Change.TEMPLATE}
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.parametrize(
    "same",
    [
        {"engine": {}},
        {"engine": {"kvCache": {}, "device": "CUDA"}},
        {"pod": {"labels": {}, "tolerations": []}},
        {"rollout": {"drainSeconds": 60, "progressDeadlineSeconds": 99}},
        {"rollout": {"promotion": "Manual"}, "paused": True},
        job(),
        {"replicas": 0},
    ],
)
def test_a_default_written_out_is_the_default(same: dict[str, Any]) -> None:
    assert asked(same) == asked({})


def test_an_optional_group_of_defaults_is_something_else_than_none() -> None:
    cpu = {"engine": {"device": "CPU"}}
    assert asked({**cpu, "resources": {"accelerator": {}}}) != asked(cpu)


def test_the_order_of_keys_says_nothing() -> None:
    one = {"engine": {"image": "a", "dtype": "Float16"}, "pod": {"labels": {"a": "1", "b": "2"}}}
    other = {"pod": {"labels": {"b": "2", "a": "1"}}, "engine": {"dtype": "Float16", "image": "a"}}
    assert asked(one) == asked(other)


def test_a_field_of_a_newer_operator_left_at_its_default_changes_nothing() -> None:
    assert asked({"engine": {"fromTheFuture": None}}) == asked({})


def test_a_target_that_an_earlier_operator_wrote_is_still_the_same() -> None:
    """Another hash of the same spec would replace every pod at the operator's next update."""
    spec = LLMDeploymentSpec.model_validate(
        {
            **PLAIN,
            "engine": {"device": "CPU", "maxModelLength": 512, "kvCache": {"memoryMiB": 64}},
            "resources": {"cpu": "4", "accelerator": {}},
            "pod": {"labels": {"team": "x"}, "tolerations": [{"key": "gpu"}], "imagePullSecrets": ["x"]},
        }
    )
    target = target_of(spec, Pointer(files_of(ModelVersion.model_validate(a_model_version("v1")))))
    assert target == "174f59a242c1.99b6a8db5def"
    assert rollout_id(target, 7) == "a2e5611e"


def test_other_files_are_another_target_of_the_same_spec() -> None:
    spec = LLMDeploymentSpec.model_validate(PLAIN)
    one, other = (
        target_of(spec, Pointer(files_of(ModelVersion.model_validate(a_model_version(name)))))
        for name in ("v1", "v2")
    )
    assert one != other
    assert one.partition(".")[0] == other.partition(".")[0] == asked_for(spec)
