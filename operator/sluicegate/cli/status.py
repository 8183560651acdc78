"""`sluicegate status NAME`: what serves, what shall serve, and the pods behind it, on one screen."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sluicegate.cli.cluster import connected
from sluicegate.cli.command import Command, Exit, add_report_flags
from sluicegate.cli.table import table
from sluicegate.cli.view import View, pod_state, restarts, since, view
from sluicegate.core import naming
from sluicegate.core.objects import labels, name


async def _run(args: Namespace) -> int:
    async with connected(args) as cluster:
        seen = await view(cluster, args.name, datetime.now(UTC))
    print(json.dumps(as_json(seen), indent=2) if args.output == "json" else "\n".join(as_text(seen)))
    return Exit.OK


def as_json(seen: View) -> dict[str, Any]:
    """The status as stored, and the pods."""
    meta = seen.deployment["metadata"]
    return {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "generation": meta.get("generation", 0),
        "status": seen.status,
        "pods": [
            {
                "name": name(pod),
                "version": _version(seen, pod),
                "state": pod_state(pod),
                "restarts": restarts(pod),
                "node": (pod.get("spec") or {}).get("nodeName", ""),
            }
            for pod in seen.pods
        ],
    }


def as_text(seen: View) -> Iterator[str]:
    """The lines of the screen."""
    meta, status = seen.deployment["metadata"], seen.status
    serving, rollout = status.get("serving") or {}, status.get("rollout") or {}
    facts = [
        ("Name", f"{meta['namespace']}/{meta['name']}"),
        ("Phase", status.get("phase", "")),
        ("Serving", " ".join(filter(None, (serving.get("version"), serving.get("digest", "")[:19])))),
        ("Target", status.get("target") or seen.deployment["spec"]["modelVersion"]),
        ("Replicas", status.get("replicaSummary", "")),
        ("Step", _step(rollout, seen)),
        ("URL", status.get("url", "")),
    ]
    yield from table(facts)
    if seen.held:
        yield f"\nAll reconciling is stopped by the annotation {naming.RECONCILE}."
    elif not seen.observed:
        yield "\nThe operator has not seen the present spec yet."
    yield "\nConditions"
    rows = (_condition_row(seen, condition) for condition in seen.conditions)
    yield from table([("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), *rows], indent="  ")
    yield "\nPods"
    rows = (_pod_row(seen, pod) for pod in seen.pods)
    yield from table([("NAME", "VERSION", "STATE", "RESTARTS", "NODE", "AGE"), *rows], indent="  ")


def _condition_row(seen: View, told: Mapping[str, Any]) -> tuple[str, ...]:
    age = since(told["lastTransitionTime"], seen.now)
    return told["type"], told["status"], told["reason"], age, told.get("message", "")


def _step(rollout: Any, seen: View) -> str:
    if not rollout:
        return ""
    before = f"{rollout['fromVersion']} to " if rollout.get("fromVersion") else ""
    age = since(rollout["stepStartedAt"], seen.now)
    return f"{rollout['step']} of {before}{rollout['toVersion']}, for {age}"


def _pod_row(seen: View, pod: Any) -> tuple[str, ...]:
    return (
        name(pod),
        _version(seen, pod),
        pod_state(pod),
        str(restarts(pod)),
        str((pod.get("spec") or {}).get("nodeName", "")),
        since(pod["metadata"].get("creationTimestamp", ""), seen.now),
    )


def _version(seen: View, pod: Any) -> str:
    """The version of the pod's colour, as far as the status names the colour."""
    colour = labels(pod).get(naming.ROLLOUT, "")
    serving, rollout = seen.status.get("serving") or {}, seen.status.get("rollout") or {}
    known = {serving.get("rollout"): serving.get("version"), rollout.get("id"): rollout.get("toVersion")}
    return str(known.get(colour) or colour)


COMMAND = Command(
    "status", "show what serves, what shall serve, and the pods behind it", add_report_flags, _run
)
