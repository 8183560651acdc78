"""Somebody else's object with the name of a child is left alone, and said."""

from __future__ import annotations

import pytest

from e2e.lab.lab import Lab, Object
from e2e.lab.objects import a_deployment, a_model_version
from sluicegate.kube import resources
from sluicegate.kube.resources import resource_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _service(name: str) -> Object:
    spec = {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _secret(name: str) -> Object:
    data = {"token": "dGhlaXJz"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-control"}, "data": data}


FOREIGN = {"Service": _service, "Secret": _secret}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_foreign_object_with_a_child_s_name_is_untouched_until_it_is_gone(
    lab: Lab, kind: str
) -> None:
    # given
    name = f"taken-by-{kind.lower()}"
    theirs = FOREIGN[kind](name)
    await lab.apply(a_model_version("tiny-a", "tiny-a"), theirs)
    where = (resource_of(theirs), theirs["metadata"]["name"])
    before = await lab.get(*where)
    # when
    await lab.apply(a_deployment(name, "tiny-a", replicas=0))
    # then
    message = await lab.says(name, "NameConflict")
    assert theirs["metadata"]["name"] in message
    assert await lab.get(*where) == before
    # and when they make room
    await lab.delete(*where)
    await lab.ready(name, within=60)
    await lab.delete(resources.LLM_DEPLOYMENT, name)
