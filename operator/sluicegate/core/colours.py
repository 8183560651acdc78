"""Colours: the sets of pods of an LLMDeployment, each of one version and one template, and who serves.

A colour is a ControllerRevision that records its template, a pointer ConfigMap that names its model, a
ReplicaSet, and where one is asked for a Job that verifies it. Which colour answers is said by the
Service's selector alone. A version that comes into the running pods of a colour has only a
ControllerRevision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from pydantic import ValidationError

from sluicegate.api.v1alpha1.llmdeployment import Ending
from sluicegate.core import naming
from sluicegate.core.intent import owns_annotation
from sluicegate.core.objects import Manifest, annotation, is_true, labels, name, terminating
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.template import POINTER_KEY


@dataclass(frozen=True)
class Content:
    """What pods are to serve: the target's hash, the pointer's content, and the rollout that brought it in
    place, "" where pods were made with it."""

    target: str
    pointer: Mapping[str, Any]
    rollout: str = ""


@dataclass(frozen=True)
class Reload:
    """Of a rollout into running pods: the colour that they are of, and what they served before."""

    colour: str
    before: Content


@dataclass(frozen=True)
class Record:
    """What a colour is: the target's hash, the pod template, the pointer's content.

    `spec` has the fields that asked for it, None where that is not on record. `ending` is None until its
    rollout is over; a failed one that is `settled` stands in nobody's way. `verification` tells what the
    gates made of it, one after another, "" where none was asked. One that `swaps` has no pods before those of
    the colour before are gone; it is not promoted yet.

    Where its pods were told to serve something else since it was made, `made` is what it was made as,
    `rollout` what brought the new content ("" where it is the old one again) and `since` when. `reload` is
    there where its rollout goes into the pods of another colour; `not_in_place` says why it does not after
    all, "" while it does.
    """

    target: str
    template: Mapping[str, Any] | None
    pointer: Mapping[str, Any]
    spec: Mapping[str, Any] | None = None
    ending: Ending | None = None
    settled: bool = False
    verification: str = ""
    swaps: bool = False
    made: Content | None = None
    rollout: str = ""
    since: str = ""
    reload: Reload | None = None
    not_in_place: str = ""

    @property
    def content(self) -> Content:
        return Content(self.target, self.pointer, self.rollout)

    @property
    def in_place(self) -> bool:
        """Whether its rollout goes, or went, into running pods."""
        return self.reload is not None and not self.not_in_place

    def notes(self, what: str) -> bool:
        """Whether this is on record of one of the gates."""
        return what in self.verification.split("; ")


@dataclass(frozen=True)
class Colour:
    """One colour as it is found: any of its objects may be missing."""

    id: str
    record: Record
    revision: Manifest | None
    pointer: Manifest | None
    replica_set: Manifest | None
    pods: tuple[Manifest, ...]
    job: Manifest | None = None

    @property
    def version(self) -> str:
        return str(self.record.pointer.get("version", ""))

    @property
    def digest(self) -> str:
        return str(self.record.pointer.get("digest", ""))

    @property
    def made_version(self) -> str:
        """The version that its own rollout was about."""
        made = self.record.made
        return str(made.pointer.get("version", "")) if made else self.version

    @property
    def over(self) -> bool:
        """Whether nothing is left of it but the record of how its rollout ended."""
        left = self.replica_set or self.pointer or self.job or self.pods
        return self.record.ending is not None and not left

    @cached_property
    def ready_pods(self) -> tuple[Manifest, ...]:
        return tuple(pod for pod in self.lasting_pods if is_true(pod, "Ready"))

    @cached_property
    def lasting_pods(self) -> tuple[Manifest, ...]:
        return tuple(pod for pod in self.pods if not terminating(pod))

    @property
    def objects(self) -> tuple[Manifest, ...]:
        """What is left of it besides pods, in the order of removal."""
        found = (self.replica_set, self.job, self.pointer, self.revision)
        return tuple(obj for obj in found if obj is not None)


def colours(seen: SeenDeployment) -> dict[str, Colour]:
    """Every colour of which anything is left, by identity, oldest first."""
    deployment = name(seen.custom_resource)

    def named(obj: Manifest) -> str | None:
        return naming.rollout_in(name(obj), deployment)

    revisions = _first_of_each(seen.revisions, named)
    pointers = _first_of_each(seen.config_maps, named)
    sets = _first_of_each(seen.replica_sets, named)
    jobs = _first_of_each(seen.jobs, named)
    pods = _grouped(filter(_goes_on, seen.pods), lambda pod: labels(pod).get(naming.ROLLOUT))
    found = sorted(
        revisions.keys() | pointers.keys() | sets.keys() | jobs.keys() | pods.keys(),
        key=lambda id: (_age(revisions.get(id) or sets.get(id) or pointers.get(id)), id),
    )
    return {
        id: Colour(
            id=id,
            record=_record(revisions.get(id), pointers.get(id), sets.get(id)),
            revision=revisions.get(id),
            pointer=pointers.get(id),
            replica_set=sets.get(id),
            pods=tuple(pods.get(id, ())),
            job=jobs.get(id),
        )
        for id in found
    }


def _record(revision: Manifest | None, pointer: Manifest | None, replica_set: Manifest | None) -> Record:
    """What was recorded at creation, which nobody can edit; of a lost record, what the rest still says."""
    if revision is not None:
        data = _json(revision.get("data"))
        made, reload = _content(data), _json(data.get("reloads"))
        told = _json(_noted(revision, naming.RELOADED))
        now = _content(told) if told else made
        return Record(
            target=now.target,
            template=data.get("template"),
            pointer=now.pointer,
            spec=data.get("spec"),
            ending=_ending(_noted(revision, naming.OUTCOME)),
            settled=_noted(revision, naming.SETTLED) is not None,
            verification=_noted(revision, naming.VERIFICATION) or "",
            swaps=_noted(revision, naming.SWAPS) is not None,
            made=made if told else None,
            rollout=now.rollout,
            since=str(told.get("since", "")),
            reload=Reload(str(reload.get("colour")), _content(reload)) if reload else None,
            not_in_place=_noted(revision, naming.NOT_IN_PLACE) or "",
        )
    target = labels(replica_set).get(naming.TARGET, "") if replica_set else ""
    template = replica_set["spec"].get("template") if replica_set else None
    return Record(target, template, _json((pointer or {}).get("data", {}).get(POINTER_KEY)))


def _content(data: Mapping[str, Any]) -> Content:
    return Content(str(data.get("target", "")), _json(data.get("pointer")), str(data.get("rollout", "")))


def _noted(revision: Manifest, key: str) -> str | None:
    """What we noted on it. What somebody else wrote there since says nothing."""
    text = annotation(revision, key)
    return text if text is not None and owns_annotation(revision, key) else None


def _ending(text: str | None) -> Ending | None:
    try:
        return None if text is None else Ending.model_validate_json(text)
    except ValidationError:
        return None


def _json(data: Any) -> Mapping[str, Any]:
    """The mapping that is meant, or an empty one: somebody may have edited the text."""
    try:
        parsed = _parsed(data) if isinstance(data, str) else data
    except ValueError:
        return {}
    return parsed if isinstance(parsed, Mapping) else {}


# Each pass reads the records again, which hardly ever change. Nobody changes what is read.
@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    return json.loads(text)


def _goes_on(pod: Manifest) -> bool:
    """An evicted pod stays as a record; its ReplicaSet makes another one in its place."""
    return (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")


def _first_of_each(
    objects: Iterable[Manifest], rollout_of: Callable[[Manifest], str | None]
) -> dict[str, Manifest]:
    return {id: group[0] for id, group in _grouped(objects, rollout_of).items()}


def _grouped(
    objects: Iterable[Manifest], rollout_of: Callable[[Manifest], str | None]
) -> dict[str, list[Manifest]]:
    groups: dict[str, list[Manifest]] = {}
    for obj in objects:
        rollout = rollout_of(obj)
        if rollout:
            groups.setdefault(rollout, []).append(obj)
    return groups


def _age(obj: Manifest | None) -> str:
    return str(obj["metadata"].get("creationTimestamp", "")) if obj else "~"
