"""What becomes of a version at the moment at which the time of its observation is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.builders import STARTING
from tests.core import invariants
from tests.core.cluster import Cluster
from tests.core.failures import CRASHED
from tests.core.observing import SECONDS, observing

from sluicegate.core import naming
from sluicegate.core.objects import annotation


def at_the_end(replicas: int = 1) -> Cluster:
    """The moment at which the time of v2 is over; all pods were heard meanwhile, and the Service answered."""
    cluster = observing(replicas)
    cluster.pass_time(seconds=5)
    cluster.reconcile()
    since = datetime.fromisoformat(annotation(cluster.service, naming.EXPOSED_SINCE) or "")
    cluster.now = since + timedelta(seconds=SECONDS)
    return cluster


def decided(cluster: Cluster) -> str | None:
    """What becomes of v2 in one pass."""
    record = naming.colour_name("chat", cluster.rollout_of("v2"))
    cluster.reconcile()
    return invariants.outcome(cluster.one("ControllerRevision", record))


def test_it_is_promoted_at_the_moment_at_which_its_time_is_over() -> None:
    cluster = at_the_end()
    cluster.pass_time(milliseconds=-1)
    assert decided(cluster) is None
    cluster.pass_time(milliseconds=1)
    assert decided(cluster) == "Promoted"


def test_two_without_ready_pods_wait_for_each_other_until_the_time_is_over() -> None:
    cluster = at_the_end()
    cluster.trouble = {"v1": STARTING, "v2": STARTING}
    cluster.run_pods()
    cluster.pass_time(seconds=-8)
    assert decided(cluster) is None
    assert cluster.plan().requeue_after == timedelta(seconds=8)
    cluster.pass_time(seconds=8)
    assert decided(cluster) == "RolledBack"


def test_answers_that_fail_end_it_when_its_time_is_over_and_not_before() -> None:
    cluster = at_the_end()
    cluster.lies["v2"] = "!HTTP 500"
    cluster.answers.clear()
    cluster.pass_time(seconds=-2)
    assert decided(cluster) is None
    cluster.pass_time(seconds=1)
    assert decided(cluster) is None
    cluster.pass_time(seconds=1)
    assert decided(cluster) == "RolledBack"


def test_a_pod_that_crashed_once_beside_another_that_answers_ends_nothing() -> None:
    cluster = at_the_end(replicas=2)
    cluster.set_pod(cluster.pods(cluster.rollout_of("v2"))[0], CRASHED)
    cluster.pass_time(seconds=-1)
    assert decided(cluster) is None
    cluster.pass_time(seconds=1)
    assert decided(cluster) == "Promoted"


@pytest.mark.parametrize("wanted", ["v2", "v3"])
def test_only_what_the_spec_asks_for_waits_for_an_answer_through_the_service(wanted: str) -> None:
    cluster = at_the_end()
    cluster.edit(modelVersion=wanted)
    cluster.answers.clear()
    assert decided(cluster) == (None if wanted == "v2" else "Promoted")
    assert decided(cluster) == "Promoted"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_a_pod_measured_counts_from_the_move_of_the_service_on(version: str) -> None:
    cluster = at_the_end()
    pod = cluster.pods(cluster.rollout_of(version))[0]["metadata"]["uid"]
    moved = cluster.now - timedelta(seconds=SECONDS)
    heard = cluster.runtimes.pop(pod)
    for at, end in ((None, None), (moved - timedelta(milliseconds=1), None), (moved, "Promoted")):
        told = cluster.fork()
        if at is not None:
            told.runtimes[pod] = replace(heard, at=at)
        assert decided(told) == end
