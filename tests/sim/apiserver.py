"""A deterministic Kubernetes API server in this process: a transport for `sluicegate.kube.Client`.

Versions are integers, uids and generated names count up, and time is the event loop's, so that a run in
virtual time is the same each time. What it does is held to the real kube-apiserver by `tests/contract`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
from tests.sim.clock import now
from tests.sim.server import defaults, scale
from tests.sim.server.discovery import documents
from tests.sim.server.garbage import GarbageCollector
from tests.sim.server.hand import Hand
from tests.sim.server.kinds import Kind, all_kinds
from tests.sim.server.reads import Reads
from tests.sim.server.refusals import RefusedError, bad_request, not_found, not_served, refusal_of
from tests.sim.server.rights import Rights, attempt
from tests.sim.server.store import Key, Object, Store, Stored
from tests.sim.server.structure import completed
from tests.sim.server.writes import Target, Writes, key_of, rfc3339

from sluicegate.kube.client import Propagation
from sluicegate.kube.resources import NAMESPACE, Resource
from sluicegate.kube.transport import Query, Response, Stream, Transport

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def loop_time() -> datetime:
    """The event loop's clock as a date."""
    return EPOCH + timedelta(seconds=now())


@dataclass(frozen=True)
class _Route:
    kind: Kind
    namespace: str
    name: str
    subresource: str


class ApiServer:
    """Serves the built-in kinds and those of `crds`, in the namespaces given.

    Garbage is collected `gc_seconds` after a write, or only by `collect_garbage()` where that is None.
    Without `rights` every user may do everything.
    """

    def __init__(
        self,
        crds: Iterable[Mapping[str, Any]] = (),
        namespaces: Iterable[str] = ("default",),
        now: Callable[[], datetime] = loop_time,
        gc_seconds: float | None = 0.05,
        rights: Rights | None = None,
    ) -> None:
        self._kinds = all_kinds(crds)
        self._discovery = documents(self._kinds.values())
        self._now = now
        self._gc_seconds = gc_seconds
        self.rights = rights
        self._namespaces = tuple(namespaces)
        self._uncollected = False
        self._stand_on(Store(partial(_decoded, self._kinds)), created=0)

    def fork(self) -> ApiServer:
        """Another server that goes on from this one's state and history, in this event loop or another.

        Its clock is that of the loop in which it is used: let it begin where this one's stands.
        """
        other = copy(self)
        other._uncollected = self._gc_due
        other._stand_on(self.store.fork(), self._writes.created)
        return other

    def as_user(self, name: str) -> Transport:
        """The way of one user to this server."""
        return _AsUser(self, name)

    def hand(self, manager: str) -> Hand:
        """How a modelled controller writes."""
        return Hand(self._kinds, self._writes, self._begin, self._schedule_collection, manager)

    def peek(self, resource: Resource) -> Iterator[Stored]:
        """The objects of a kind as stored, by namespace and name; to be looked at only."""
        return (obj for _, obj in self.store.peek(key_of(resource, "", "")[0]))

    def find(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """One object as stored; to be looked at only."""
        return self.store.get(key_of(resource, namespace, name))

    def earlier(self, method: str, path: str, query: Query, changes: int) -> Response | None:
        """What a read was answered before the last `changes` changes of what it asks for.

        For a write it is the object as it was then. None where it was not there, or is forgotten.
        """
        route = self._route(path)
        kind, namespace = route.kind, route.namespace
        versions = self.store.changes_of(key_of(kind.resource, namespace, route.name))
        if changes > len(versions) or (method == "POST" and not route.name):
            return None
        version = versions[-changes] - 1
        answer = self.as_of(path, query, version)
        return None if answer.status == 404 and method != "GET" else answer

    def as_of(self, path: str, query: Query, version: int) -> Response:
        """What a read was answered at a version of the store."""
        route = self._route(path)
        kind, namespace = route.kind, route.namespace
        if not route.name:
            return Response(200, self._reads.list(kind, namespace, query, version))
        then = self.store.at(key_of(kind.resource, "", "")[0], namespace, version)
        found = next((obj for obj in then if obj["metadata"]["name"] == route.name), None)
        return (
            not_found(kind.resource, route.name).response() if found is None else Response(200, found.encoded)
        )

    def refusal(self, code: int, path: str, retry_after: int = 1) -> Response:
        """How a request to this path is refused with a code that anything may meet; see `refusal_of`."""
        route = self._route(path)
        return refusal_of(code, route.kind.resource, route.name, retry_after)

    def timestamp(self) -> str:
        """The present, as the objects write it."""
        return rfc3339(self._now())

    def collect_garbage(self) -> None:
        """Delete what belongs to nobody any more."""
        self._gc_due = False
        self._garbage.collect()

    async def request(
        self,
        method: str,
        path: str,
        query: Query,
        body: Mapping[str, Any] | None,
        content_type: str,
        user: str | None = None,
    ) -> Response:
        """Answer a request, in the name of a user or of nobody, who may do everything."""
        self._begin()
        if path in self._discovery:
            return Response(200, json.dumps(self._discovery[path]).encode())
        try:
            route = self._route(path)
            self._require(user, _verb(method, route), route, query)
            may_create = partial(self._require, user, "create", route, query)
            known = self.find(route.kind.resource, route.namespace, route.name) is not None
            answer = self._answer(
                method, route, query, orjson.loads(orjson.dumps(body)), content_type, may_create
            )
        except RefusedError as refused:
            return refused.response()
        if method != "GET":
            self._schedule_collection()
        created = method == "POST" or (method == "PATCH" and not known)
        return Response(201 if created else 200, answer)

    @asynccontextmanager
    async def stream(self, path: str, query: Query, user: str | None = None) -> AsyncIterator[Stream]:
        self._begin()
        try:
            route = self._route(path)
            self._require(user, "watch", route, query)
        except RefusedError as refused:
            yield Stream(refused.code, _once(json.dumps(refused.status).encode()))
            return
        yield Stream(200, self._reads.watch(route.kind, route.namespace, query))

    async def close(self) -> None: ...

    def _route(self, path: str) -> _Route:
        parts = path.strip("/").split("/")
        version, rest = (parts[1], parts[2:]) if parts[0] == "api" else ("/".join(parts[1:3]), parts[3:])
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and f"{version}/{rest[2]}" in self._kinds:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource, *_ = [*rest, "", "", ""]
        kind = self._kinds.get(f"{version}/{plural}")
        if kind is None:
            raise not_served()
        if subresource and subresource not in kind.subresources:
            raise not_found(kind.resource, name)
        return _Route(kind, namespace, name, subresource)

    def _require(self, user: str | None, verb: str, route: _Route, query: Query) -> None:
        if user is not None and self.rights is not None:
            resource, fields = route.kind.resource, query.get("fieldSelector", "")
            self.rights.require(
                attempt(user, verb, resource, route.subresource, route.namespace, route.name, fields)
            )

    def _answer(
        self,
        method: str,
        route: _Route,
        query: Query,
        body: Any,
        content_type: str,
        may_create: Callable[[], None],
    ) -> bytes:
        if method == "GET" and not route.name:
            return self._reads.list(route.kind, route.namespace, query)
        manager = query.get("fieldManager", "unknown")
        target = Target(route.kind, route.namespace, route.name, manager, route.subresource, may_create)
        answer = self._object(method, target, query, body, content_type)
        return answer.encoded if isinstance(answer, Stored) else json.dumps(answer).encode()

    def _object(self, method: str, target: Target, query: Query, body: Any, content_type: str) -> Object:
        if target.subresource == "scale":
            return self._scale(method, target, body)
        if method == "GET":
            return self._writes.read(target)
        if method == "DELETE":
            left = self._writes.delete(target, body or {})
            return left or {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        self._check(target, body, content_type)
        if method == "POST":
            return self._writes.create(target, body)
        if method == "PUT":
            return self._writes.update(target, body)
        if content_type == "application/apply-patch+yaml":
            return self._writes.apply(target, body, query.get("force") == "true")
        return self._writes.merge_patch(target, body)

    def _scale(self, method: str, target: Target, body: Any) -> Object:
        obj = self._writes.read(target)
        if method == "GET":
            return scale.shown(target.kind, obj)
        wanted = scale.merged(target.kind, obj, body)
        return scale.shown(target.kind, self._writes.merge_patch(target, wanted))

    @staticmethod
    def _check(target: Target, body: Object, content_type: str) -> None:
        if content_type == "application/merge-patch+json":
            return
        wanted = (target.resource.api_version, target.resource.kind)
        found = (body.get("apiVersion"), body.get("kind"))
        if found != wanted:
            raise bad_request(f"the object is {found[0]} {found[1]}, the path names {wanted[0]} {wanted[1]}")
        meta = body.get("metadata", {})
        if meta.get("namespace", target.namespace) != target.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if target.name and meta.get("name", target.name) != target.name:
            raise bad_request("the name of the object does not match the name on the URL")

    def _delete(self, key: Key, propagation: Propagation) -> None:
        kind = self._kinds[key[0]]
        self._writes.delete(Target(kind, key[1], key[2]), {"propagationPolicy": propagation})

    def _stand_on(self, store: Store, created: int) -> None:
        self.store = store
        self._reads = Reads(store)
        self._writes = Writes(store, self._now, created)
        self._garbage = GarbageCollector(store, self._delete)
        self._gc_due = False

    def _schedule_collection(self) -> None:
        if self._gc_seconds is not None and not self._gc_due:
            self._gc_due = True
            asyncio.get_running_loop().call_later(self._gc_seconds, self.collect_garbage)

    def _begin(self) -> None:
        """What waits for the first request: the clock may be that of a loop that did not run before."""
        missing, self._namespaces = self._namespaces, ()
        for name in missing:
            kind = self._kinds[key_of(NAMESPACE, "", "")[0]]
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self._writes.create(Target(kind, "", "", "fixture"), body)
        if self._uncollected:
            self._uncollected = False
            self._schedule_collection()


def _decoded(kinds: Mapping[str, Kind], key: Key, obj: Object) -> Object:
    kind = kinds[key[0]]
    return completed(kind.schema, obj) if kind.custom else defaults.seen(kind.resource.kind, obj)


def _verb(method: str, route: _Route) -> str:
    if method == "GET":
        return "get" if route.name else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]


@dataclass(frozen=True)
class _AsUser:
    server: ApiServer
    name: str

    async def request(
        self, method: str, path: str, query: Query, body: Mapping[str, Any] | None, content_type: str
    ) -> Response:
        return await self.server.request(method, path, query, body, content_type, self.name)

    def stream(self, path: str, query: Query) -> AbstractAsyncContextManager[Stream]:
        return self.server.stream(path, query, self.name)

    async def close(self) -> None: ...


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
