"""The Kubernetes API as the operator uses it: read, list, watch, create, apply, replace, delete."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import orjson

from sluicegate.kube.config import transport_from, transport_to
from sluicegate.kube.errors import from_response, from_status, no_answer
from sluicegate.kube.resources import SERVICE, Resource, resource_of
from sluicegate.kube.transport import Query, Response, Stream, Transport

Manifest = Mapping[str, Any]
Object = dict[str, Any]
Propagation = Literal["Background", "Foreground", "Orphan"]

OnRequest = Callable[[str, str, int, float], None]
"""Told after each request: verb (RBAC's word), kind, HTTP status (0: no answer), seconds."""

BeforeWrite = Callable[[], None]
"""Called just before each write is sent; raises to refuse it."""

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class Listing:
    """A consistent list and the resourceVersion that a watch goes on from.

    The API leaves apiVersion and kind out of a list's items; they are put back here.
    """

    items: list[Object]
    resource_version: str


@dataclass(frozen=True)
class WatchEvent:
    """One line of a watch: ADDED, MODIFIED, DELETED, or BOOKMARK (only metadata.resourceVersion is real)."""

    type: str
    object: Object


class Client:
    """Typed errors, bounded concurrency and a deadline around a transport.

    `timeout` is seconds for one request, its wait for one of `concurrency` slots included. Every method
    raises `errors.ApiError`. A second client on the same transport has slots and hooks of its own: the
    leader's Lease must not queue behind the workers' writes.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        timeout: float = 30.0,
        concurrency: int = 32,
        on_request: OnRequest = lambda verb, kind, code, seconds: None,
        before_write: BeforeWrite = lambda: None,
    ) -> None:
        self.transport = transport
        self._timeout = timeout
        self._slots = asyncio.Semaphore(concurrency)
        self._on_request = on_request
        self._before_write = before_write

    @classmethod
    async def from_environment(
        cls, kubeconfig: str | None = None, context: str | None = None, **options: Any
    ) -> Client:
        """A client of the cluster that KUBECONFIG, the pod or ~/.kube/config names.

        Raises ConfigurationError where none does.
        """
        return cls(await transport_from(os.environ, kubeconfig, context), **options)

    @classmethod
    def for_server(cls, url: str, **options: Any) -> Client:
        """A client of a plain HTTP server without credentials."""
        return cls(transport_to(url), **options)

    async def close(self) -> None:
        await self.transport.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def get(self, resource: Resource, namespace: str, name: str, subresource: str = "") -> Object:
        """A live read of one object ("" as namespace for cluster-scoped kinds)."""
        return await self._request("get", resource, "GET", resource.path(namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        page_size: int = 500,
        keep: Callable[[Object], Object] = lambda item: item,
    ) -> Listing:
        """All objects that match, read page by page; each is passed through `keep` before the next page.

        Raises Gone where the pages outlast the server's history.
        """
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            limit=str(page_size),
        )
        items: list[Object] = []
        while True:
            page = await self._request("list", resource, "GET", resource.path(namespace), query)
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            items += (keep({**head, **item}) for item in page.get("items") or ())
            token = page["metadata"].get("continue")
            if not token:
                return Listing(items, str(page["metadata"]["resourceVersion"]))
            query = {**query, "continue": token}
            query.pop("resourceVersion", None)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        seconds: float = 290.0,
        inactivity: float = 75.0,
    ) -> AsyncGenerator[WatchEvent, None]:
        """What happens after `resource_version`, until the server ends the stream after `seconds`.

        Raises Gone where that version is too old, Unavailable where the stream tears or brings nothing
        for `inactivity` seconds (the server sends a bookmark each minute).
        """
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=str(int(seconds)),
        )
        async with self._open(resource, resource.path(namespace), query) as stream:
            async for line in _lines(stream.chunks, inactivity):
                yield _event(line)

    async def create(self, manifest: Manifest, field_manager: str) -> Object:
        """Create, or AlreadyExists. Answers the object as stored."""
        resource, namespace, _ = _target(manifest)
        query = {"fieldManager": field_manager}
        return await self._request("create", resource, "POST", resource.path(namespace), query, manifest)

    async def apply(
        self, manifest: Manifest, field_manager: str, *, force: bool = False, subresource: str = ""
    ) -> Object:
        """Server-side apply of the manager's full intent.

        Creates the object where it is missing, unless the manifest carries `metadata.uid` or goes to a
        subresource. Conflict where another manager owns a field (unless `force`), or uid or
        resourceVersion are not the object's.
        """
        resource, namespace, name = _target(manifest)
        path = resource.path(namespace, name, subresource)
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}
        return await self._request("patch", resource, "PATCH", path, query, manifest, _APPLY)

    async def replace(self, manifest: Manifest, field_manager: str, *, subresource: str = "") -> Object:
        """PUT the whole object; with `metadata.resourceVersion` it is refused where the object moved on."""
        resource, namespace, name = _target(manifest)
        path = resource.path(namespace, name, subresource)
        return await self._request("update", resource, "PUT", path, {"fieldManager": field_manager}, manifest)

    async def patch_merge(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Manifest,
        field_manager: str,
        *,
        subresource: str = "",
    ) -> Object:
        """JSON merge patch: null removes, lists are replaced whole."""
        path = resource.path(namespace, name, subresource)
        return await self._request(
            "patch", resource, "PATCH", path, {"fieldManager": field_manager}, patch, _MERGE
        )

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation = "Background",
        grace_seconds: int | None = None,
    ) -> Object:
        """Delete the object if it still is the one named; Conflict if not.

        Answers a Status, or the object where finalizers or a grace period keep it.
        """
        guard = {"uid": uid, "resourceVersion": resource_version}
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if any(guard.values()):
            options["preconditions"] = {key: value for key, value in guard.items() if value is not None}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        return await self._request("delete", resource, "DELETE", resource.path(namespace, name), {}, options)

    async def ask(
        self, namespace: str, service: str, method: str, path: str, body: Manifest | None = None
    ) -> tuple[Object, Mapping[str, str]]:
        """What a Service's port "http" answers, through the API server: its JSON and its headers."""
        where = f"{SERVICE.path(namespace)}/{service}:http/proxy{path}"
        verb = "get" if method == "GET" else "create"
        answer = await self._exchange(verb, SERVICE, method, where, {}, body)
        # What answers may be written in Python, whose JSON knows NaN.
        return _decoded(answer.body, json.loads), answer.headers

    async def _request(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        query: Query | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
    ) -> Object:
        return _decoded((await self._exchange(verb, resource, method, path, query, body, content_type)).body)

    async def _exchange(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        query: Query | None = None,
        body: Manifest | None = None,
        content_type: str = _JSON,
    ) -> Response:
        with _Attempt(self._on_request, verb, resource.kind) as attempt:
            async with asyncio.timeout(self._timeout), self._slots:
                if body is not None:
                    # After the wait for a slot: a lease may have run out meanwhile.
                    self._before_write()
                answer = await self.transport.request(method, path, query or {}, body, content_type)
            attempt.code = answer.status
            if answer.status >= 400:
                raise from_response(answer.status, answer.headers, answer.body)
            return answer

    @asynccontextmanager
    async def _open(self, resource: Resource, path: str, query: Query) -> AsyncIterator[Stream]:
        async with AsyncExitStack() as stack:
            with _Attempt(self._on_request, "watch", resource.kind) as attempt:
                async with asyncio.timeout(self._timeout):
                    stream = await stack.enter_async_context(self.transport.stream(path, query))
                    attempt.code = stream.status
                    if stream.status >= 400:
                        body = b"".join([chunk async for chunk in stream.chunks])
                        raise from_response(stream.status, stream.headers, body)
            yield stream


class _Attempt:
    """One request as metrics see it; turns the absence of an answer into Unavailable."""

    def __init__(self, on_request: OnRequest, verb: str, kind: str) -> None:
        self.code = 0
        self._on_request, self._verb, self._kind = on_request, verb, kind

    def __enter__(self) -> _Attempt:
        self._started = asyncio.get_running_loop().time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = asyncio.get_running_loop().time() - self._started
        self._on_request(self._verb, self._kind, self.code, seconds)
        if isinstance(error, TimeoutError):
            raise no_answer("Timeout", f"{self._verb} {self._kind}: no answer in {seconds:.0f} s") from error
        if isinstance(error, OSError):
            raise no_answer("ConnectionLost", f"{self._verb} {self._kind}: {error}") from error


async def _lines(chunks: AsyncIterator[bytes], inactivity: float) -> AsyncIterator[bytes]:
    rest = b""
    while True:
        try:
            async with asyncio.timeout(inactivity):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            break
        except TimeoutError as silence:
            raise no_answer("WatchStalled", f"the watch brought nothing for {inactivity:.0f} s") from silence
        except OSError as lost:
            raise no_answer("ConnectionLost", f"the watch broke: {lost}") from lost
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
    if rest:
        raise no_answer("ConnectionLost", "the watch ended in the middle of a line")


def _event(line: bytes) -> WatchEvent:
    event = _decoded(line)
    if event["type"] == "ERROR":
        raise from_status(event["object"])
    return WatchEvent(event["type"], event["object"])


def _decoded(body: bytes, parse: Callable[[bytes], Any] = orjson.loads) -> Object:
    try:
        answer = parse(body)
    except ValueError as torn:
        raise no_answer("TornAnswer", f"the answer is not JSON: {torn}") from torn
    if not isinstance(answer, dict):
        raise no_answer("TornAnswer", f"the answer is a {type(answer).__name__}, not an object")
    return answer


def _target(manifest: Manifest) -> tuple[Resource, str, str]:
    meta = manifest["metadata"]
    return resource_of(manifest), meta.get("namespace", ""), meta.get("name", "")


def _query(**parameters: str) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}
