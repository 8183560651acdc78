"""`sluicegate rollout`: how a change of version goes on, a wait whose exit code tells how it ended, and the
word of a person that it may take over."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sluicegate.api.v1alpha1 import llmdeployment
from sluicegate.cli.advice import advice
from sluicegate.cli.cluster import Cluster, found, reachable
from sluicegate.cli.command import (
    Command,
    CommandError,
    Exit,
    Group,
    add_object_flags,
    add_output_flag,
    add_report_flags,
)
from sluicegate.cli.duration import duration
from sluicegate.cli.edit import said
from sluicegate.cli.ended import ABORT, HISTORY, RETRY
from sluicegate.cli.follow import follow
from sluicegate.cli.outcome import Outcome, Standing, Step, Wanted, judge
from sluicegate.cli.table import table
from sluicegate.cli.undo import UNDO
from sluicegate.cli.view import Object, since, under_way
from sluicegate.core import naming
from sluicegate.core.objects import annotation, uid
from sluicegate.kube.resources import LLM_DEPLOYMENT

# Longer than new pods may take by default, so that a version whose pods never become ready ends with 1.
DEFAULT_TIMEOUT = "40m"

_TAKES_OVER = frozenset(
    {llmdeployment.Step.CUTOVER, llmdeployment.Step.OBSERVING, llmdeployment.Step.DRAINING}
)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Report:
    """What a wait tells while it lasts: a line for each change of step or reason."""

    version: str
    as_json: bool
    began: float = field(default_factory=_loop_time)
    last: Standing | None = None

    def tell(self, standing: Standing) -> None:
        before, self.last = self.last, standing
        if before is not None and (before.step, before.reason) == (standing.step, standing.reason):
            return
        if standing.step == Step.HELD:
            self.warn(f"waits for the end of a hold: {standing.message}")
        if self.as_json:
            self._write(_of(standing))
        else:
            print(f"{self._seconds():6.0f}s  {standing.step:<12}  {_words(standing)}", flush=True)

    def warn(self, text: str) -> None:
        print(f"sluicegate: {text}", file=sys.stderr, flush=True)

    def end(self, outcome: Outcome, reason: str, message: str) -> None:
        """The last line for programs; people read the same from standard error and the exit code."""
        if self.as_json:
            ending = {"outcome": str(outcome), "exitCode": int(outcome.exit), "version": self.version}
            self._write({**ending, "reason": reason, "message": message})

    def _write(self, line: dict[str, Any]) -> None:
        print(json.dumps({"elapsedSeconds": round(self._seconds(), 1), **line}), flush=True)

    def _seconds(self) -> float:
        return _loop_time() - self.began


def _of(standing: Standing) -> dict[str, str]:
    return {"step": standing.step, "reason": standing.reason, "message": standing.message}


def _words(standing: Standing) -> str:
    """The message, after a reason that says more than the step."""
    known = standing.reason in ("", standing.step)
    return standing.message if known else f"{standing.reason}: {standing.message}"


def _add_wait_arguments(parser: ArgumentParser) -> None:
    add_object_flags(parser)
    parser.add_argument(
        "--version",
        metavar="MODEL_VERSION",
        help="version to wait for; left out, the one that the spec asks for when the wait begins",
    )
    parser.add_argument(
        "--timeout",
        type=duration,
        default=DEFAULT_TIMEOUT,
        metavar="TIME",
        help=f"longest time to wait, such as 90s, 30m or 1h30m (default {DEFAULT_TIMEOUT})",
    )
    add_output_flag(parser)


async def _wait(args: Namespace) -> int:
    report = Report(args.version or "", args.output == "json")
    try:
        ended = await _ending(args, report)
    except CommandError as error:
        report.end(Outcome.ERROR, "", str(error))
        raise
    outcome = ended.outcome or Outcome.TIMEOUT
    report.end(outcome, ended.reason, ended.message)
    if outcome is Outcome.PROMOTED:
        return Exit.OK
    raise CommandError(_sentence(outcome, report.version, args.timeout, ended), outcome.exit)


def _sentence(outcome: Outcome, version: str, timeout: int, ended: Standing) -> str:
    if outcome is Outcome.FAILED:
        return f"the rollout of {version} failed: {_words(ended)}"
    if outcome is Outcome.SUPERSEDED:
        return f"the rollout of {version} is superseded: {ended.message}"
    if outcome is Outcome.AWAITING_PROMOTION:
        return ended.message
    return f"{version} is not promoted after {timeout} s: {ended.step}, {_words(ended)}"


async def _ending(args: Namespace, report: Report) -> Standing:
    """The last standing: one with an outcome, or what was seen when the time was up."""
    try:
        async with asyncio.timeout(args.timeout), reachable(args) as cluster:
            begun = await found(cluster, LLM_DEPLOYMENT, args.name)
            report.version = args.version or begun["spec"]["modelVersion"]
            return await _until_over(cluster, args.name, Wanted(uid(begun), report.version), report)
    except TimeoutError as late:
        if report.last is None:
            text = f"the API server did not answer within {args.timeout} s; check the cluster and --context"
            raise CommandError(text, Exit.USAGE_OR_PERMISSION) from late
        return replace(report.last, outcome=None)


async def _until_over(cluster: Cluster, name: str, wanted: Wanted, report: Report) -> Standing:
    failing_since: float | None = None
    async with aclosing(follow(cluster, name, report.warn)) as sightings:
        async for deployment in sightings:
            standing = judge(wanted, deployment)
            report.tell(standing)
            if standing.outcome is not Outcome.FAILED:
                failing_since = None
            elif failing_since is None:
                failing_since = _loop_time()
            if standing.is_over(_loop_time() - failing_since if failing_since is not None else 0.0):
                return standing
    raise AssertionError("a deployment is followed without end")


async def _status(args: Namespace) -> int:
    async with reachable(args) as cluster:
        deployment = await found(cluster, LLM_DEPLOYMENT, args.name)
    told = as_json(deployment)
    text = (
        json.dumps(told, indent=2) if args.output == "json" else "\n".join(as_text(told, datetime.now(UTC)))
    )
    print(text)
    return Exit.OK


def as_json(deployment: Object) -> dict[str, Any]:
    """How the rollout to the present spec stands."""
    meta, status = deployment["metadata"], deployment.get("status") or {}
    wanted = Wanted(uid(deployment), deployment["spec"]["modelVersion"])
    standing = judge(wanted, deployment)
    return {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "version": wanted.version,
        "serving": (status.get("serving") or {}).get("version", ""),
        "outcome": standing.outcome and str(standing.outcome),
        **_of(standing),
        "since": standing.since,
        "unblockedBy": advice(standing.reason, meta["namespace"]),
    }


def as_text(told: dict[str, Any], now: datetime) -> Iterator[str]:
    """The lines for people of what `as_json` told."""
    rows = [
        ("Name", f"{told['namespace']}/{told['name']}"),
        ("Version", told["version"]),
        ("Serving", told["serving"]),
        ("Step", f"{told['step']}, for {since(told['since'], now)}" if told["since"] else told["step"]),
        ("Reason", told["reason"]),
        ("Message", told["message"]),
        ("Unblocked by", told["unblockedBy"]),
    ]
    yield from table(rows)


def _add_promote_arguments(parser: ArgumentParser) -> None:
    add_object_flags(parser)
    parser.add_argument(
        "--version",
        metavar="MODEL_VERSION",
        help="version to promote and no other; left out, the one that awaits it",
    )


async def _promote(args: Namespace) -> int:
    def judged(deployment: Object) -> Standing:
        return judge(Wanted(uid(deployment), args.version or deployment["spec"]["modelVersion"]), deployment)

    def awaiting(deployment: Object) -> str | None:
        waits = judged(deployment).outcome is Outcome.AWAITING_PROMOTION
        return str(deployment["status"]["rollout"]["id"]) if waits else None

    async with reachable(args) as cluster:
        deployment = await said(cluster, args.name, naming.PROMOTE, awaiting)
    version, standing = deployment["spec"]["modelVersion"], judged(deployment)
    if rollout := awaiting(deployment):
        print(f"promoted {version}, rollout {rollout}: it takes over now")
        return Exit.OK
    if _was_promoted(deployment, standing):
        print(f"{version} is promoted already: {_words(standing)}")
        return Exit.OK
    if standing.outcome is Outcome.SUPERSEDED:
        raise CommandError(f"nothing is promoted: {standing.message}", Exit.SUPERSEDED)
    raise CommandError(f"nothing of {args.name} awaits promotion: {standing.step}, {_words(standing)}")


def _was_promoted(deployment: Object, standing: Standing) -> bool:
    """Whether it takes over or has done so, or somebody has said that it may."""
    rollout = under_way(deployment)
    if standing.outcome is Outcome.PROMOTED:
        return True
    if rollout is None or standing.step != rollout["step"]:
        return False
    return standing.step in _TAKES_OVER or annotation(deployment, naming.PROMOTE) == rollout["id"]


STATUS = Command("status", "show how the rollout to the present version stands", add_report_flags, _status)
WAIT = Command(
    "wait",
    "wait for the end of a rollout: exits with 0 promoted and verified, 1 failed, 2 timeout, 3 superseded, "
    "4 waiting for somebody to promote it, 5 usage or permission",
    _add_wait_arguments,
    _wait,
)
PROMOTE = Command(
    "promote",
    "let verified pods take over that wait for it: exits with 0 also where that was said already, 1 where "
    "nothing waits, 3 superseded, 5 usage or permission",
    _add_promote_arguments,
    _promote,
)
GROUP = Group(
    "rollout",
    "see how a change of version goes on, wait for its end, promote, abort, retry or undo it",
    (STATUS, WAIT, PROMOTE, ABORT, RETRY, UNDO, HISTORY),
)
