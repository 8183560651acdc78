"""What a deployment waits for, since when, and what unblocks it, in one answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sluicegate.cli.advice import advice, meaning
from sluicegate.cli.view import View
from sluicegate.core import naming
from sluicegate.core.objects import condition


class State(StrEnum):
    """How a deployment stands."""

    READY = "Ready"
    NOT_READY = "NotReady"
    HELD = "Held"
    """An annotation stops the operator."""
    UNSEEN = "Unseen"
    """The operator has not seen the present spec."""


@dataclass(frozen=True)
class Verdict:
    """`since` is the API's timestamp; it and `reason` are "" where no condition says them."""

    state: State
    since: str = ""
    reason: str = ""
    waits_for: str = ""
    meaning: str = ""
    unblocked_by: str = ""


def verdict(seen: View) -> Verdict:
    """What is most in the way: a hold, an operator that does not look, or what the conditions say."""
    meta = seen.deployment["metadata"]
    ready = condition(seen.deployment, "Ready")
    if seen.held:
        return Verdict(
            State.HELD,
            waits_for=f"the end of its hold: the annotation {naming.RECONCILE}=Disabled stops the operator",
            unblocked_by=f"kubectl annotate -n {meta['namespace']} llmd {meta['name']} {naming.RECONCILE}-",
        )
    if ready is None or not seen.observed:
        return Verdict(
            State.UNSEEN,
            waits_for="the operator, which has not seen its present spec",
            unblocked_by="a running operator: kubectl get pods -A -l "
            f"{naming.PART_OF}={naming.MANAGER} shows whether there is one",
        )
    if ready["status"] == "True":
        return Verdict(State.READY, since=ready["lastTransitionTime"])
    # The condition that stopped it says more than Ready does, where there is one.
    stalled = condition(seen.deployment, "Stalled")
    told = stalled if stalled and stalled["status"] == "True" else ready
    return Verdict(
        State.NOT_READY,
        since=ready["lastTransitionTime"],
        reason=ready["reason"],
        waits_for=told.get("message", ""),
        meaning=meaning(told["reason"]),
        unblocked_by=advice(told["reason"], meta["namespace"]),
    )
