"""The API server takes the definitions, and judges objects as the models do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.api.cases import CASES, Case, a_deployment, a_model_version, without
from tests.builders import a_golden_prompt

from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError, Invalid
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION

MANAGER = "test"
Definitions = list[dict[str, Any]]
Kubectl = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("case", [pytest.param(case, id=title) for title, case in CASES.items()])
async def test_an_object_is_judged(case: Case, client: Client, namespace: str) -> None:
    obj = _in(namespace, case.obj)

    if case.refused is None:
        stored = await client.create(obj, MANAGER)
        assert stored["status"] == {"observedGeneration": -1}
        return

    with pytest.raises(ApiError) as refused:
        await client.create(obj, MANAGER)

    assert isinstance(refused.value, Invalid), refused.value
    told = [f"{cause.field}: {cause.message}" for cause in refused.value.causes]
    assert any(case.refused in line for line in told), told


async def test_the_schema_of_both_kinds_is_structural(client: Client, definitions: Definitions) -> None:
    """A definition with a defect is stored nevertheless, and says so in a condition."""
    for definition in definitions:
        conditions = {c["type"]: c for c in definition["status"]["conditions"]}

        assert conditions["Established"]["status"] == "True"
        assert conditions["NamesAccepted"]["status"] == "True"
        assert "NonStructuralSchema" not in conditions


async def test_defaults_are_filled_in_to_the_last_field(client: Client, namespace: str) -> None:
    stored = await client.create(_in(namespace, a_deployment()), MANAGER)

    assert stored["spec"] == {
        "modelVersion": "smollm2-1",
        "replicas": 1,
        "engine": {
            "device": "CUDA",
            "dtype": "Auto",
            "quantization": "Auto",
            "maxConcurrentSequences": 64,
            "kvCache": {"dtype": "Auto"},
            "prefixCaching": {"mode": "Enabled", "hashAlgorithm": "SHA256"},
            "parallelism": {"tensor": 1, "pipeline": 1},
        },
        "resources": {},
        "pod": {},
        "admission": {"maxQueuedRequests": 256},
        "observability": {"requestLog": "Enabled"},
        "paused": False,
        "rollout": {
            "strategy": "BlueGreen",
            "capacity": "Surge",
            "drainSeconds": 60,
            "progressDeadlineSeconds": 1800,
            "historyLimit": 10,
            "promotion": "Automatic",
            "verification": {
                "goldenPrompts": {"policy": "IfRecorded", "maxDifferenceMilliNats": 500},
                "comparison": {"minRequests": 100, "maxErrorRateIncreasePermille": 50},
            },
            "observeSeconds": 60,
        },
    }


async def test_source_and_digest_of_a_model_version_never_change(client: Client, namespace: str) -> None:
    stored = await client.create(_in(namespace, a_model_version()), MANAGER)
    changes = {
        "another source": {"spec": {"source": {"uri": "pvc://models/other"}}},
        "a digest that was left out": {"spec": {"digest": "sha256:" + "0" * 64}},
        "another endpoint": {"spec": {"source": {"endpoint": "https://mirror.test"}}},
    }

    for change in changes.values():
        with pytest.raises(Invalid, match="never change"):
            await client.patch_merge(MODEL_VERSION, namespace, "smollm2-1", change, MANAGER)
    with pytest.raises(Invalid, match="spec: Required value"):
        await client.replace(without(stored, "spec"), MANAGER)


async def test_a_digest_is_neither_changed_nor_taken_back(client: Client, namespace: str) -> None:
    await client.create(_in(namespace, a_model_version(digest="sha256:" + "a" * 64)), MANAGER)
    for digest in ("sha256:" + "b" * 64, None):
        with pytest.raises(Invalid, match="never change"):
            await client.patch_merge(
                MODEL_VERSION, namespace, "smollm2-1", {"spec": {"digest": digest}}, MANAGER
            )


async def test_golden_prompts_come_and_go(client: Client, namespace: str) -> None:
    await client.create(_in(namespace, a_model_version()), MANAGER)
    for prompts in ([a_golden_prompt()], [a_golden_prompt(), a_golden_prompt("moon")], None):
        change = {"spec": {"goldenPrompts": prompts}}
        stored = await client.patch_merge(MODEL_VERSION, namespace, "smollm2-1", change, MANAGER)
        assert stored["spec"].get("goldenPrompts") == prompts


async def test_metadata_of_a_model_version_may_change(client: Client, namespace: str) -> None:
    await client.create(_in(namespace, a_model_version()), MANAGER)
    labelled = {"metadata": {"labels": {"team": "search"}}}

    stored = await client.patch_merge(MODEL_VERSION, namespace, "smollm2-1", labelled, MANAGER)

    assert stored["metadata"]["labels"] == {"team": "search"}


async def test_replicas_are_written_through_scale(client: Client, namespace: str) -> None:
    await client.create(_in(namespace, a_deployment()), MANAGER)
    told = {"replicas": 1, "selector": "sluicegate.dev/deployment=chat"}
    await client.patch_merge(
        LLM_DEPLOYMENT, namespace, "chat", {"status": told}, MANAGER, subresource="status"
    )

    scaled = await client.patch_merge(
        LLM_DEPLOYMENT, namespace, "chat", {"spec": {"replicas": 3}}, MANAGER, subresource="scale"
    )

    assert scaled["kind"] == "Scale"
    assert scaled["status"] == told
    stored = await client.get(LLM_DEPLOYMENT, namespace, "chat")
    assert stored["spec"]["replicas"] == 3


async def test_scale_keeps_the_bounds_of_replicas(client: Client, namespace: str) -> None:
    await client.create(_in(namespace, a_deployment()), MANAGER)

    with pytest.raises(Invalid, match=r"spec\.replicas"):
        await client.patch_merge(
            LLM_DEPLOYMENT, namespace, "chat", {"spec": {"replicas": 1001}}, MANAGER, subresource="scale"
        )


async def test_a_deployment_without_replicas_has_a_scale_to_read(client: Client, namespace: str) -> None:
    """Reading /scale of an object without the field is a server error; the default is what prevents it."""
    await client.create(_in(namespace, a_deployment()), MANAGER)

    scale = await client.get(LLM_DEPLOYMENT, namespace, "chat", "scale")

    assert scale["spec"]["replicas"] == 1


async def test_an_unknown_field_is_refused_by_a_strict_client(kubectl: Kubectl, namespace: str) -> None:
    obj = _in(namespace, a_deployment(replicaz=2))

    refused = await kubectl("apply", "--validate=strict", "-f", "-", given=json.dumps(obj))

    assert refused.code != 0
    assert 'unknown field "spec.replicaz"' in refused.err


async def test_explain_reads_like_a_manual(kubectl: Kubectl, definitions: Definitions) -> None:
    listed = await kubectl("explain", "llmd.spec", "--recursive")
    told = await kubectl("explain", "llmd.spec.engine.maxModelLength")

    assert "maxQueuedRequests" in listed.out, listed.err
    assert "draftModelVersion" in listed.out
    assert " ".join(told.out.split()).endswith(
        "Longest sequence in tokens, prompt and answer together. Left out, the model's context length. "
        "A change makes new pods."
    )


async def test_short_names_and_the_category_are_known(
    kubectl: Kubectl, client: Client, namespace: str, definitions: Definitions
) -> None:
    await client.create(_in(namespace, a_deployment()), MANAGER)
    await client.create(_in(namespace, a_model_version()), MANAGER)

    found = await kubectl("get", "sluicegate", "-n", namespace, "-o", "name")
    table = await kubectl("get", "llmd", "-n", namespace)

    assert found.out.split() == [
        "llmdeployment.sluicegate.dev/chat",
        "modelversion.sluicegate.dev/smollm2-1",
    ]
    assert table.out.splitlines()[0].split() == [
        *("NAME", "READY", "PHASE", "SERVING", "TARGET", "REPLICAS", "STEP", "REASON", "AGE")
    ]


def _in(namespace: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
