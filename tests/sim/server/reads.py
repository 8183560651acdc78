"""Lists and watches over the store's log."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.sim.server.kinds import Kind
from tests.sim.server.refusals import RefusedError, bad_request, expired
from tests.sim.server.selectors import Matches, selects
from tests.sim.server.store import Change, Store

from sluicegate.kube.transport import Query

BOOKMARK_SECONDS = 60.0

_RESOLUTION = 0.001
"""Less is no time to wait for: a virtual clock may not move at all for it."""


class Reads:
    """Answers lists and watches of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, kind: Kind, namespace: str, query: Query, version: int | None = None) -> bytes:
        """A List object as JSON, of now or of a version; pages are all of the version of the first one."""
        matches = selects(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        version, start = self._store.version if version is None else version, 0
        if "continue" in query:
            version, start = json.loads(base64.b64decode(query["continue"]))
            self._require(version)
        found = [obj for obj in self._store.at(_key(kind), namespace, version) if matches(obj)]
        end = start + int(query.get("limit") or len(found))
        meta: dict[str, Any] = {"resourceVersion": str(version)}
        if end < len(found):
            meta["continue"] = base64.b64encode(json.dumps([version, end]).encode()).decode()
            meta["remainingItemCount"] = len(found) - end
        head = {
            "kind": f"{kind.resource.kind}List",
            "apiVersion": kind.resource.api_version,
            "metadata": meta,
        }
        items = b", ".join(obj.encoded for obj in found[start:end])
        return json.dumps(head).encode()[:-1] + b', "items": [' + items + b"]}"

    async def watch(self, kind: Kind, namespace: str, query: Query) -> AsyncIterator[bytes]:
        """The lines of a watch until its time is over, with a bookmark each minute and at the end."""
        matches = selects(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        bookmarks = query.get("allowWatchBookmarks") == "true"
        loop = asyncio.get_running_loop()
        end = loop.time() + float(query.get("timeoutSeconds") or 1800)
        version = _version(query.get("resourceVersion", ""))
        if version is None:
            version = self._store.version
            for obj in self._store.at(_key(kind), namespace, version):
                if matches(obj):
                    yield _line("ADDED", obj.encoded)
        wake = loop.time() + BOOKMARK_SECONDS
        while (now := loop.time()) < end - _RESOLUTION:
            try:
                self._require(version)
            except RefusedError as gone:
                yield _line("ERROR", json.dumps(gone.status).encode())
                return
            for change in self._store.since(version):
                version = change.version
                if line := _seen(change, kind, namespace, matches):
                    yield line
            if now >= wake - _RESOLUTION:
                wake = now + BOOKMARK_SECONDS
                if bookmarks:
                    yield self._bookmark(kind, version)
            if version == self._store.version:
                version = await self._store.news(min(end, wake) - now, _key(kind))
        if bookmarks:
            yield self._bookmark(kind, version)

    def _require(self, version: int) -> None:
        if version < self._store.compacted:
            raise expired(version, self._store.compacted)

    @staticmethod
    def _bookmark(kind: Kind, version: int) -> bytes:
        head = {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version}
        bookmark = {**head, "metadata": {"resourceVersion": str(version)}}
        return _line("BOOKMARK", json.dumps(bookmark).encode())


def _key(kind: Kind) -> str:
    return f"{kind.resource.api_version}/{kind.resource.plural}"


def _version(text: str) -> int | None:
    """The version to go on from; None to begin with what is there."""
    if text in ("", "0"):
        return None
    if not text.isdigit():
        raise bad_request(f"invalid resource version: {text!r}")
    return int(text)


def _seen(change: Change, kind: Kind, namespace: str, matches: Matches) -> bytes | None:
    """The change as a watch sees it: what stops matching is deleted, what begins to is added."""
    if change.key[0] != _key(kind) or namespace not in ("", change.key[1]):
        return None
    before = change.old is not None and matches(change.old)
    after = change.type != "DELETED" and matches(change.new)
    if after:
        return _line("MODIFIED" if before else "ADDED", change.new.encoded)
    if not before:
        return None
    if change.old is None or change.type == "DELETED":
        return _line("DELETED", change.new.encoded)
    meta = {**change.old["metadata"], "resourceVersion": str(change.version)}
    return _line("DELETED", json.dumps({**change.old, "metadata": meta}).encode())


def _line(kind: str, encoded: bytes) -> bytes:
    return b'{"type": "%b", "object": %b}\n' % (kind.encode(), encoded)
