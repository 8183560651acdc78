"""Why a pod is not ready, from its status alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import a_pod, ended, waiting
from tests.core.troubles import TROUBLES

from sluicegate.api.reasons import Reason
from sluicegate.core.diagnosis import diagnose
from sluicegate.core.problem import Problem


def problem_of(status: Mapping[str, Any] | None) -> Problem | None:
    return diagnose(None, [{**a_pod("a"), "status": status}])


@pytest.mark.parametrize(("status", "reason", "words", "stalled"), TROUBLES.values(), ids=TROUBLES)
def test_a_trouble_is_told(status: Mapping[str, Any], reason: str, words: str, stalled: bool) -> None:
    found = problem_of(status)
    if reason == Reason.PROVISIONING:
        assert found is None
    else:
        assert found is not None
        assert (found.reason, found.stalled) == (reason, stalled)
        assert words in found.message


def crash(**container: Any) -> dict[str, Any]:
    """Status of a pod whose engine ended, with only these fields."""
    return {"containerStatuses": [{"name": "engine", **container}]}


LITTLE: dict[str, tuple[Mapping[str, Any] | None, str | None]] = {
    "no status": (None, None),
    "a scheduled pod": ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, None),
    "containers of which nothing is known": (crash(), None),
    "a container without a state": (crash(state=None, lastState=None), None),
    "an end without an exit code": (crash(state={"terminated": {"reason": "Completed"}}), None),
    "a good end before": (crash(state={"running": {}}, lastState={"terminated": {"exitCode": 0}}), None),
    "an end without words": (
        crash(state={"terminated": {"exitCode": 3}}),
        "the engine ended with exit code 3",
    ),
    "a store's end without words": (
        {"initContainerStatuses": [{"name": "store", "state": {"terminated": {"exitCode": 3}}}]},
        "the store ended with exit code 3",
    ),
    "a pod that no node takes, without a word": (
        {"conditions": [{"type": "PodScheduled", "status": "False"}]},
        "",
    ),
    "a container that waits without a name": (
        {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
        "container : ErrImagePull",
    ),
}


@pytest.mark.parametrize(("status", "said"), LITTLE.values(), ids=LITTLE)
def test_however_little_is_said_of_a_pod_it_is_read(
    status: Mapping[str, Any] | None, said: str | None
) -> None:
    found = problem_of(status)
    assert (found.message if found else None) == said


@pytest.mark.parametrize(
    ("message", "said"), [("no quota", "no quota"), (None, "")], ids=["with words", "without words"]
)
def test_pods_that_cannot_be_made_are_told_before_all_others(message: str | None, said: str) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", **({"message": message} if message else {})}
    found = diagnose({"status": {"conditions": [failure]}}, [a_pod("a", **waiting("ErrImagePull"))])
    assert found == Problem(Reason.POD_CREATION_FAILED, said)


TEN_MINUTES = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("status", "stalled"),
    [
        (ended(restarts=1), False),
        (ended(restarts=2), True),
        (ended(restarts=2, lived=TEN_MINUTES - timedelta(seconds=1)), True),
        (ended(restarts=2, lived=TEN_MINUTES), False),
        (ended(restarts=2, lived=TEN_MINUTES, backing_off=True), True),
        (crash(lastState={"terminated": {"exitCode": 1}}), False),
        (
            crash(
                restartCount=2, lastState={"terminated": {"exitCode": 1, "startedAt": "2026-01-01T12:00:00Z"}}
            ),
            True,
        ),
        (
            crash(
                restartCount=2,
                lastState={"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T12:00:00Z"}},
            ),
            True,
        ),
    ],
    ids=[
        "once",
        "twice",
        "after less than ten minutes",
        "after ten minutes",
        "while the kubelet backs off",
        "nobody knows how often",
        "nobody knows until when",
        "nobody knows since when",
    ],
)
def test_an_engine_that_ended_is_stalled_when_it_goes_on_like_that(
    status: Mapping[str, Any], stalled: bool
) -> None:
    found = problem_of(status)
    assert found is not None
    assert found.stalled == stalled


@pytest.mark.parametrize(
    ("waits", "reason"),
    [
        ("ErrImagePull", Reason.IMAGE_PULL_FAILED),
        ("ImagePullBackOff", Reason.IMAGE_PULL_FAILED),
        ("InvalidImageName", Reason.IMAGE_PULL_FAILED),
        ("ErrImageNeverPull", Reason.IMAGE_PULL_FAILED),
        ("CreateContainerConfigError", Reason.POD_CONFIGURATION_FAILED),
        ("CreateContainerError", Reason.POD_CONFIGURATION_FAILED),
        ("RunContainerError", Reason.POD_CONFIGURATION_FAILED),
        ("ContainerCreating", None),
        ("PodInitializing", None),
    ],
)
def test_a_container_that_waits_is_told_by_what_for(waits: str, reason: Reason | None) -> None:
    found = problem_of(waiting(waits))
    assert (found.reason if found else None) == reason


@pytest.mark.parametrize(
    ("status", "final"),
    [
        (ended(restarts=2), False),
        (ended(restarts=3), True),
        (ended(restarts=3, container="store"), False),
    ],
    ids=["three ends", "four ends", "the store's, whose source may answer again"],
)
def test_an_engine_that_ended_four_times_in_a_row_is_without_hope(
    status: Mapping[str, Any], final: bool
) -> None:
    found = problem_of(status)
    assert found is not None
    assert found.final == final
