"""`sluicegate rollout undo`: back to a version that was promoted before, with the settings that it had."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from sluicegate.api.reasons import Reason
from sluicegate.api.schema import model_in
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec, Outcome
from sluicegate.cli.cluster import Cluster, reachable
from sluicegate.cli.command import Command, CommandError, Exit, add_object_flags
from sluicegate.cli.edit import Patch, edited
from sluicegate.cli.view import Object, over
from sluicegate.core import naming
from sluicegate.core.objects import condition, terminating
from sluicegate.core.target import template_fields
from sluicegate.kube.errors import Forbidden, NotFound
from sluicegate.kube.resources import CONTROLLER_REVISION, MODEL_VERSION

Fields = Mapping[str, Any]


class RefusalError(Exception):
    """There is nothing that could be gone back to, and why."""


def goal(deployment: Object, to: str | None) -> Object:
    """What history has to go back to: what `to` names, or else what was promoted before the present spec.

    Raises RefusalError.
    """
    promoted = [each for each in over(deployment) if each["outcome"] == Outcome.PROMOTED]
    if to is not None:
        chosen = next((each for each in promoted if to in (each["id"], each["version"])), None)
        if chosen is None:
            raise RefusalError(f"no rollout of the history that was promoted is {to} or of {to}")
        return chosen
    present = _promoted_now(deployment)
    chosen = next((each for each in promoted if each["id"] != present), None)
    if chosen is None:
        raise RefusalError("nothing was promoted before the present spec")
    return chosen


@dataclass(frozen=True)
class WayBack:
    """From what the spec asks for to what it asked for in a rollout that was promoted.

    `patch` is a merge patch of the spec, `complete` says whether that rollout's settings are on record.
    """

    rollout: str
    version: str
    left: str
    patch: Fields
    complete: bool

    def __str__(self) -> str:
        same = "modelVersion" not in self.patch
        version = self.version if same else f"{self.version} again, no longer for {self.left}"
        settings = ", ".join(sorted(self.patch.keys() - {"modelVersion"}))
        if settings:
            return f"the spec asks for {version}, with {settings} as in rollout {self.rollout}"
        return f"the spec asks for {version}{' already' if same else ''}"


def way_back(deployment: Object, chosen: Object, asked: Fields | None) -> WayBack:
    """The way to a chosen rollout, which was of the fields `asked`, None where these are not on record."""
    left, version = str(deployment["spec"]["modelVersion"]), str(chosen["version"])
    present = None if asked is None else _fields(deployment["spec"])
    if asked is None or present is None:
        patch: Fields = {} if left == version else {"modelVersion": version}
        return WayBack(str(chosen["id"]), version, left, patch, complete=False)
    patch = _merge(LLMDeploymentSpec, present, asked)
    return WayBack(str(chosen["id"]), version, left, patch, complete=True)


def _fields(spec: Object) -> Fields | None:
    """The fields that are set in a spec and new pods are made for; None where it cannot be read."""
    try:
        return template_fields(LLMDeploymentSpec.model_validate(spec))
    except ValidationError:
        return None


def _merge(group: type[BaseModel], present: Fields, wanted: Fields) -> Fields:
    """The JSON merge patch (RFC 7396) from some fields of a group to others; what is none of them stays."""
    patch: dict[str, Any] = {}
    for field in group.model_fields.values():
        name = str(field.alias)
        before, after = present.get(name), wanted.get(name)
        if before != after:
            below = None if isinstance(before or after, list) else model_in(field.annotation)
            patch[name] = _replaced(field, below, before, after)
    return patch


def _replaced(field: FieldInfo, below: type[BaseModel] | None, before: Any, after: Any) -> Any:
    """What a merge patch says of one field. Where nothing is said it is null, which the default replaces."""
    always_there = below is not None and field.default is not None
    if below is not None and (always_there or None not in (before, after)):
        return _merge(below, before or {}, after or {})
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return {**dict.fromkeys(before.keys() - after.keys()), **after}
    return after


def _promoted_now(deployment: Object) -> str | None:
    """Identity of the rollout to the present spec, if it was promoted."""
    status = deployment.get("status") or {}
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    route = condition(deployment, "RouteReady") or {}
    promoted = seen and route.get("reason") == Reason.PROMOTED and status.get("lastGood")
    return str(promoted["rollout"]) if promoted else None


def _add_arguments(parser: ArgumentParser) -> None:
    add_object_flags(parser)
    parser.add_argument(
        "--to",
        metavar="ROLLOUT_OR_VERSION",
        help="promoted rollout or version of the history; left out, the one before the present",
    )


async def _undo(args: Namespace) -> int:
    try:
        async with reachable(args) as cluster:
            way = await _undone(cluster, args.name, args.to)
    except RefusalError as refused:
        raise CommandError(f"nothing is undone: {refused}") from refused
    print(way)
    if not way.complete:
        text = f"the settings of rollout {way.rollout} are not on record: the spec keeps those that it has"
        print(f"sluicegate: {text}", file=sys.stderr)
    return Exit.OK


async def _undone(cluster: Cluster, name: str, to: str | None) -> WayBack:
    """The way back as it was gone. Raises RefusalError."""
    gone: list[WayBack] = []

    async def change(deployment: Object) -> Patch | None:
        chosen = goal(deployment, to)
        way = way_back(deployment, chosen, await _asked_then(cluster, deployment, chosen))
        gone[:] = [way]
        if "modelVersion" in way.patch:
            await _still_there(cluster, way.version)
        elif not way.complete and to is None:
            text = "with other settings, which are not on record: change the spec, or name another with --to"
            raise RefusalError(f"what was promoted before is {way.version} too, {text}")
        return {"spec": way.patch} if way.patch else None

    await edited(cluster, name, change)
    return gone[0]


async def _asked_then(cluster: Cluster, deployment: Object, chosen: Object) -> Fields | None:
    """The fields of the spec that a rollout was of; None where its record is lost, or may not be read."""
    record = naming.colour_name(deployment["metadata"]["name"], chosen["id"])
    try:
        revision = await cluster.client.get(CONTROLLER_REVISION, cluster.namespace, record)
    except (NotFound, Forbidden):
        return None
    asked = (revision.get("data") or {}).get("spec")
    return asked if isinstance(asked, Mapping) else None


async def _still_there(cluster: Cluster, version: str) -> None:
    hint = "make it again, or name another with --to"
    try:
        model = await cluster.client.get(MODEL_VERSION, cluster.namespace, version)
    except NotFound as error:
        raise RefusalError(f"the ModelVersion {version} is gone: {hint}") from error
    if terminating(model):
        raise RefusalError(f"the ModelVersion {version} is being deleted: {hint}")


UNDO = Command(
    "undo",
    "put a version that was promoted before back into the spec, with its settings: exits with 0 also where "
    "the spec asks for them already, 1 where there is none to go back to, 5 usage or permission",
    _add_arguments,
    _undo,
)
