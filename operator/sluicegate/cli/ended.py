"""`sluicegate rollout history`, `retry` and `abort`: what is over, and the word of a person on it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import Outcome, Step
from sluicegate.cli.cluster import found, reachable
from sluicegate.cli.command import Command, CommandError, Exit, add_object_flags, add_report_flags
from sluicegate.cli.edit import said
from sluicegate.cli.table import table
from sluicegate.cli.view import Object, over, since, under_way
from sluicegate.core import naming
from sluicegate.core.objects import annotation, condition
from sluicegate.kube.resources import LLM_DEPLOYMENT

_CAN_FAIL = frozenset(Step) - {Step.CUTOVER, Step.REVERTING, Step.DRAINING, Step.DISCARDING}


def failed_rollout(deployment: Object) -> str | None:
    """Identity of the rollout that the status says has failed, or None where it says of none."""
    stalled = condition(deployment, "Stalled")
    if stalled is None or stalled["reason"] != Reason.ROLLED_BACK:
        return None
    return next((each["id"] for each in over(deployment) if each["outcome"] == Outcome.ROLLED_BACK), None)


def is_retried(deployment: Object) -> bool:
    """Whether somebody asked for another try which the operator has yet to see."""
    failed = failed_rollout(deployment)
    return failed is not None and annotation(deployment, naming.RETRY) == failed


async def _history(args: Namespace) -> int:
    async with reachable(args) as cluster:
        deployment = await found(cluster, LLM_DEPLOYMENT, args.name)
    ended = over(deployment)
    as_json = args.output == "json"
    print(json.dumps(ended, indent=2) if as_json else "\n".join(_lines(ended, datetime.now(UTC))))
    return Exit.OK


def _lines(ended: list[Object], now: datetime) -> Iterator[str]:
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
        deployment = await said(cluster, args.name, naming.RETRY, failed_rollout)
    failed = failed_rollout(deployment)
    if failed is None:
        raise CommandError("nothing is to be tried again: no rollout to the present spec has failed")
    print(f"rollout {failed} is tried again, as a new one")
    return Exit.OK


async def _abort(args: Namespace) -> int:
    async with reachable(args) as cluster:
        deployment = await said(cluster, args.name, naming.ABORT, _may_fail)
    ended = _may_fail(deployment)
    if ended is None:
        raise CommandError(_why_not(deployment))
    print(f"rollout {ended} is ended before it is promoted; what served before serves on, or comes back")
    return Exit.OK


def _may_fail(deployment: Object) -> str | None:
    """Identity of the rollout that is under way and has yet to take over."""
    rollout = under_way(deployment)
    return str(rollout["id"]) if rollout and rollout["step"] in _CAN_FAIL else None


def _why_not(deployment: Object) -> str:
    rollout = under_way(deployment)
    if rollout is None:
        return "nothing is to be ended: no rollout is under way"
    left = rollout.get("fromVersion")
    back = f"; to go back to {left}: kubectl sluice rollout undo --to {left}" if left else ""
    return f"{rollout['toVersion']} is past ending: {rollout['step']}{back}"


HISTORY = Command("history", "list the rollouts that are over", add_report_flags, _history)
RETRY = Command(
    "retry",
    "try again what failed, as a new rollout: exits with 0 also where that was said already, 1 where nothing "
    "has failed, 5 usage or permission",
    add_object_flags,
    _retry,
)
ABORT = Command(
    "abort",
    "end a rollout before it is promoted: exits with 0 also where that was said already, 1 where none is "
    "under way or it is past ending, 5 usage or permission",
    add_object_flags,
    _abort,
)
