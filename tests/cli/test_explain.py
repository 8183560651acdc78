"""`explain` says what it waits for, since when, and what unblocks it."""

from __future__ import annotations

from tests.cli.builders import (
    NOW,
    a_condition,
    a_deployment,
    a_model_version,
    a_pod,
    a_view,
    a_waiting_engine,
    a_warning,
    before,
    serving,
)

from sluicegate.api.reasons import Reason
from sluicegate.cli.advice import ADVICE, NOTHING_TO_DO, advice, meaning
from sluicegate.cli.explain import EVENTS_SHOWN, as_json, as_text
from sluicegate.cli.view import Object, View


def _told(view: View, events: tuple[Object, ...] | None = ()) -> list[str]:
    lines = "\n".join(as_text(as_json(view, events), NOW)).splitlines()
    return [" ".join(line.split()) for line in lines]


def test_a_ready_deployment_is_said_to_be_ready_and_nothing_else() -> None:
    ready = a_condition("Ready", "True", "Serving", hours=3, minutes=2)
    view = a_view(a_deployment(ready, serving=serving("smollm2-2"), url="http://chat.demo.svc"))

    assert _told(view)[0] == "chat is ready: smollm2-2 answers at http://chat.demo.svc, for 3h 2m."


def test_what_it_waits_for_since_when_and_what_unblocks_it() -> None:
    message = "container engine: Back-off pulling image"
    view = a_view(
        a_deployment(a_condition("Ready", "False", "ImagePullFailed", message), serving=serving()),
        a_model_version("smollm2-2"),
    )

    assert _told(view)[:5] == [
        "chat is not ready: ImagePullFailed, for 3m 20s.",
        f"Waits for {message}",
        f"Meaning {Reason.IMAGE_PULL_FAILED.meaning}",
        f"Unblocked by {ADVICE[Reason.IMAGE_PULL_FAILED]}",
        "Meanwhile smollm2-1 answers",
    ]


def test_the_condition_that_stopped_it_is_told_rather_than_ready() -> None:
    view = a_view(
        a_deployment(
            a_condition("Ready", "False", "NoReadyReplicas", "no pod is ready"),
            a_condition("Stalled", "True", "EngineRefused", "FP8 needs CUDA"),
        )
    )

    assert "Waits for FP8 needs CUDA" in _told(view)
    assert "Meanwhile nothing answers" in _told(view)


def test_a_stalled_condition_that_is_over_is_not_told() -> None:
    view = a_view(
        a_deployment(
            a_condition("Ready", "False", "Provisioning", "new pods come up"),
            a_condition("Stalled", "False", "EngineRefused", "FP8 needs CUDA"),
        )
    )

    assert "Waits for new pods come up" in _told(view)


def test_a_spec_that_the_operator_has_not_seen_waits_for_the_operator() -> None:
    view = a_view(a_deployment(a_condition("Ready", "True", "Serving"), observed=0))

    assert _told(view)[:2] == [
        "chat waits for the operator, which has not seen its present spec.",
        "Unblocked by a running operator: kubectl get pods -A -l app.kubernetes.io/part-of=sluicegate "
        "shows whether there is one",
    ]


def test_a_deployment_that_is_left_alone_says_how_to_end_that() -> None:
    deployment = a_deployment(a_condition("Ready", "True", "Serving"))
    deployment["metadata"]["annotations"] = {"sluicegate.dev/reconcile": "Disabled"}

    assert _told(a_view(deployment))[:2] == [
        "chat waits for the end of its hold: the annotation sluicegate.dev/reconcile=Disabled stops the "
        "operator.",
        "Unblocked by kubectl annotate -n demo llmd chat sluicegate.dev/reconcile-",
    ]


def test_a_rollout_in_progress_is_told_with_its_step() -> None:
    rollout = {
        "id": "ffffffff",
        "toVersion": "smollm2-2",
        "step": "Draining",
        "stepStartedAt": before(seconds=7),
    }
    view = a_view(a_deployment(a_condition("Ready", "True", "Draining"), serving=serving(), rollout=rollout))

    assert "A rollout to smollm2-2 is in progress: Draining, for 7s." in _told(view)


def test_a_model_version_that_is_missing_or_not_ready_is_named() -> None:
    ready = a_condition("Ready", "False", "ModelVersionNotReady", "not verified")
    missing = a_view(a_deployment(ready))
    mismatch = a_view(
        a_deployment(ready), a_model_version("smollm2-2", "False", "DigestMismatch", "got sha256:00")
    )

    assert "smollm2-2 does not exist - -" in _told(missing)
    assert "smollm2-2 DigestMismatch for 2h 0m got sha256:00" in _told(mismatch)


def test_the_last_words_of_a_container_are_shown_beside_its_pod() -> None:
    engine = a_waiting_engine("ImagePullBackOff", "no such image: x:1")
    view = a_view(
        a_deployment(a_condition("Ready", "False", "ImagePullFailed", "no image")),
        a_model_version("smollm2-2"),
        pods=(a_pod("chat-1", ready=False, **engine),),
    )

    told = _told(view)
    assert "chat-1 engine: ImagePullBackOff age 5m 0s container engine: no such image: x:1" in told


def test_pods_that_the_server_refuses_are_told_though_there_are_none() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}
    replica_set = {"metadata": {"name": "chat-0a1b2c3d"}, "status": {"conditions": [failure]}}
    view = a_view(
        a_deployment(a_condition("Ready", "False", "PodCreationFailed", "no pods")),
        replica_sets=(replica_set,),
    )

    assert "chat-0a1b2c3d PodCreationFailed - violates PodSecurity" in _told(view)


def test_warnings_are_shown_up_to_a_bound_and_normal_events_are_not() -> None:
    warnings = [a_warning("FailedScheduling", f"note {i}", minutes=i) for i in range(1, EVENTS_SHOWN + 3)]
    normal = {**a_warning("Pulled", "pulled"), "type": "Normal"}
    view = a_view(a_deployment(a_condition("Ready", "False", "Unschedulable")))

    told = _told(view, (normal, *warnings))
    assert "1m 0s ago FailedScheduling Pod chat-x note 1" in told
    assert sum("FailedScheduling" in line for line in told) == EVENTS_SHOWN
    assert not any("Pulled" in line for line in told)


def test_events_that_may_not_be_read_are_said_to_be_missing() -> None:
    view = a_view(a_deployment(a_condition("Ready", "False", "Unschedulable")))

    assert _told(view, None)[-2:] == [
        "Warnings",
        "not shown: your role may not list events.k8s.io/events here",
    ]


def test_every_reason_to_wait_says_what_unblocks_it() -> None:
    assert set(ADVICE) | NOTHING_TO_DO == set(Reason)
    assert set(ADVICE) & NOTHING_TO_DO == set()


def test_commands_that_are_advised_name_the_namespace() -> None:
    commands = [text for text in ADVICE.values() if "kubectl" in text]

    assert commands
    assert all("-n NAMESPACE" in text for text in commands)
    assert "-n demo POD" in advice(Reason.ANSWER_FAILED, "demo")


def test_json_tells_the_same_with_times_for_programs() -> None:
    view = a_view(
        a_deployment(
            a_condition("Ready", "False", "Unschedulable", "no room"), serving=serving(), url="http://x"
        ),
        a_model_version("smollm2-2"),
        pods=(a_pod("chat-1", ready=False, phase="Pending"),),
    )

    assert as_json(view, (a_warning("FailedScheduling", "0/1 nodes"),)) == {
        "name": "chat",
        "namespace": "demo",
        "state": "NotReady",
        "since": before(minutes=3, seconds=20),
        "reason": "Unschedulable",
        "waitsFor": "no room",
        "meaning": Reason.UNSCHEDULABLE.meaning,
        "unblockedBy": ADVICE[Reason.UNSCHEDULABLE],
        "serving": serving(),
        "url": "http://x",
        "rollout": None,
        "modelVersions": [{"name": "smollm2-2", "state": "Ready", "since": before(hours=2), "message": ""}],
        "pods": [{"name": "chat-1", "state": "Pending", "createdAt": before(minutes=5), "message": ""}],
        "warnings": [
            {
                "lastSeen": before(minutes=1),
                "reason": "FailedScheduling",
                "object": "Pod chat-x",
                "message": "0/1 nodes",
            }
        ],
    }
    assert as_json(view, None)["warnings"] is None


def test_a_reason_that_this_command_does_not_know_is_no_error() -> None:
    assert (advice("BrandNew"), meaning("BrandNew")) == ("", "")
