"""Somebody else's object with the name of a child is left alone, and said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from e2e.lab.lab import Lab, Object
from e2e.lab.objects import a_deployment, a_model_version
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.core.naming import rollout_id
from sluicegate.core.pointer import Pointer, files_of
from sluicegate.core.target import target_of
from sluicegate.kube import resources
from sluicegate.kube.resources import Resource, resource_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


# Name of the deployment and identity of its first colour to somebody else's object.
Theirs = Callable[[str, str], Object]


def _object(kind: Resource, name: str, **body: Any) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, **body}


def _service(name: str, rollout: str) -> Object:
    return _object(resources.SERVICE, name, spec={"selector": {"app": "theirs"}, "ports": [{"port": 80}]})


def _secret(name: str, rollout: str) -> Object:
    return _object(resources.SECRET, f"{name}-control", data={"token": "dGhlaXJz"})


def _pointer(name: str, rollout: str) -> Object:
    return _object(resources.CONFIG_MAP, f"{name}-{rollout}-model", data={"theirs": "1"})


def _record(name: str, rollout: str) -> Object:
    return _object(resources.CONTROLLER_REVISION, f"{name}-{rollout}", revision=1, data={})


def _pods(name: str, rollout: str) -> Object:
    labels = {"app": "theirs"}
    container = {"name": "theirs", "image": "theirs:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return _object(resources.REPLICA_SET, f"{name}-{rollout}", spec=spec)


def _budget(name: str, rollout: str) -> Object:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "theirs"}}}
    return _object(resources.DISRUPTION_BUDGET, name, spec=spec)


def _policy(name: str, rollout: str) -> Object:
    return _object(resources.NETWORK_POLICY, name, spec={"podSelector": {"matchLabels": {"app": "theirs"}}})


FOREIGN: dict[str, Theirs] = {
    "service": _service,
    "secret": _secret,
    "pointer": _pointer,
    "record": _record,
    "pods": _pods,
    "budget": _budget,
    "policy": _policy,
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_foreign_object_with_a_child_s_name_is_untouched_until_it_is_gone(
    lab: Lab, kind: str
) -> None:
    # given
    name = f"taken-{kind}"
    deployment = a_deployment(name, "tiny-a", replicas=0)
    await lab.apply(a_model_version("tiny-a", "tiny-a"))
    await lab.verified("tiny-a")
    model = ModelVersion.model_validate(await lab.get(resources.MODEL_VERSION, "tiny-a"))
    spec = LLMDeploymentSpec.model_validate(deployment["spec"])
    rollout = rollout_id(target_of(spec, Pointer(files_of(model))), 1)
    theirs = FOREIGN[kind](name, rollout)
    await lab.apply(theirs)
    where = (resource_of(theirs), theirs["metadata"]["name"])
    before = await lab.get(*where)
    # when
    await lab.apply(deployment)
    # then
    message = await lab.says(name, "NameConflict")
    assert theirs["metadata"]["name"] in message
    after = await lab.get(*where)
    assert (after["metadata"]["uid"], _said(after)) == (before["metadata"]["uid"], _said(before))
    # and when they make room
    await lab.delete(*where)
    await lab.ready(name, within=60)
    await lab.delete(resources.LLM_DEPLOYMENT, name)


def _said(obj: Object) -> Object:
    return {key: obj[key] for key in ("spec", "data") if key in obj}


async def test_a_foreign_job_with_an_inspection_s_name_is_untouched_until_it_is_gone(lab: Lab) -> None:
    # given
    container = {"name": "theirs", "image": "theirs:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    await lab.apply(_object(resources.JOB, "taken-inspect", spec={"suspend": True, "template": template}))
    # when
    await lab.apply(a_model_version("taken", "tiny-a"))
    # then
    message = await lab.says("taken", "NameConflict", resource=resources.MODEL_VERSION)
    assert "taken-inspect" in message
    await lab.delete(resources.JOB, "taken-inspect")
    await lab.verified("taken", within=60)
