"""What users and clusters do to an operator: each workload is a beginning, a change, and an end."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from tests.sim.beginnings import (
    ASKING,
    ASKING_A_WEBHOOK,
    CHAT,
    CHATTING,
    OBSERVED,
    REMEMBERING,
    TRYING,
    V1,
    V2,
    Begin,
    a_cluster_with,
    in_place,
    on_whole_nodes,
    with_a_place_for_one_more,
)
from tests.sim.changes import (
    Change,
    a_bad_version,
    a_bad_version_that_has_failed,
    a_correction,
    a_pod_ends_that_has_changed,
    a_third_version_while_pods_change,
    a_version_that_answers_otherwise,
    a_version_that_crashes_under_load,
    a_version_that_its_job_refuses,
    a_version_that_its_webhook_refuses,
    a_version_that_pods_cannot_change_to,
    a_version_that_pods_go_back_from,
    a_worse_version,
    add_to_what_is_ours,
    another_engine,
    another_try,
    another_version,
    another_version_of_both,
    another_version_that_somebody_aborts,
    another_version_that_somebody_promotes,
    apply_everything,
    delete_everything,
    evict_a_pod,
    fewer_replicas,
    lose_a_node,
    lose_a_pod,
    lose_the_new_pods_in_the_overlap,
    more_and_later_fewer_replicas,
    more_replicas,
    no_change,
    run_out_of_memory,
    the_good_version_again,
    there_and_back,
    there_and_later_back,
)
from tests.sim.ends import (
    TWO,
    Reached,
    all_gone,
    both_serve,
    changed_back,
    nothing,
    nothing_added,
    rolled_back,
    serves,
)


@dataclass(frozen=True)
class Workload:
    """`given` makes the objects and `settled` says when the beginning is reached; then comes the change.

    `before` is what happens between the two, without faults. `outage_seconds` is for how long requests may
    fail: for as long as what is lost was all there was.
    """

    name: str
    given: Begin
    settled: Reached
    when: Change
    then: Reached
    _: KW_ONLY
    outage_seconds: float = 0.0
    seconds: float = 60.0
    before: Change = no_change


def _chatting(name: str, change: Change, end: Reached, **limits: Any) -> Workload:
    return Workload(name, CHATTING, TWO, change, end, **limits)


def _remembering(name: str, change: Change, end: Reached) -> Workload:
    return Workload(name, REMEMBERING, TWO, change, end, seconds=90)


def _tried(name: str, change: Change, end: Reached) -> Workload:
    """A Job has to let each version pass."""
    return Workload(name, TRYING, TWO, change, end, seconds=90)


def _observed(name: str, change: Change, end: Reached, **limits: Any) -> Workload:
    return Workload(name, OBSERVED, TWO, change, end, **limits)


def _full(name: str, change: Change, end: Reached, **rollout: Any) -> Workload:
    """Nobody answers until the new pods do, or the old ones again: as long as nothing is heard of them."""
    given = a_cluster_with(V1, V2, on_whole_nodes(**rollout))
    return Workload(name, given, TWO, change, end, outage_seconds=900, seconds=180)


def _in_place(name: str, change: Change, end: Reached, **limits: Any) -> Workload:
    return Workload(name, in_place, TWO, change, end, **limits)


def _failed(name: str, change: Change, version: str) -> Workload:
    """What is done about a version that has failed; another one serves in the end, or the same."""
    before = a_bad_version_that_has_failed
    return Workload(name, CHATTING, TWO, change, serves(version, 2), before=before)


WORKLOADS = {
    each.name: each
    for each in (
        Workload("create", a_cluster_with(), nothing, apply_everything, TWO),
        _chatting("scale-up", more_replicas, serves("v1", 3)),
        _chatting("scale-down", fewer_replicas, serves("v1", 1)),
        _chatting("engine-change", another_engine, TWO),
        _observed("version-change", another_version, serves("v2", 2)),
        _chatting("there-and-back", there_and_back, TWO),
        Workload(
            "manual-promotion",
            ASKING,
            TWO,
            another_version_that_somebody_promotes,
            serves("v2", 2),
            seconds=90,
        ),
        _chatting("rolled-back", a_bad_version, rolled_back, seconds=180),
        _observed("regression-observed", a_worse_version, rolled_back, seconds=90),
        _observed(
            "crash-after-cutover",
            a_version_that_crashes_under_load,
            rolled_back,
            outage_seconds=2,
            seconds=180,
        ),
        _full("swap", another_version, serves("v2", 2), strategy="Swap"),
        _full("swap-restored", a_bad_version, rolled_back, strategy="Swap"),
        _full("surge-then-swap", another_version, serves("v2", 2), capacity="SurgeThenSwap"),
        _in_place("hot-reload", another_version, serves("v2", 2)),
        _in_place(
            "hot-reload-in-new-pods", a_version_that_pods_cannot_change_to, serves("v2", 2), seconds=90
        ),
        _in_place("hot-reload-rolled-back", a_version_that_pods_go_back_from, changed_back),
        _in_place("hot-reload-regression", a_worse_version, changed_back, seconds=90),
        _in_place(
            "hot-reload-crash",
            a_pod_ends_that_has_changed,
            serves("v2", 2),
            outage_seconds=2,
            seconds=120,
        ),
        _in_place("hot-reload-superseded", a_third_version_while_pods_change, serves("v3", 2), seconds=90),
        Workload(
            "one-place-for-two",
            with_a_place_for_one_more,
            both_serve("v1"),
            another_version_of_both,
            both_serve("v2"),
            seconds=120,
        ),
        _chatting("aborted", another_version_that_somebody_aborts, rolled_back, seconds=120),
        _failed("bad-version", the_good_version_again, "v1"),
        _remembering("golden-answer", another_version, serves("v2", 2)),
        _remembering("wrong-golden-answer", a_version_that_answers_otherwise, rolled_back),
        _tried("job-passes", another_version, serves("v2", 2)),
        _tried("job-fails", a_version_that_its_job_refuses, rolled_back),
        Workload("webhook-agrees", ASKING_A_WEBHOOK, TWO, another_version, serves("v2", 2)),
        Workload("webhook-refuses", ASKING_A_WEBHOOK, TWO, a_version_that_its_webhook_refuses, rolled_back),
        _failed("retried", another_try, "v2"),
        _failed("corrected", a_correction, "v2"),
        _chatting("pod-loss", lose_a_pod, TWO, outage_seconds=2),
        _chatting("eviction", evict_a_pod, TWO, outage_seconds=2),
        _chatting("out-of-memory", run_out_of_memory, TWO, outage_seconds=2),
        _chatting("node-loss", lose_a_node, TWO, outage_seconds=600, seconds=900),
        Workload("delete", a_cluster_with(V1, CHAT), TWO, delete_everything, all_gone),
    )
}
"""By name, those that every class of faults goes through."""
VARIANTS = (
    "there-and-back",
    "bad-version",
    "rolled-back",
    "manual-promotion",
    "regression-observed",
    "crash-after-cutover",
    "swap",
    "swap-restored",
    "surge-then-swap",
    "hot-reload-in-new-pods",
    "hot-reload-rolled-back",
    "hot-reload-regression",
    "hot-reload-crash",
    "hot-reload-superseded",
    "one-place-for-two",
    "aborted",
    "golden-answer",
    "wrong-golden-answer",
    "job-passes",
    "job-fails",
    "webhook-agrees",
    "webhook-refuses",
    "retried",
    "corrected",
    "eviction",
    "out-of-memory",
)
"""Those that ask for much the same as others do."""
OTHERS = {
    each.name: each
    for each in (
        _chatting("scaled-twice", more_and_later_fewer_replicas, serves("v1", 1), seconds=120),
        _chatting("there-and-later-back", there_and_later_back, TWO, seconds=120),
        _chatting("added-to", add_to_what_is_ours, nothing_added),
        _chatting("lost-in-the-overlap", lose_the_new_pods_in_the_overlap, serves("v2", 2), seconds=120),
    )
}
"""By name, those that are for one class of faults; so are deletions.py's."""
