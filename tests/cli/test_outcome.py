"""The verdict on a rollout: when it is promoted, when it failed, and when it is too early to say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cli.builders import a_condition, a_deployment, before, serving

from sluicegate.api.reasons import Reason
from sluicegate.cli.command import Exit
from sluicegate.cli.outcome import GRACE_SECONDS, Outcome, Standing, Step, Wanted, judge

VERSION = "smollm2-2"
WANTED = Wanted("u-1", VERSION)
READY = a_condition("Ready", "True", "Serving", f"{VERSION} answers through the Service")
STALLED = a_condition("Stalled", "True", "EngineCrashLooping", "it ends at once")
NEW = "ffffffff"


def _not_ready(reason: str) -> dict[str, Any]:
    return a_condition("Ready", "False", reason, "so it is")


def _rollout(step: str, id: str = NEW) -> dict[str, Any]:
    versions = {"fromVersion": "smollm2-1", "toVersion": VERSION}
    return {"id": id, **versions, "step": step, "stepStartedAt": before(seconds=42)}


def _changed(deployment: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**deployment, "metadata": {**deployment["metadata"], **metadata}}


PROMOTED = a_deployment(READY, serving=serving(VERSION, NEW))
DRAINING = a_deployment(READY, serving=serving(VERSION, NEW), rollout=_rollout("Draining"))
IDLE = a_deployment(a_condition("Ready", "True", "ScaledToZero", "spec.replicas is 0: raise it to serve"))
HELD = {"sluicegate.dev/reconcile": "Disabled"}

ON_THE_WAY = {
    "nothing is written yet": (a_deployment(observed=-1), Step.UNSEEN),
    "no status at all": ({**a_deployment(), "status": {}}, Step.UNSEEN),
    "the status is of the spec before": (_changed(PROMOTED, generation=2), Step.UNSEEN),
    "the status is from a backup, of a later spec": (
        a_deployment(READY, observed=7, serving=serving(VERSION, NEW)),
        Step.UNSEEN,
    ),
    "a failure of the spec before": (
        _changed(a_deployment(_not_ready("EngineCrashLooping"), STALLED), generation=2),
        Step.UNSEEN,
    ),
    "a hold of what is ready": (_changed(PROMOTED, annotations=HELD), Step.HELD),
    "a hold of what failed": (
        _changed(a_deployment(_not_ready("InvalidSpec"), STALLED), annotations=HELD),
        Step.HELD,
    ),
    "the version is inspected": (a_deployment(_not_ready("ModelVersionNotReady")), Step.WAITING),
    "new pods come up": (
        a_deployment(_not_ready("Provisioning"), serving=serving(), rollout=_rollout("Provisioning")),
        "Provisioning",
    ),
    "the version answers and is observed": (
        a_deployment(_not_ready("Observing"), serving=serving(VERSION, NEW), rollout=_rollout("Observing")),
        "Observing",
    ),
    "the version has failed while it was observed": (
        a_deployment(_not_ready("Reverting"), serving=serving(VERSION, NEW), rollout=_rollout("Reverting")),
        "Reverting",
    ),
    "changes are paused": (
        a_deployment(_not_ready("Paused"), serving=serving(), rollout=_rollout("Paused")),
        "Paused",
    ),
    "a person has promoted it and the operator has yet to see that": (
        _changed(
            a_deployment(
                _not_ready("AwaitingPromotion"), serving=serving(), rollout=_rollout("AwaitingPromotion")
            ),
            annotations={"sluicegate.dev/promote": NEW},
        ),
        "AwaitingPromotion",
    ),
    "pods keep on ending while another version serves: the operator will give them up": (
        a_deployment(
            _not_ready("EngineCrashLooping"), STALLED, serving=serving(), rollout=_rollout("Provisioning")
        ),
        "Provisioning",
    ),
    "another version answers": (a_deployment(READY, serving=serving()), Step.WAITING),
    "a rollout of another colour goes on": (
        a_deployment(READY, serving=serving(VERSION, "0a1b2c3d"), rollout=_rollout("Provisioning")),
        "Provisioning",
    ),
    "nothing answers": (a_deployment(READY), Step.WAITING),
    "a version that served lost its pods": (
        a_deployment(_not_ready("NoReadyReplicas"), serving=serving(VERSION, NEW)),
        Step.WAITING,
    ),
}


@pytest.mark.parametrize(("deployment", "step"), ON_THE_WAY.values(), ids=ON_THE_WAY.keys())
def test_it_is_too_early_to_say_while(deployment: dict[str, Any], step: str) -> None:
    standing = judge(WANTED, deployment)

    assert (standing.step, standing.outcome) == (step, None)
    assert not standing.is_over(failing_for=1e9)


WAITS = a_deployment(
    _not_ready("AwaitingPromotion"), serving=serving(), rollout=_rollout("AwaitingPromotion")
)

ENDS = {
    "a person has to promote it": (WAITS, Outcome.AWAITING_PROMOTION, "AwaitingPromotion"),
    "a person has to promote it, and has promoted another": (
        _changed(WAITS, annotations={"sluicegate.dev/promote": "0a1b2c3d"}),
        Outcome.AWAITING_PROMOTION,
        "AwaitingPromotion",
    ),
    "the version answers": (PROMOTED, Outcome.PROMOTED, "Serving"),
    "the version answers while old pods drain": (DRAINING, Outcome.PROMOTED, "Serving"),
    "the version would answer at zero replicas": (IDLE, Outcome.PROMOTED, "ScaledToZero"),
    "the version answers and one more pod cannot come up": (
        a_deployment(READY, STALLED, serving=serving(VERSION, NEW)),
        Outcome.PROMOTED,
        "Serving",
    ),
    "the version cannot come up": (
        a_deployment(_not_ready("EngineCrashLooping"), STALLED, serving=serving()),
        Outcome.FAILED,
        "EngineCrashLooping",
    ),
    "pods keep on ending and nothing else serves, so that nobody gives them up": (
        a_deployment(_not_ready("EngineCrashLooping"), STALLED, rollout=_rollout("Provisioning")),
        Outcome.FAILED,
        "EngineCrashLooping",
    ),
    "pods that took over keep on ending": (
        a_deployment(
            _not_ready("EngineCrashLooping"),
            STALLED,
            serving=serving(VERSION, NEW),
            rollout=_rollout("Draining"),
        ),
        Outcome.FAILED,
        "EngineCrashLooping",
    ),
    "pods keep on ending in a pause, in which nobody gives them up": (
        a_deployment(
            _not_ready("EngineCrashLooping"), STALLED, serving=serving(), rollout=_rollout("Paused")
        ),
        Outcome.FAILED,
        "EngineCrashLooping",
    ),
    "an image is missing while another version serves": (
        a_deployment(
            _not_ready("ImagePullFailed"),
            a_condition("Stalled", "True", "ImagePullFailed"),
            serving=serving(),
            rollout=_rollout("Provisioning"),
        ),
        Outcome.FAILED,
        "ImagePullFailed",
    ),
    "it was rolled back": (
        a_deployment(
            _not_ready("RolledBack"), a_condition("Stalled", "True", "RolledBack"), serving=serving()
        ),
        Outcome.FAILED,
        "RolledBack",
    ),
    "it is being deleted": (
        _changed(PROMOTED, deletionTimestamp="2026-01-01T12:00:00Z"),
        Outcome.SUPERSEDED,
        "Terminating",
    ),
    "it is gone": (None, Outcome.SUPERSEDED, "Terminating"),
    "it is another one of the same name": (_changed(PROMOTED, uid="u-2"), Outcome.SUPERSEDED, "Terminating"),
    "the spec asks for another version, which answers": (
        {**PROMOTED, "spec": {"modelVersion": "smollm2-3"}},
        Outcome.SUPERSEDED,
        "Superseded",
    ),
    "the spec asks for another version, and a hold is on it": (
        {**_changed(PROMOTED, annotations=HELD), "spec": {"modelVersion": "smollm2-3"}},
        Outcome.SUPERSEDED,
        "Superseded",
    ),
}


@pytest.mark.parametrize(("deployment", "outcome", "reason"), ENDS.values(), ids=ENDS.keys())
def test_it_ends_when(deployment: dict[str, Any] | None, outcome: Outcome, reason: str) -> None:
    standing = judge(WANTED, deployment)

    assert (standing.outcome, standing.reason) == (outcome, reason)
    assert standing.is_over(failing_for=GRACE_SECONDS)


TIMES = {
    "the step's": (ON_THE_WAY["new pods come up"][0], before(seconds=42)),
    "the failure's": (
        a_deployment(
            _not_ready("EngineCrashLooping"),
            a_condition("Stalled", "True", "EngineCrashLooping", minutes=1),
            rollout=_rollout("Provisioning"),
        ),
        before(minutes=1),
    ),
    "the success's": (DRAINING, READY["lastTransitionTime"]),
    "nobody's, of a spec that was not seen": (_changed(PROMOTED, generation=2), ""),
}


@pytest.mark.parametrize(("deployment", "since"), TIMES.values(), ids=TIMES.keys())
def test_the_time_that_is_told_is(deployment: dict[str, Any], since: str) -> None:
    assert judge(WANTED, deployment).since == since


@pytest.mark.parametrize("outcome", [Outcome.PROMOTED, Outcome.SUPERSEDED, Outcome.AWAITING_PROMOTION])
def test_what_is_no_failure_is_believed_at_once(outcome: Outcome) -> None:
    assert Standing("", "", "", outcome).is_over(failing_for=0)


LASTING = {Reason.INVALID_SPEC, Reason.ENGINE_REFUSED, Reason.PROGRESS_DEADLINE_EXCEEDED, Reason.ROLLED_BACK}


@pytest.mark.parametrize("reason", Reason)
def test_a_failure_is_believed_at_once_only_where_nothing_but_the_spec_heals_it(reason: Reason) -> None:
    standing = Standing(Step.STALLED, str(reason), "", Outcome.FAILED)

    assert standing.is_over(failing_for=0) == (reason in LASTING)
    assert standing.is_over(failing_for=GRACE_SECONDS)


def test_a_reason_that_this_command_does_not_know_is_a_failure_too() -> None:
    standing = Standing(Step.STALLED, "BrandNew", "", Outcome.FAILED)

    assert not standing.is_over(failing_for=GRACE_SECONDS - 1)
    assert standing.is_over(failing_for=GRACE_SECONDS)


def test_the_exit_codes_are_those_of_the_contract() -> None:
    assert {outcome: int(outcome.exit) for outcome in Outcome} == {
        Outcome.PROMOTED: 0,
        Outcome.FAILED: 1,
        Outcome.TIMEOUT: 2,
        Outcome.SUPERSEDED: 3,
        Outcome.AWAITING_PROMOTION: 4,
        Outcome.ERROR: 5,
    }
    assert Exit.INTERRUPTED not in {outcome.exit for outcome in Outcome}
