"""`sluicegate rollout history`, `retry` and `abort`: what is over, and the word of a person on it."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Outcome, Step
from sluicegate.cli.cluster import Cluster, found, reachable
from sluicegate.cli.command import Command, CommandError, Exit, add_object_flags, add_output_flag
from sluicegate.cli.table import table
from sluicegate.cli.view import Object, since
from sluicegate.core import naming
from sluicegate.core.objects import annotation, condition, resource_version
from sluicegate.kube.errors import Conflict
from sluicegate.kube.resources import LLM_DEPLOYMENT

FIELD_MANAGER = "kubectl-sluice"
TRIES = 5
_CAN_FAIL = frozenset({Step.PROVISIONING, Step.VERIFYING, Step.AWAITING_PROMOTION, Step.PAUSED})


def failed_rollout(deployment: Object) -> str | None:
    """Identity of the rollout that the status says has failed, or None where it says of none."""
    stalled = condition(deployment, "Stalled")
    if stalled is None or stalled["reason"] != Reason.ROLLED_BACK:
        return None
    ended = deployment["status"].get("history") or ()
    return next((each["id"] for each in ended if each["outcome"] == Outcome.ROLLED_BACK), None)


def is_retried(deployment: Object) -> bool:
    """Whether somebody asked for another try which the operator has yet to see."""
    failed = failed_rollout(deployment)
    return failed is not None and annotation(deployment, naming.RETRY) == failed


def _add_history_arguments(parser: ArgumentParser) -> None:
    add_object_flags(parser)
    add_output_flag(parser)


async def _history(args: Namespace) -> int:
    async with reachable(args) as cluster:
        deployment = await found(cluster, LLM_DEPLOYMENT, args.name)
    ended = list((deployment.get("status") or {}).get("history") or ())
    as_json = args.output == "json"
    print(json.dumps(ended, indent=2) if as_json else "\n".join(_lines(ended, datetime.now(UTC))))
    return Exit.OK


def _lines(ended: list[dict[str, Any]], now: datetime) -> Iterator[str]:
    heads = ("ID", "VERSION", "OUTCOME", "REASON", "ENDED", "MESSAGE")
    rows = [
        (
            each["id"],
            each.get("version", ""),
            each["outcome"],
            each["reason"],
            f"{since(each['finishedAt'], now)} ago",
            each.get("message", ""),
        )
        for each in ended
    ]
    yield from table([heads, *rows])


async def _retry(args: Namespace) -> int:
    async with reachable(args) as cluster:
        failed = await _say(cluster, args.name, naming.RETRY, _to_retry)
    if isinstance(failed, CommandError):
        raise failed
    print(f"rollout {failed} is tried again, as a new one")
    return Exit.OK


def _to_retry(deployment: Object) -> str | CommandError:
    refusal = CommandError("nothing is to be tried again: no rollout to the present spec has failed")
    return failed_rollout(deployment) or refusal


async def _abort(args: Namespace) -> int:
    async with reachable(args) as cluster:
        ended = await _say(cluster, args.name, naming.ABORT, _to_abort)
    if isinstance(ended, CommandError):
        raise ended
    print(f"rollout {ended} is ended before it takes over; what serves serves on")
    return Exit.OK


def _to_abort(deployment: Object) -> str | CommandError:
    rollout = (deployment.get("status") or {}).get("rollout")
    if rollout is None:
        return CommandError("nothing is to be ended: no rollout is under way")
    if rollout["step"] not in _CAN_FAIL:
        back = (
            f"; to go back to {rollout['fromVersion']}, change the spec" if rollout.get("fromVersion") else ""
        )
        return CommandError(f"{rollout['toVersion']} is past ending: {rollout['step']}{back}")
    return str(rollout["id"])


async def _say(
    cluster: Cluster, name: str, key: str, about: Callable[[Object], str | CommandError]
) -> str | CommandError:
    """Annotate the deployment with the rollout that `about` finds in it, or tell why there is none to."""
    for left in reversed(range(TRIES)):
        deployment = await found(cluster, LLM_DEPLOYMENT, name)
        rollout = about(deployment)
        if isinstance(rollout, CommandError) or annotation(deployment, key) == rollout:
            break
        word = {"resourceVersion": resource_version(deployment), "annotations": {key: rollout}}
        try:
            await cluster.client.patch_merge(
                LLM_DEPLOYMENT, cluster.namespace, name, {"metadata": word}, FIELD_MANAGER
            )
            break
        except Conflict:
            if not left:
                raise
    return rollout


HISTORY = Command("history", "list the rollouts that are over", _add_history_arguments, _history)
RETRY = Command(
    "retry",
    "try again what failed, as a new rollout: exits with 0 also where that was said already, 1 where nothing "
    "has failed, 5 usage or permission",
    add_object_flags,
    _retry,
)
ABORT = Command(
    "abort",
    "end a rollout before it takes over: exits with 0 also where that was said already, 1 where none is "
    "under way or it takes over, 5 usage or permission",
    add_object_flags,
    _abort,
)
