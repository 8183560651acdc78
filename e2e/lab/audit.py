"""The API server's audit log: who asked for what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

OPERATOR = "system:serviceaccount:sluicegate-system:sluicegate-operator"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Request:
    """One request that was answered. `resource` is plural, with its subresource after a slash."""

    at: datetime
    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    allowed: bool

    @property
    def writes(self) -> bool:
        return self.verb in WRITES


def requests(log: Path, user: str = OPERATOR) -> Iterator[Request]:
    """The requests of one user on resources, oldest first."""
    with log.open() as lines:
        for line in lines:
            if user not in line:
                continue
            entry = json.loads(line)
            if entry["user"]["username"] == user and "objectRef" in entry:
                yield _request(entry)


def _request(entry: dict[str, object]) -> Request:
    where: dict[str, str] = entry["objectRef"]  # type: ignore[assignment]
    answer: dict[str, int] = entry.get("responseStatus") or {}  # type: ignore[assignment]
    notes: dict[str, str] = entry.get("annotations") or {}  # type: ignore[assignment]
    sub = where.get("subresource")
    return Request(
        at=datetime.fromisoformat(str(entry["stageTimestamp"])),
        user=entry["user"]["username"],  # type: ignore[index]
        verb=str(entry["verb"]),
        group=where.get("apiGroup", ""),
        resource=where["resource"] + (f"/{sub}" if sub else ""),
        namespace=where.get("namespace", ""),
        name=where.get("name", ""),
        code=int(answer.get("code", 0)),
        allowed=notes.get("authorization.k8s.io/decision") == "allow",
    )
