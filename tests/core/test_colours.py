"""Colours put together from whatever of their objects is left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.builders import DEFAULTS, ADeployment, a_pod

from sluicegate.api.v1alpha1.llmdeployment import Ending, LLMDeployment, Outcome
from sluicegate.core import naming
from sluicegate.core.children import revision
from sluicegate.core.colours import Colour, Content, Record, Reload, colours
from sluicegate.core.observed import SeenDeployment
from sluicegate.core.reading import read
from sluicegate.core.world import promoted_last

A, B, C = "aaaaaaaa", "bbbbbbbb", "cccccccc"
POINTER = {"version": "v1", "digest": "sha256:00", "source": {"uri": "pvc://weights/v1"}}
TEMPLATE = {"spec": {"containers": []}}
EARLY, LATE = "2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z"


def an_object(name: str, created: str | None = None, **body: Any) -> dict[str, Any]:
    times = {"creationTimestamp": created} if created else {}
    return {"metadata": {"name": name, **times}, **body}


def a_revision(rollout: str, created: str | None = None, **data: Any) -> dict[str, Any]:
    return an_object(f"chat-{rollout}", created, data=data)


def a_pointer(rollout: str, created: str | None = None, text: str = "{}") -> dict[str, Any]:
    return an_object(f"chat-{rollout}-model", created, data={"pointer.json": text})


def a_set(rollout: str, created: str | None = None) -> dict[str, Any]:
    return an_object(f"chat-{rollout}", created, spec={"template": TEMPLATE})


def seen(**objects: Any) -> dict[str, Colour]:
    return colours(SeenDeployment(ADeployment().build(), DEFAULTS, **objects))


def test_a_colour_is_what_its_record_says_whatever_the_rest_has_become() -> None:
    found = seen(
        revisions=(a_revision(A, target="x.y", template=TEMPLATE, pointer=POINTER),),
        config_maps=(a_pointer(A, text="spoilt"),),
        replica_sets=(a_set(A),),
    )[A]
    assert (found.record.target, found.record.template) == ("x.y", TEMPLATE)
    assert (found.version, found.digest) == ("v1", "sha256:00")


def test_a_colour_without_its_record_is_what_the_rest_still_says() -> None:
    replica_set = a_set(A)
    replica_set["metadata"]["labels"] = {naming.TARGET: "x.y"}
    found = seen(config_maps=(a_pointer(A, text=json.dumps(POINTER)),), replica_sets=(replica_set,))[A]
    assert (found.record.target, found.record.template) == ("x.y", TEMPLATE)
    assert (found.version, found.digest) == ("v1", "sha256:00")


@pytest.mark.parametrize(
    "objects",
    [
        {"revisions": (a_revision(A),)},
        {"replica_sets": (a_set(A),)},
        {"config_maps": (a_pointer(A),)},
        {"pods": (a_pod("p", rollout=A),)},
    ],
    ids=["a record", "a ReplicaSet", "a pointer", "a pod"],
)
def test_a_colour_of_which_only_one_object_says_nothing_has_no_target_and_no_version(objects: Any) -> None:
    (found,) = seen(**objects).values()
    assert found.id == A
    assert (found.record.target, found.version, found.digest) == ("", "", "")


AGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "by the record": (
        {
            "revisions": (a_revision(B, EARLY), a_revision(A, LATE)),
            "replica_sets": (a_set(B, LATE), a_set(A, EARLY)),
        },
        [B, A],
    ),
    "by the ReplicaSet where the record is lost": (
        {
            "replica_sets": (a_set(B, EARLY), a_set(A, LATE)),
            "config_maps": (a_pointer(B, LATE), a_pointer(A, EARLY)),
        },
        [B, A],
    ),
    "by the pointer where nothing else is left": (
        {"config_maps": (a_pointer(B, EARLY), a_pointer(A, LATE))},
        [B, A],
    ),
    "by name where they are equally old": (
        {"revisions": (a_revision(B, EARLY), a_revision(A, EARLY))},
        [A, B],
    ),
    "pods of nobody last": (
        {"pods": (a_pod("p", rollout=A),), "revisions": (a_revision(C, LATE), a_revision(B))},
        [B, C, A],
    ),
}


@pytest.mark.parametrize(("objects", "order"), AGES.values(), ids=AGES)
def test_colours_come_oldest_first(objects: dict[str, Any], order: list[str]) -> None:
    assert list(seen(**objects)) == order


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        ({"phase": "Running"}, True),
        (None, True),
        ({"phase": "Failed"}, False),
        ({"phase": "Succeeded"}, False),
    ],
)
def test_a_pod_that_has_ended_for_good_is_only_a_record(status: Any, counted: bool) -> None:
    pod = {**a_pod("p", rollout=A), "status": status}
    assert bool(seen(pods=(pod,))) == counted


NEW, OLD = {**POINTER, "version": "v2", "sequence": 3}, {**POINTER, "sequence": 2}
WHY_NOT = "ConfigDiffers: config.json"
ENDING = Ending(
    outcome=Outcome.ROLLED_BACK,
    reason="CrashLoop",
    message="it crashed",
    finished_at="2026-01-01T12:00:00Z",
)
RECORDS = {
    "a colour": Record("x.y", TEMPLATE, POINTER, spec={"modelVersion": "v1"}),
    "a colour of whose spec nothing is on record": Record("x.y", TEMPLATE, POINTER),
    "a colour whose rollout is over": Record("x.y", TEMPLATE, POINTER, ending=ENDING),
    "a failure that stands in nobody's way": Record("x.y", TEMPLATE, POINTER, ending=ENDING, settled=True),
    "what gates made of it": Record("x.y", TEMPLATE, POINTER, verification="golden; job"),
    "one that swaps": Record("x.y", TEMPLATE, POINTER, swaps=True),
    "pods that serve something else since": Record(
        "x.z", TEMPLATE, NEW, made=Content("x.y", POINTER), rollout=B, since="2026-01-01T12:00:00.000Z"
    ),
    "pods that serve the old content again": Record(
        "x.y", TEMPLATE, OLD, made=Content("x.y", POINTER), since="2026-01-01T12:00:00.000Z"
    ),
    "a rollout into pods": Record("x.z", {}, NEW, reload=Reload(B, Content("x.y", OLD, C))),
    "one that does not come so after all": Record(
        "x.z", {}, NEW, reload=Reload(B, Content("x.y", OLD)), not_in_place=WHY_NOT
    ),
}


def stored(record: Record, *ours: str) -> dict[str, Any]:
    """The record as the informer keeps it, with the annotations that are ours."""
    made = revision(read(LLMDeployment, ADeployment().build()), A, record)
    fields = {"f:metadata": {"f:annotations": {f"f:{key}": {} for key in ours}}}
    return {**made, "owned": {"ours": (json.dumps(fields),), "foreign": ()}}


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_what_is_put_on_record_is_read_again(record: Record) -> None:
    kept = stored(record)
    found = seen(revisions=(stored(record, *kept["metadata"]["annotations"]),))[A]

    assert found.record == record
    assert found.record.in_place == (record.reload is not None and not record.not_in_place)
    assert found.made_version == ("v1" if record.made else found.version)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_what_somebody_else_notes_on_a_record_says_nothing(record: Record) -> None:
    found = seen(revisions=(stored(record),))[A].record

    made = record.made or record.content
    assert found == Record(made.target, record.template, made.pointer, record.spec, reload=record.reload)


def test_the_last_to_be_promoted_is_the_one_with_pods_of_its_own_that_was_promoted_last() -> None:
    def a_colour(id: str, outcome: Outcome | None, at: str = "", reload: Reload | None = None) -> Colour:
        ending = Ending(outcome=outcome, reason=str(outcome), finished_at=at) if outcome else None
        return Colour(id, Record("x.y", TEMPLATE, {}, ending=ending, reload=reload), None, None, None, ())

    last = a_colour(A, Outcome.PROMOTED, LATE)
    found = (
        a_colour("dddddddd", None),
        a_colour(C, Outcome.PROMOTED, EARLY),
        last,
        a_colour(B, Outcome.ROLLED_BACK, "2026-01-01T12:00:02Z"),
        a_colour(B, Outcome.PROMOTED, "2026-01-01T12:00:03Z", Reload(A, Content("x.z", {}))),
    )
    assert promoted_last(found) is last


@pytest.mark.parametrize(
    "rest",
    [
        {"replica_sets": (a_set(A),)},
        {"config_maps": (a_pointer(A),)},
        {"jobs": (an_object(f"chat-{A}-job"),)},
        {"pods": (a_pod("p", rollout=A),)},
        {},
    ],
    ids=["a ReplicaSet", "a pointer", "a Job", "a pod", "nothing"],
)
def test_a_rollout_is_over_when_nothing_is_left_but_how_it_ended(rest: Any) -> None:
    ended = stored(RECORDS["a colour whose rollout is over"], naming.OUTCOME)

    assert seen(revisions=(ended,), **rest)[A].over == (not rest)
    assert not seen(revisions=(stored(RECORDS["a colour"]),))[A].over
