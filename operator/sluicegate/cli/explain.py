"""`sluicegate explain NAME`: what the deployment waits for, since when, and what unblocks it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sluicegate.cli.cluster import connected
from sluicegate.cli.command import Command, Exit, add_report_flags
from sluicegate.cli.table import table
from sluicegate.cli.verdict import State, verdict
from sluicegate.cli.view import Object, View, events_around, last_seen, pod_state, since, view
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.objects import condition, is_true, name

EVENTS_SHOWN = 5

Events = Sequence[Object] | None
"""The newest first; None where they may not be read."""


async def _run(args: Namespace) -> int:
    async with connected(args) as cluster:
        seen = await view(cluster, args.name, datetime.now(UTC))
        events = await events_around(cluster, seen)
    told = as_json(seen, events)
    print(json.dumps(told, indent=2) if args.output == "json" else "\n".join(as_text(told, seen.now)))
    return Exit.OK


def as_json(seen: View, events: Events) -> dict[str, Any]:
    """The verdict, then what it rests on. Times are the API's timestamps."""
    meta, found = seen.deployment["metadata"], verdict(seen)
    return {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "state": str(found.state),
        "since": found.since,
        "reason": found.reason,
        "waitsFor": found.waits_for,
        "meaning": found.meaning,
        "unblockedBy": found.unblocked_by,
        "serving": seen.status.get("serving"),
        "url": seen.status.get("url", ""),
        "rollout": seen.status.get("rollout"),
        "modelVersions": list(_model_versions(seen)),
        "pods": list(_pods(seen)),
        "warnings": None if events is None else list(_warnings(events)),
    }


def _model_versions(seen: View) -> Iterator[Mapping[str, str]]:
    wanted = seen.deployment["spec"]["modelVersion"]
    if wanted not in seen.model_versions:
        yield {"name": wanted, "state": "does not exist", "since": "", "message": ""}
    for version, obj in seen.model_versions.items():
        ready = condition(obj, "Ready")
        if ready is None:
            yield {"name": version, "state": "not inspected yet", "since": "", "message": ""}
            continue
        well = ready["status"] == "True"
        yield {
            "name": version,
            "state": "Ready" if well else str(ready["reason"]),
            "since": ready["lastTransitionTime"],
            "message": "" if well else str(ready.get("message", "")),
        }


def _pods(seen: View) -> Iterator[Mapping[str, str]]:
    """The pods, and before them why there are none where the API server refuses them."""
    for found in seen.replica_sets:
        if problem := diagnose(found, ()):
            yield {
                "name": name(found),
                "state": str(problem.reason),
                "createdAt": "",
                "message": problem.message,
            }
    for pod in seen.pods:
        problem = None if is_true(pod, "Ready") else diagnose(None, (pod,))
        yield {
            "name": name(pod),
            "state": pod_state(pod),
            "createdAt": pod["metadata"].get("creationTimestamp", ""),
            "message": problem.message if problem else "",
        }


def _warnings(events: Sequence[Object]) -> Iterator[Mapping[str, str]]:
    for event in [event for event in events if event.get("type") == "Warning"][:EVENTS_SHOWN]:
        regarding = event.get("regarding") or {}
        yield {
            "lastSeen": last_seen(event),
            "reason": str(event.get("reason", "")),
            "object": f"{regarding.get('kind', '')} {regarding.get('name', '')}",
            "message": str(event.get("note", "")),
        }


def as_text(told: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """The lines for people of what `as_json` told."""
    yield from _verdict(told, now)
    yield from _section(
        "Model versions",
        [
            (
                each["name"],
                each["state"],
                each["since"] and f"for {since(each['since'], now)}",
                each["message"],
            )
            for each in told["modelVersions"]
        ],
    )
    yield from _section(
        "Pods",
        [
            (
                each["name"],
                each["state"],
                each["createdAt"] and f"age {since(each['createdAt'], now)}",
                each["message"],
            )
            for each in told["pods"]
        ],
    )
    if told["warnings"] is None:
        yield "\nWarnings\n  not shown: your role may not list events.k8s.io/events here"
        return
    yield from _section(
        "Warnings",
        [
            (f"{since(each['lastSeen'], now)} ago", each["reason"], each["object"], each["message"])
            for each in told["warnings"]
        ],
    )


def _verdict(told: Mapping[str, Any], now: datetime) -> Iterator[str]:
    title, ago = told["name"], since(told["since"], now)
    if told["state"] == State.READY:
        yield f"{title} is ready: {_answering(told)}, for {ago}."
    elif told["state"] == State.NOT_READY:
        yield f"{title} is not ready: {told['reason']}, for {ago}."
    else:
        yield f"{title} waits for {told['waitsFor']}."
    rows = [
        ("Waits for", told["reason"] and told["waitsFor"]),
        ("Meaning", told["meaning"]),
        ("Unblocked by", told["unblockedBy"]),
        ("Meanwhile", told["reason"] and _answering(told)),
    ]
    yield from table([(head, text) for head, text in rows if text], indent="  ")
    if rollout := told["rollout"]:
        yield (
            f"A rollout to {rollout['toVersion']} is in progress: {rollout['step']}, "
            f"for {since(rollout['stepStartedAt'], now)}."
        )


def _answering(told: Mapping[str, Any]) -> str:
    version = (told["serving"] or {}).get("version")
    if not version:
        return "nothing answers"
    return f"{version} answers" + (f" at {told['url']}" if told["url"] else "")


def _section(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield f"\n{title}"
        yield from table(rows, indent="  ")


COMMAND = Command(
    "explain", "say what a deployment waits for, since when, and what unblocks it", add_report_flags, _run
)
