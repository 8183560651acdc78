"""A namespace of the real cluster to try things in, and the few verbs that tests are written with."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluicegate.kube import resources
from sluicegate.kube.client import Client
from sluicegate.kube.errors import NotFound
from sluicegate.kube.resources import Resource, resource_of

MANAGER = "e2e"
ENGINE_START_SECONDS = 300.0
"""Two engines may load at the same time on two cores; an alone one takes less than a minute."""
ROLLOUT_SECONDS = ENGINE_START_SECONDS + 300.0
"""After its engines' start a rollout verifies, observes and drains; and its operator may have been killed."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Lab:
    """One namespace. Every wait has a bound, and says at its end what it saw last."""

    client: Client
    namespace: str

    async def apply(self, *manifests: Object) -> None:
        for manifest in manifests:
            placed = copy.deepcopy(manifest)
            placed["metadata"]["namespace"] = self.namespace
            await self.client.apply(placed, MANAGER, force=True)

    async def get(self, resource: Resource, name: str) -> Object:
        return await self.client.get(resource, self.namespace, name)

    async def find(self, resource: Resource, name: str) -> Object | None:
        try:
            return await self.get(resource, name)
        except NotFound:
            return None

    async def all(self, resource: Resource, **labels: str) -> list[Object]:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return (await self.client.list(resource, self.namespace, label_selector=selector)).items

    async def edit(self, name: str, **spec: Any) -> None:
        """Change fields of an LLMDeployment's spec, as `kubectl patch` would."""
        await self.patch(resources.LLM_DEPLOYMENT, name, {"spec": spec})

    async def patch(self, resource: Resource, name: str, patch: Object, subresource: str = "") -> Object:
        return await self.client.patch_merge(
            resource, self.namespace, name, patch, MANAGER, subresource=subresource
        )

    async def delete(self, resource: Resource, name: str, **options: Any) -> None:
        await self.client.delete(resource, self.namespace, name, **options)

    async def pods(self, deployment: str) -> list[Object]:
        """The deployment's pods that are not on their way out."""
        found = await self.all(resources.POD, **{"sluicegate.dev/deployment": deployment})
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def url(self, deployment: str) -> str:
        service = await self.get(resources.SERVICE, deployment)
        return f"http://{service['spec']['clusterIP']}"

    async def until(
        self,
        resource: Resource,
        name: str,
        holds: Callable[[Object], bool],
        within: float = ENGINE_START_SECONDS,
    ) -> Object:
        """The object, once it holds."""
        deadline, last = time.monotonic() + within, None
        while time.monotonic() < deadline:
            last = await self.find(resource, name)
            if last is not None and holds(last):
                return last
            await asyncio.sleep(0.1)
        raise AssertionError(f"{resource.kind} {name} not as awaited within {within:.0f} s: {_summary(last)}")

    async def until_gone(self, resource: Resource, name: str, within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if await self.find(resource, name) is None:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{resource.kind} {name} still there after {within:.0f} s")

    async def until_no_pods(self, deployment: str, within: float = 90.0) -> None:
        deadline = time.monotonic() + within
        while await self.all(resources.POD, **{"sluicegate.dev/deployment": deployment}):
            if time.monotonic() > deadline:
                raise AssertionError(f"pods of {deployment} still there after {within:.0f} s")
            await asyncio.sleep(0.2)

    async def ready(self, name: str, within: float = ENGINE_START_SECONDS) -> Object:
        """The LLMDeployment, once it is Ready for its present spec."""
        return await self.until(resources.LLM_DEPLOYMENT, name, is_ready, within)

    async def settled(self, name: str, within: float = ROLLOUT_SECONDS) -> Object:
        """The LLMDeployment, once it is Ready and nothing is under way any more."""
        return await self.until(
            resources.LLM_DEPLOYMENT,
            name,
            lambda obj: is_ready(obj) and condition(obj, "Reconciling") is None,
            within,
        )

    async def verified(self, *names: str, within: float = 120.0) -> None:
        for name in names:
            await self.until(resources.MODEL_VERSION, name, is_ready, within)

    async def says(
        self, name: str, reason: str, within: float = 60.0, resource: Resource | None = None
    ) -> str:
        """The message of the Ready condition, once it is False with this reason."""
        obj = await self.until(
            resource or resources.LLM_DEPLOYMENT,
            name,
            lambda obj: (
                (ready := condition(obj, "Ready")) is not None
                and ready["status"] == "False"
                and ready["reason"] == reason
                and ready["observedGeneration"] == obj["metadata"]["generation"]
            ),
            within,
        )
        return str((condition(obj, "Ready") or {})["message"])

    async def tells(self, name: str, reason: str, words: str, within: float = 10.0) -> None:
        """Returns once an event of this reason, about the LLMDeployment, holds these words."""
        deadline, told = time.monotonic() + within, list[str]()
        while not any(words in each for each in told):
            if time.monotonic() > deadline:
                raise AssertionError(f"no event {reason} of {name} with {words!r}: {told}")
            await asyncio.sleep(0.2)
            events = await self.all(resources.EVENT)
            told = [
                each["note"]
                for each in events
                if (each["reason"], each["regarding"]["name"]) == (reason, name)
            ]

    async def repaired(self, live: Object, holds: Callable[[Object], bool], within: float = 5.0) -> Object:
        """The object again, once it is as it was."""
        return await self.until(resource_of(live), live["metadata"]["name"], holds, within)


def condition(obj: Object, kind: str) -> Object | None:
    conditions: Sequence[Object] = (obj.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), None)


def is_ready(obj: Object) -> bool:
    found = condition(obj, "Ready")
    return bool(
        found and found["status"] == "True" and found["observedGeneration"] == obj["metadata"]["generation"]
    )


def uids(pods: Sequence[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def _summary(obj: Object | None) -> str:
    if obj is None:
        return "it does not exist"
    status = obj.get("status") or {}
    told = [
        f"{each['type']}={each['status']} {each.get('reason', '')}: {each.get('message', '')}"
        for each in status.get("conditions") or ()
    ]
    return f"spec {obj.get('spec')}, " + "; ".join(told or [str(status)])
