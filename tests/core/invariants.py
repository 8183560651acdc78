"""What holds after every single write, whatever happened before.

I1  No write of ours leaves the Service without a ready pod once it had one (unless none is wanted, or a
    record says that the pods of one version make room for those of another).
I3  At most two colours have a ReplicaSet.
I4  What served before stays until who serves is promoted, or serves again.
I7  Nobody is promoted who was not observed for as long as is asked, beside somebody to go back to, unless
    the pods of that one have made room.
And of a plan: creations come before deletions, and at most one object is deleted. A Replace is no deletion:
it takes back the spec of an object that is ours, at the resourceVersion that was seen, and no pod follows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sluicegate.api.reasons import Reason
from sluicegate.core import naming
from sluicegate.core.intent import owns_annotation
from sluicegate.core.objects import Manifest, Ref, annotation, is_true, labels, terminating
from sluicegate.core.plan import Apply, Create, Delete, Plan

OBSERVE_SECONDS = 60
"""By default."""

REASONS = frozenset(str(reason) for reason in Reason)
LONGEST_WAIT = timedelta(days=1)


def check_plan(plan: Plan) -> None:
    """Whatever is true of every plan about anything."""
    kinds = [type(action) for action in plan.actions]
    assert kinds.count(Delete) <= 1, plan.actions
    if Delete in kinds:
        assert kinds.index(Delete) == len(kinds) - 1, "something follows a deletion"
    assert plan.requeue_after is None or timedelta(0) < plan.requeue_after <= LONGEST_WAIT, plan.requeue_after
    for condition in (plan.status or {}).get("conditions", ()):
        assert condition["reason"] in REASONS
        assert len(condition["message"].encode()) <= 1024
        assert condition["observedGeneration"] == (plan.status or {})["observedGeneration"]
    for event in plan.events:
        assert event.reason in REASONS
        assert event.message
        assert len(event.message.encode()) <= 1024
    assert json.loads(json.dumps(plan.status)) == plan.status, "the status is no plain JSON"


def check_labels(plan: Plan) -> None:
    """Names and labels of whatever is written are legal."""
    for action in plan.actions:
        if isinstance(action, Create | Apply):
            meta = action.manifest["metadata"]
            assert len(meta["name"]) <= (63 if action.manifest["kind"] in ("Service", "Job") else 253)
            assert all(len(value) <= 63 for value in meta["labels"].values())


def selected(service: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    wanted: Mapping[str, Any] = service["spec"]["selector"]
    return [pod for pod in pods if all(labels(pod).get(key) == value for key, value in wanted.items())]


def outcome(record: Manifest | None) -> str | None:
    """How a rollout ended, or None where its record says nothing."""
    text = annotation(record, naming.OUTCOME) if record and owns_annotation(record, naming.OUTCOME) else None
    return str(json.loads(text)["outcome"]) if text else None


def swaps(record: Manifest | None) -> bool:
    """Whether the pods before it make room for its own, by its record."""
    return record is not None and annotation(record, naming.SWAPS) is not None


def check_way_back(gone: Ref, service: Manifest | None, records: Mapping[str, Manifest]) -> None:
    """I4. `records` are the ControllerRevisions by the names of their ReplicaSets."""
    if service is None or gone.kind != "ReplicaSet" or not owns_annotation(service, naming.EXPOSES):
        return
    serving = naming.colour_name(service["metadata"]["name"], annotation(service, naming.EXPOSES) or "")
    undecided = serving in records and outcome(records[serving]) in (None, "RolledBack")
    assert not (undecided and serving != gone.name and outcome(records.get(gone.name)) == "Promoted"), (
        f"{gone} goes before anybody knows how {serving} does"
    )


def check_promotion(
    record: Manifest, spec: Mapping[str, Any], service: Manifest, others: Iterable[Manifest], now: datetime
) -> None:
    """I7, of a record that is about to say Promoted for the first time. `others` have a ReplicaSet."""
    since = annotation(service, naming.EXPOSED_SINCE) or ""
    served = naming.colour_name(service["metadata"]["name"], annotation(service, naming.EXPOSES) or "")
    previous = [each for each in others if outcome(each) == "Promoted"]
    if served != record["metadata"]["name"] or not previous or not spec.get("replicas", 1) or swaps(record):
        return
    seconds = spec.get("rollout", {}).get("observeSeconds", OBSERVE_SECONDS)
    observed = now - datetime.fromisoformat(since) if owns_annotation(service, naming.EXPOSED_SINCE) else None
    assert observed is None or observed >= timedelta(seconds=seconds), (
        f"{served} is promoted after {observed}"
    )


def lasting(service: Manifest | None, pods: Iterable[Manifest], sets: Iterable[Manifest]) -> int:
    """Number of ready pods behind the Service that nothing is about to take away."""
    if service is None:
        return 0
    held = {labels(each)[naming.ROLLOUT]: each["spec"]["replicas"] for each in sets}
    ready = Counter(
        labels(pod)[naming.ROLLOUT]
        for pod in selected(service, pods)
        if is_true(pod, "Ready") and not terminating(pod)
    )
    return sum(min(count, held.get(rollout, 0)) for rollout, count in ready.items())
