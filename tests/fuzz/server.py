"""A real API server's verdict on generated objects, beside the models'."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import yaml
from tests.fuzz.coverage import Coverage, Verdict
from tests.fuzz.specs import SCHEMAS, Object, Sample, a_status, a_successor
from tests.fuzz.values import ABSENT
from tests.fuzz.verdicts import Location, as_stored, refusal, replay, shrunk, unread

from sluicegate.kube.client import Client
from sluicegate.kube.resources import resource_of

T = TypeVar("T")

AT_ONCE = 16


class Server:
    """Asks for a verdict by dry runs, which store nothing."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def created(self, obj: Object) -> Verdict:
        meta = {**obj["metadata"], "namespace": self._namespace}
        resource = resource_of(obj)
        return await self._ask("POST", resource.path(self._namespace), {**obj, "metadata": meta})

    async def replaced(self, obj: Object, subresource: str = "") -> Verdict:
        path = resource_of(obj).path(self._namespace, obj["metadata"]["name"], subresource)
        return await self._ask("PUT", path, obj)

    async def _ask(self, method: str, path: str, obj: Object) -> Verdict:
        query = {"dryRun": "All", "fieldManager": "fuzz", "fieldValidation": "Ignore"}
        answer = await self._client.transport.request(method, path, query, obj, "application/json")
        said = json.loads(answer.body)
        if answer.status in (200, 201):
            return Verdict(said)
        assert answer.status == 422, f"no verdict on {obj}: {said}"
        causes = said["details"].get("causes", ())
        fields = tuple((each.get("field", ""), each["message"]) for each in causes)
        return Verdict(None, fields, said["message"])


async def all_of(items: Iterable[T], how: Callable[[T], Awaitable[None]]) -> None:
    """`how` of every item, a few at a time."""
    left = iter(items)

    async def work() -> None:
        for item in left:
            await how(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


async def judge(server: Server, sample: Sample, coverage: Coverage) -> None:
    """Raises AssertionError, with the smallest such object, where server and models do not agree."""

    async def differ(obj: Object) -> bool:
        return not _agree(obj, await server.created(obj))

    verdict = await server.created(sample.obj)
    coverage.add(sample.kind, verdict)
    if not _agree(sample.obj, verdict):
        small = await shrunk(sample.obj, differ)
        raise AssertionError(f"{_told(small, await server.created(small))}\n{replay(sample)}")


def _agree(obj: Object, verdict: Verdict) -> bool:
    if verdict.stored is None:
        return refusal(as_stored(obj)) is not None
    return refusal(verdict.stored) is None and verdict.stored["spec"] == as_stored(obj)["spec"]


async def judge_successor(server: Server, seed: int, number: int, old: Object, coverage: Coverage) -> None:
    """Raises AssertionError where the server takes other files, or refuses the same with legal prompts."""
    new = a_successor(seed, number, old)
    verdict = await server.replaced(new)
    coverage.add(old["kind"], verdict)
    judged = as_stored(new) if verdict.stored is None else verdict.stored
    legal = _of_the_same_files(old, new) and refusal(judged) is None
    assert (verdict.stored is not None) == legal, f"{_told(new, verdict)}\nseed {seed}, successor {number}"


def _of_the_same_files(old: Object, new: Object) -> bool:
    spec = as_stored(new).get("spec")
    return isinstance(spec, dict) and all(
        spec.get(part) == old["spec"].get(part) for part in ("source", "digest")
    )


async def judge_status(server: Server, seed: int, number: int, obj: Object, coverage: Coverage) -> None:
    """Raises AssertionError where the server takes a status that hides the spec from the operator.

    A time that Python cannot read (year 0, "z" for "Z", a list of texts) is taken by the server alone; the
    operator goes on without such a status. Only the operator writes one.
    """
    status = a_status(seed, number, obj["kind"])
    new = {key: part for key, part in obj.items() if key != "status"}
    verdict = await server.replaced(new if status is ABSENT else {**new, "status": status}, "status")
    coverage.add(obj["kind"], verdict)
    if verdict.stored is not None:
        where = f"{_told(verdict.stored, verdict)}\nseed {seed}, status {number}"
        assert refusal(verdict.stored) is None, where
        assert all(_is_time(obj["kind"], place) for place in unread(verdict.stored)), where


def _is_time(kind: str, place: Location) -> bool:
    node = SCHEMAS[kind]
    for step in place:
        node = node["items"] if isinstance(step, int) else node["properties"][step]
    return node.get("format") == "date-time"


def _told(obj: Object, verdict: Verdict) -> str:
    models = refusal(verdict.stored or as_stored(obj)) or "accepted"
    return f"{yaml.safe_dump(obj)}API server: {verdict.told or 'accepted'}\nmodels: {models}"
