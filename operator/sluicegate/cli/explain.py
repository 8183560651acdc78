"""`sluicegate explain NAME`: what the deployment waits for, since when, and what unblocks it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sluicegate.cli.advice import advice, meaning
from sluicegate.cli.cluster import connected
from sluicegate.cli.command import Command, Exit, add_object_flags
from sluicegate.cli.table import table
from sluicegate.cli.view import Object, View, events_around, last_seen, pod_state, since, view
from sluicegate.core import naming
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.objects import condition, is_true, name

EVENTS_SHOWN = 5

Events = Sequence[Object] | None
"""The newest first; None where they may not be read."""


async def _run(args: Namespace) -> int:
    async with connected(args) as cluster:
        seen = await view(cluster, args.name, datetime.now(UTC))
        events = await events_around(cluster, seen)
    print("\n".join(explanation(seen, events)))
    return Exit.OK


def explanation(seen: View, events: Events) -> Iterator[str]:
    """The lines of the answer: the verdict, then what it rests on."""
    yield from _verdict(seen)
    yield from _section("Model versions", _model_versions(seen))
    yield from _section("Pods", _pods(seen))
    yield from _section("Warnings", _warnings(events, seen))


def _verdict(seen: View) -> Iterator[str]:
    title = str(seen.deployment["metadata"]["name"])
    ready = condition(seen.deployment, "Ready")
    if seen.held:
        yield f"{title} is left alone: the annotation {naming.RECONCILE}=Disabled stops the operator."
        yield f"Unblocked by: kubectl annotate llmd {title} {naming.RECONCILE}-"
    elif ready is None or not seen.observed:
        yield f"{title} waits for the operator, which has not seen its present spec."
        yield "Unblocked by: a running operator; see kubectl get pods --namespace sluicegate-system"
    elif ready["status"] == "True":
        yield f"{title} is ready: {_answering(seen)}, for {since(ready['lastTransitionTime'], seen.now)}."
    else:
        yield f"{title} is not ready: {ready['reason']}, for {since(ready['lastTransitionTime'], seen.now)}."
        yield from table(_reasoning(seen, ready), indent="  ")
    yield from _rollout(seen)


def _reasoning(seen: View, ready: Object) -> list[tuple[str, str]]:
    """The condition that stopped it says more than Ready does, where there is one."""
    stalled = condition(seen.deployment, "Stalled")
    told = stalled if stalled and stalled["status"] == "True" else ready
    rows = [
        ("Waits for", told.get("message", "")),
        ("Meaning", meaning(told["reason"])),
        ("Unblocked by", advice(told["reason"])),
        ("Meanwhile", _answering(seen)),
    ]
    return [(title, text) for title, text in rows if text]


def _answering(seen: View) -> str:
    serving = (seen.status.get("serving") or {}).get("version")
    if not serving:
        return "nothing answers"
    address = seen.status.get("url")
    return f"{serving} answers" + (f" at {address}" if address else "")


def _rollout(seen: View) -> Iterator[str]:
    rollout = seen.status.get("rollout")
    if rollout:
        yield (
            f"A rollout to {rollout['toVersion']} is in progress: {rollout['step']}, "
            f"for {since(rollout['stepStartedAt'], seen.now)}."
        )


def _model_versions(seen: View) -> list[tuple[str, ...]]:
    wanted = seen.deployment["spec"]["modelVersion"]
    rows = [_model_version_row(version, obj, seen) for version, obj in seen.model_versions.items()]
    return rows if wanted in seen.model_versions else [(wanted, "does not exist", "", ""), *rows]


def _model_version_row(version: str, obj: Object, seen: View) -> tuple[str, ...]:
    ready = condition(obj, "Ready")
    if ready is None:
        return version, "not inspected yet", "", ""
    state = "Ready" if ready["status"] == "True" else f"{ready['reason']}"
    message = "" if ready["status"] == "True" else str(ready.get("message", ""))
    return version, state, f"for {since(ready['lastTransitionTime'], seen.now)}", message


def _pods(seen: View) -> list[tuple[str, ...]]:
    refused = [
        (name(found), str(problem.reason), "", problem.message)
        for found in seen.replica_sets
        if (problem := diagnose(found, ()))
    ]
    return refused + [_pod_row(pod, seen) for pod in seen.pods]


def _pod_row(pod: Object, seen: View) -> tuple[str, ...]:
    problem = None if is_true(pod, "Ready") else diagnose(None, (pod,))
    age = since(pod["metadata"].get("creationTimestamp", ""), seen.now)
    return name(pod), pod_state(pod), f"age {age}", problem.message if problem else ""


def _warnings(events: Events, seen: View) -> list[tuple[str, ...]]:
    if events is None:
        return [("not shown: your role may not list events.k8s.io/events here",)]
    warnings = [event for event in events if event.get("type") == "Warning"]
    return [_event_row(event, seen) for event in warnings[:EVENTS_SHOWN]]


def _event_row(event: Object, seen: View) -> tuple[str, ...]:
    regarding = event.get("regarding") or {}
    return (
        f"{since(last_seen(event), seen.now)} ago",
        str(event.get("reason", "")),
        f"{regarding.get('kind', '')} {regarding.get('name', '')}",
        str(event.get("note", "")),
    )


def _section(title: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        yield f"\n{title}"
        yield from table(rows, indent="  ")


COMMAND = Command(
    "explain", "say what a deployment waits for, since when, and what unblocks it", add_object_flags, _run
)
