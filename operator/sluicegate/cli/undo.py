"""`sluicegate rollout undo`: back to a version that was promoted before."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from pydantic import ValidationError

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec, Outcome
from sluicegate.cli.cluster import Cluster, reachable
from sluicegate.cli.command import Command, CommandError, Exit, add_object_flags
from sluicegate.cli.edit import Patch, edited
from sluicegate.cli.view import Object, over
from sluicegate.core import naming
from sluicegate.core.objects import condition, terminating
from sluicegate.core.target import asked_for
from sluicegate.kube.errors import Forbidden, NotFound
from sluicegate.kube.resources import CONTROLLER_REVISION, MODEL_VERSION


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
    if chosen["version"] == deployment["spec"]["modelVersion"]:
        text = "with other settings, which are not kept: change the spec, or name another with --to"
        raise RefusalError(f"what was promoted before is {chosen['version']} too, {text}")
    return chosen


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
            deployment = await _undone(cluster, args.name, args.to)
            chosen = goal(deployment, args.to)
            changed = await _had_other_settings(cluster, deployment, chosen)
    except RefusalError as refused:
        raise CommandError(f"nothing is undone: {refused}") from refused
    before, version = deployment["spec"]["modelVersion"], chosen["version"]
    same = before == version
    print(f"the spec asks for {version} {'already' if same else f'again, no longer for {before}'}")
    if changed:
        text = f"{version} had other settings in rollout {chosen['id']}: the spec keeps those that it has"
        print(f"sluicegate: {text}", file=sys.stderr)
    return Exit.OK


async def _undone(cluster: Cluster, name: str, to: str | None) -> Object:
    """The deployment as it was found. Raises RefusalError."""

    async def change(deployment: Object) -> Patch | None:
        version = goal(deployment, to)["version"]
        if deployment["spec"]["modelVersion"] == version:
            return None
        await _still_there(cluster, version)
        return {"spec": {"modelVersion": version}}

    return await edited(cluster, name, change)


async def _still_there(cluster: Cluster, version: str) -> None:
    hint = "make it again, or name another with --to"
    try:
        model = await cluster.client.get(MODEL_VERSION, cluster.namespace, version)
    except NotFound as error:
        raise RefusalError(f"the ModelVersion {version} is gone: {hint}") from error
    if terminating(model):
        raise RefusalError(f"the ModelVersion {version} is being deleted: {hint}")


async def _had_other_settings(cluster: Cluster, deployment: Object, chosen: Object) -> bool:
    """Whether its pods were made of another spec than the present one with its version. False if unknown."""
    record = naming.colour_name(deployment["metadata"]["name"], chosen["id"])
    try:
        revision = await cluster.client.get(CONTROLLER_REVISION, cluster.namespace, record)
        spec = {**deployment["spec"], "modelVersion": chosen["version"]}
        asked = asked_for(LLMDeploymentSpec.model_validate(spec))
    except (NotFound, Forbidden, ValidationError):
        return False
    target = str((revision.get("data") or {}).get("target", ""))
    return bool(target) and not target.startswith(f"{asked}.")


UNDO = Command(
    "undo",
    "put a version back into the spec that was promoted before: exits with 0 also where the spec asks for it "
    "already, 1 where there is none to go back to, 5 usage or permission",
    _add_arguments,
    _undo,
)
