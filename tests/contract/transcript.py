"""What a server answered to the steps of a case, with all that may differ between servers made equal."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Mapping
from contextlib import aclosing
from typing import Any

from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError
from sluicegate.kube.resources import Resource

Object = dict[str, Any]

ME = "sluicegate"
"""The field manager in whose name the steps write, unless they say otherwise."""

_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_VERSION = re.compile(r'"resourceVersion": "(\d+)"')
_ADDRESS = re.compile(r"10\.96\.\d+\.\d+")


class Transcript:
    """Runs the steps of one case in one namespace and keeps what came of each, refusals too.

    A step answers the object, {} where it was refused.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self._steps: list[tuple[str, Any]] = []

    async def create(self, name: str, obj: Object, manager: str = ME) -> Object:
        return await self._step(name, self.client.create(self._placed(obj), manager))

    async def apply(self, name: str, obj: Object, manager: str = ME, **options: Any) -> Object:
        return await self._step(name, self.client.apply(self._placed(obj), manager, **options))

    async def replace(self, name: str, obj: Object, manager: str = ME) -> Object:
        return await self._step(name, self.client.replace(self._placed(obj), manager))

    async def patch(
        self,
        name: str,
        resource: Resource,
        target: str,
        patch: Object,
        manager: str = ME,
        subresource: str = "",
    ) -> Object:
        request = self.client.patch_merge(
            resource, self.namespace, target, patch, manager, subresource=subresource
        )
        return await self._step(name, request)

    async def delete(self, name: str, resource: Resource, target: str, **options: Any) -> Object:
        return await self._step(name, self.client.delete(resource, self.namespace, target, **options))

    async def get(self, name: str, resource: Resource, target: str, subresource: str = "") -> Object:
        return await self._step(name, self.client.get(resource, self.namespace, target, subresource))

    def _placed(self, obj: Object) -> Object:
        """The object in the case's namespace, unless it names one."""
        meta = {"namespace": self.namespace, **obj["metadata"]}
        if "regarding" in obj:
            return {**obj, "metadata": meta, "regarding": {"namespace": self.namespace, **obj["regarding"]}}
        return {**obj, "metadata": meta}

    async def _step(self, name: str, request: Awaitable[Object]) -> Object:
        try:
            answer = await request
        except ApiError as error:
            causes = sorted({cause.field for cause in error.causes})
            self._steps.append((name, {**_refusal(error), "causes": causes}))
            return {}
        self._steps.append((name, {"answer": comparable(answer)}))
        return answer

    async def listing(
        self, name: str, resource: Resource, namespace: str | None = None, **options: Any
    ) -> Any:
        where = self.namespace if namespace is None else namespace
        try:
            found = await self.client.list(resource, where, **options)
        except ApiError as error:
            self._steps.append((name, _refusal(error)))
            return None
        self._steps.append((name, [comparable(item) for item in found.items]))
        return found

    async def watched(self, name: str, resource: Resource, count: int, **options: Any) -> None:
        """The first `count` events that are no bookmarks."""
        seen: list[Any] = []
        try:
            async with aclosing(self.client.watch(resource, self.namespace, **options)) as events:
                async for event in events:
                    if event.type != "BOOKMARK":
                        seen.append([event.type, comparable(event.object)])
                    if len(seen) == count:
                        break
        except ApiError as error:
            seen.append(_refusal(error))
        self._steps.append((name, seen))

    def comparable(self) -> list[Any]:
        """The steps, with all that may differ made equal, and the namespace named."""
        made_equal: list[Any] = equal(
            json.loads(json.dumps(self._steps).replace(self.namespace, "<namespace>"))
        )
        return made_equal


def equal(told: Any) -> Any:
    """What was told, with uids and versions numbered as they appear, times and addresses named."""
    text = _TIME.sub("<time>", _ADDRESS.sub("<address>", json.dumps(told)))
    return json.loads(_numbered(_VERSION, _numbered(_UID, text, "uid"), '"resourceVersion": "version', '"'))


def _numbered(pattern: re.Pattern[str], text: str, word: str, end: str = "") -> str:
    seen: dict[str, int] = {}
    return pattern.sub(lambda match: f"{word}-{seen.setdefault(match[0], len(seen) + 1)}{end}", text)


def _refusal(error: ApiError) -> Object:
    return {"class": type(error).__name__, "code": error.code, "reason": error.reason}


def comparable(obj: Mapping[str, Any]) -> Object:
    """The object with managedFields in one order and without their times."""
    meta = dict(obj.get("metadata") or {})
    if "managedFields" in meta:
        entries = [
            {key: value for key, value in each.items() if key != "time"} for each in meta["managedFields"]
        ]
        order = ("manager", "operation", "subresource")
        meta["managedFields"] = sorted(entries, key=lambda each: [each.get(key, "") for key in order])
    if obj.get("kind") == "Status":
        return {"kind": "Status", "status": obj["status"]}
    return {**obj, "metadata": meta}
