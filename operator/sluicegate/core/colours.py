"""Colours: the sets of pods of an LLMDeployment, each of one version and one template, and who serves.

A colour is a ControllerRevision that records its template, a pointer ConfigMap that names its model, and
a ReplicaSet. Which colour answers is said by the Service's selector alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, is_true, labels, terminating
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.template import POINTER_KEY


@dataclass(frozen=True)
class Colour:
    """One colour as it is found: any of its objects may be missing."""

    id: str
    target: str
    revision: Manifest | None
    pointer: Manifest | None
    replica_set: Manifest | None
    pods: tuple[Manifest, ...]

    @property
    def template(self) -> Mapping[str, Any] | None:
        """The pod template as recorded at creation; of a lost record, what the ReplicaSet still says."""
        if self.revision is not None:
            recorded: Mapping[str, Any] = _json(self.revision["data"])["template"]
            return recorded
        return None if self.replica_set is None else self.replica_set["spec"].get("template")

    @property
    def model(self) -> Mapping[str, Any]:
        """What the pointer was recorded with: version, digest, source."""
        if self.revision is not None:
            recorded: Mapping[str, Any] = _json(self.revision["data"])["pointer"]
            return recorded
        return {} if self.pointer is None else _json(self.pointer["data"][POINTER_KEY])

    @property
    def version(self) -> str:
        return str(self.model.get("version", ""))

    @property
    def digest(self) -> str:
        return str(self.model.get("digest", ""))

    @property
    def ready_pods(self) -> tuple[Manifest, ...]:
        return tuple(pod for pod in self.pods if is_true(pod, "Ready") and not terminating(pod))

    @property
    def objects(self) -> tuple[Manifest, ...]:
        """What is left of it besides pods, in the order of removal."""
        return tuple(obj for obj in (self.replica_set, self.pointer, self.revision) if obj is not None)


def _json(data: str | Mapping[str, Any]) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(data) if isinstance(data, str) else data
    return parsed


def colours(seen: SeenDeployment) -> dict[str, Colour]:
    """Every colour of which anything is left, by identity, oldest first."""
    revisions = _by_rollout(seen.revisions)
    pointers = _by_rollout(seen.config_maps)
    sets = _by_rollout(seen.replica_sets)
    pods = _by_rollout(seen.pods)
    found = sorted(
        revisions.keys() | pointers.keys() | sets.keys() | pods.keys(),
        key=lambda id: (_age(revisions.get(id) or sets.get(id) or pointers.get(id)), id),
    )
    return {
        id: Colour(
            id=id,
            target=_target([*revisions.get(id, ()), *sets.get(id, ())]),
            revision=_first(revisions.get(id)),
            pointer=_first(pointers.get(id)),
            replica_set=_first(sets.get(id)),
            pods=tuple(pods.get(id, ())),
        )
        for id in found
    }


def _by_rollout(objects: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    grouped: dict[str, list[Manifest]] = {}
    for obj in objects:
        rollout = labels(obj).get(naming.ROLLOUT)
        if rollout:
            grouped.setdefault(rollout, []).append(obj)
    return grouped


def _first(objects: list[Manifest] | None) -> Manifest | None:
    return objects[0] if objects else None


def _target(objects: Iterable[Manifest]) -> str:
    return next((labels(obj).get(naming.TARGET, "") for obj in objects), "")


def _age(objects: list[Manifest] | None) -> str:
    return str(objects[0]["metadata"].get("creationTimestamp", "")) if objects else "~"
