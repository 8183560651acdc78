"""How the rollout of a version stands, by the status of its deployment: the verdict that pipelines act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1 import llmdeployment
from sluicegate.cli.command import Exit
from sluicegate.cli.ended import is_retried
from sluicegate.cli.view import Object, held, under_way
from sluicegate.core import naming
from sluicegate.core.objects import annotation, condition, is_true, terminating, uid

GRACE_SECONDS = 30.0
"""How long a failure has to last that something else than the spec may heal."""

# Other reasons to stand still can be out of date within seconds: the version is created right after the
# deployment that names it, a registry or an admission webhook answers again, a Secret arrives.
_LASTING = frozenset(
    {Reason.INVALID_SPEC, Reason.ENGINE_REFUSED, Reason.PROGRESS_DEADLINE_EXCEEDED, Reason.ROLLED_BACK}
)

# Of pods that keep on ending, the operator itself gives up the rollout soon: its word ends the wait.
_GIVEN_UP_SOON = frozenset({Reason.ENGINE_CRASH_LOOPING, Reason.ENGINE_OUT_OF_MEMORY})
_TRIED = frozenset(
    {
        llmdeployment.Step.PROVISIONING,
        llmdeployment.Step.VERIFYING,
        llmdeployment.Step.STAGING,
        llmdeployment.Step.CANARY,
        llmdeployment.Step.FLEET,
    }
)


class Outcome(StrEnum):
    """How a wait ends."""

    PROMOTED = "Promoted"
    FAILED = "Failed"
    TIMEOUT = "Timeout"
    SUPERSEDED = "Superseded"
    AWAITING_PROMOTION = "AwaitingPromotion"
    ERROR = "Error"
    """It could not be seen how the rollout stands."""

    @property
    def exit(self) -> Exit:
        return _EXITS[self]


_EXITS: Mapping[Outcome, Exit] = {
    Outcome.PROMOTED: Exit.OK,
    Outcome.FAILED: Exit.FAILED,
    Outcome.TIMEOUT: Exit.TIMEOUT,
    Outcome.SUPERSEDED: Exit.SUPERSEDED,
    Outcome.AWAITING_PROMOTION: Exit.AWAITING_PROMOTION,
    Outcome.ERROR: Exit.USAGE_OR_PERMISSION,
}


@dataclass(frozen=True)
class Wanted:
    """What is waited for: a version, on the LLMDeployment of this uid and on no later one of its name."""

    uid: str
    version: str


class Step(StrEnum):
    """Where a deployment stands outside of the steps of its status."""

    UNSEEN = "Unseen"
    """The operator has not seen the present spec."""
    HELD = "Held"
    """An annotation stops the operator."""
    WAITING = "Waiting"
    """Nothing has begun yet."""
    STALLED = "Stalled"
    PROMOTED = "Promoted"
    SUPERSEDED = "Superseded"


@dataclass(frozen=True)
class Standing:
    """`step` is one of the status or of `Step`, `reason` the API's word; `outcome` is None on the way.

    `since` is the API's timestamp, "" where it does not say.
    """

    step: str
    reason: str
    message: str
    outcome: Outcome | None = None
    since: str = ""

    def is_over(self, failing_for: float) -> bool:
        """Whether this is the end. `failing_for` is how many seconds it has been failing without a break."""
        if self.outcome is Outcome.FAILED and self.reason not in _LASTING:
            return failing_for >= GRACE_SECONDS
        return self.outcome is not None


def judge(wanted: Wanted, deployment: Object | None) -> Standing:
    """How the rollout stands; the deployment is None where it is gone."""
    if deployment is None or uid(deployment) != wanted.uid or terminating(deployment):
        return _superseded(Reason.TERMINATING, "the LLMDeployment was deleted")
    asked = deployment["spec"]["modelVersion"]
    if asked != wanted.version:
        return _superseded(Reason.SUPERSEDED, f"the spec asks for {asked}, not for {wanted.version}")
    if held(deployment):
        text = f"the annotation {naming.RECONCILE}=Disabled stops the operator"
        return Standing(Step.HELD, "", text)
    ready = condition(deployment, "Ready")
    if ready is None or not _is_of_the_present(deployment):
        return Standing(Step.UNSEEN, "", "the operator has not seen the present spec")
    if _promoted(deployment, wanted.version):
        return _told(Step.PROMOTED, ready, Outcome.PROMOTED)
    stalled = condition(deployment, "Stalled")
    if is_retried(deployment):
        return Standing(Step.UNSEEN, "", "the operator has not seen yet that it is to be tried again")
    if stalled is not None and is_true(deployment, "Stalled") and not _is_given_up_soon(deployment, stalled):
        return _told(Step.STALLED, stalled, Outcome.FAILED)
    if rollout := under_way(deployment):
        ended = Outcome.AWAITING_PROMOTION if awaits_promotion(deployment) else None
        return replace(_told(rollout["step"], ready, ended), since=rollout["stepStartedAt"])
    return _told(Step.WAITING, ready)


def _is_given_up_soon(deployment: Object, stalled: Mapping[str, str]) -> bool:
    """Whether the operator rolls it back by itself, since another version serves meanwhile."""
    rollout, serving = (deployment["status"].get(key) for key in ("rollout", "serving"))
    tried = rollout and serving and rollout["step"] in _TRIED
    return bool(tried and stalled["reason"] in _GIVEN_UP_SOON)


def awaits_promotion(deployment: Object) -> bool:
    """Whether a person is waited for. The operator may not have seen yet that one has promoted it."""
    rollout = under_way(deployment)
    if rollout is None or rollout["step"] != llmdeployment.Step.AWAITING_PROMOTION:
        return False
    return bool(annotation(deployment, naming.PROMOTE) != rollout["id"])


def _is_of_the_present(deployment: Object) -> bool:
    """Whether the status speaks of this very spec; one that was restored from a backup may be ahead."""
    seen = (deployment.get("status") or {}).get("observedGeneration")
    return bool(seen == deployment["metadata"].get("generation"))


def _promoted(deployment: Object, version: str) -> bool:
    """Whether the version alone answers, old pods that finish what they have apart; or would, at zero."""
    status, ready = deployment["status"], condition(deployment, "Ready") or {}
    serving, rollout = status.get("serving"), status.get("rollout")
    if ready.get("status") != "True":
        return False
    if not serving:
        return ready.get("reason") == Reason.SCALED_TO_ZERO
    return serving.get("version") == version and (not rollout or rollout["id"] == serving.get("rollout"))


def _superseded(reason: Reason, message: str) -> Standing:
    return Standing(Step.SUPERSEDED, str(reason), message, Outcome.SUPERSEDED)


def _told(step: str, by: Mapping[str, str], outcome: Outcome | None = None) -> Standing:
    return Standing(step, by["reason"], by.get("message", ""), outcome, by["lastTransitionTime"])
