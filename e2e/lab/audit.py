"""The API server's audit log: who asked for what."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

OPERATOR = "system:serviceaccount:sluicegate-system:sluicegate-operator"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
POLL_SECONDS = 0.005
"""An operator that is awake makes a write each 5 to 10 ms."""


@dataclass(frozen=True)
class Request:
    """One request that was answered. `resource` is plural, with its subresource after a slash.

    `pod` is the pod whose token the request came with, "" where it was no pod's.
    """

    at: datetime
    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    allowed: bool
    pod: str

    @property
    def writes(self) -> bool:
        return self.verb in WRITES


def requests(log: Path, user: str = OPERATOR) -> Iterator[Request]:
    """The requests of one user on resources, oldest first."""
    with log.open() as lines:
        yield from _of_user(lines, user)


class Tail:
    """The operator's requests from now on, each soon after it was answered."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = log.stat().st_size

    async def until(self, what: str, holds: Callable[[Request], bool], within: float) -> Request:
        """The next request that holds; those before it are passed over. `what` names it where none comes."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            for request in _of_user(self._lines(), OPERATOR):
                if holds(request):
                    return request
            await asyncio.sleep(POLL_SECONDS)
        raise AssertionError(f"not seen within {within:.0f} s: {what}")

    def _lines(self) -> Iterator[str]:
        """The whole lines that are there; whoever stops early finds the others the next time."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if line.endswith(b"\n"):
                    self._read += len(line)
                    yield line.decode()


def _of_user(lines: Iterable[str], user: str) -> Iterator[Request]:
    for line in lines:
        if user not in line:
            continue
        entry = json.loads(line)
        if entry["user"]["username"] == user and "objectRef" in entry:
            yield _request(entry)


def _request(entry: dict[str, Any]) -> Request:
    where: dict[str, str] = entry["objectRef"]
    answer: dict[str, int] = entry.get("responseStatus") or {}
    notes: dict[str, str] = entry.get("annotations") or {}
    extra: dict[str, list[str]] = entry["user"].get("extra") or {}
    sub = where.get("subresource")
    return Request(
        at=datetime.fromisoformat(str(entry["stageTimestamp"])),
        user=entry["user"]["username"],
        verb=str(entry["verb"]),
        group=where.get("apiGroup", ""),
        resource=where["resource"] + (f"/{sub}" if sub else ""),
        namespace=where.get("namespace", ""),
        name=where.get("name", ""),
        code=int(answer.get("code", 0)),
        allowed=notes.get("authorization.k8s.io/decision") == "allow",
        pod=extra.get("authentication.kubernetes.io/pod-name", [""])[0],
    )
