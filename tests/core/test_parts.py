"""The small parts of decisions, each by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.builders import NOW, READY, a_node, a_pod, ended, waiting

from sluicegate.api.meta import Condition
from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.core import naming, objects
from sluicegate.core.conditions import Verdict, conditions, shortened, timestamp
from sluicegate.core.diagnosis import diagnose, last_words
from sluicegate.core.exposure import Exposure, exposed_now, exposure
from sluicegate.core.objects import Ref, annotation, condition, controller_uid, labels, overdue, ref
from sluicegate.core.placement import allocatable, impossible_placement
from sluicegate.core.plan import Apply, Create, Delete, Replace, SetFinalizers, written

COLOURS = ("aaaaaaaa", "bbbbbbbb")
PAST = "2026-01-01T11:59:00.250+00:00"


def noted(exposes: str | None, since: str | None = PAST) -> dict[str, Any]:
    notes = {naming.EXPOSES: exposes, naming.EXPOSED_SINCE: since}
    kept = {key: value for key, value in notes.items() if value is not None}
    fields = {"f:metadata": {"f:annotations": {f"f:{key}": {} for key in kept}}}
    owned = {"ours": [json.dumps(fields)], "foreign": []}
    return {"metadata": {"name": "chat", "annotations": kept}, "owned": owned}


def edited(exposes: str) -> dict[str, Any]:
    """Somebody else wrote the note."""
    return {**noted(exposes), "owned": {"ours": ["{}"], "foreign": []}}


EXPOSURES: dict[str, tuple[Any, Any, str | None, Exposure]] = {
    "as noted": (noted("aaaaaaaa"), None, None, Exposure("aaaaaaaa", PAST)),
    "an overlap": (noted("all"), noted("aaaaaaaa"), "aaaaaaaa", Exposure("all", PAST)),
    "nothing yet": (noted("none"), None, "aaaaaaaa", Exposure("none", PAST)),
    "no time": (noted("aaaaaaaa", None), None, None, exposed_now("aaaaaaaa", NOW)),
    "no sensible time": (noted("aaaaaaaa", "soon"), None, None, exposed_now("aaaaaaaa", NOW)),
    "a time to come": (
        noted("aaaaaaaa", "2027-01-01T00:00:00+00:00"),
        None,
        None,
        exposed_now("aaaaaaaa", NOW),
    ),
    "a time without a zone": (
        noted("aaaaaaaa", "2025-01-01T00:00:00"),
        None,
        None,
        exposed_now("aaaaaaaa", NOW),
    ),
    "a colour that is gone": (noted("cccccccc"), None, "bbbbbbbb", exposed_now("bbbbbbbb", NOW)),
    "a note of somebody else": (edited("bbbbbbbb"), None, "aaaaaaaa", exposed_now("aaaaaaaa", NOW)),
    "a budget of somebody else": (None, edited("bbbbbbbb"), "aaaaaaaa", exposed_now("aaaaaaaa", NOW)),
    "no note": (noted(None), noted("aaaaaaaa"), "bbbbbbbb", exposed_now("aaaaaaaa", NOW)),
    "no Service": (None, noted("aaaaaaaa"), "bbbbbbbb", exposed_now("aaaaaaaa", NOW)),
    "no Service, a spoilt budget": (None, noted("cccccccc"), "bbbbbbbb", exposed_now("bbbbbbbb", NOW)),
    "status alone": (None, None, "bbbbbbbb", exposed_now("bbbbbbbb", NOW)),
    "a status of long ago": (None, None, "cccccccc", exposed_now("none", NOW)),
    "nothing at all": (None, None, None, exposed_now("none", NOW)),
}


@pytest.mark.parametrize(("service", "budget", "served", "expected"), EXPOSURES.values(), ids=EXPOSURES)
def test_the_exposure_is_known_from(
    service: Any, budget: Any, served: str | None, expected: Exposure
) -> None:
    assert exposure(service, budget, served, None, COLOURS, NOW) == expected


def test_of_a_service_budget_and_status_that_are_all_lost_what_was_promoted_last_is_exposed() -> None:
    assert exposure(None, None, None, next(iter(COLOURS)), COLOURS, NOW).rollout == next(iter(COLOURS))


def test_an_exposure_ages_by_milliseconds() -> None:
    moment = datetime(2026, 1, 1, 12, 0, 0, 950_000, tzinfo=UTC)
    assert exposed_now("all", moment).age(moment + timedelta(seconds=1)) == timedelta(seconds=1)
    assert exposed_now("all", moment).overlap
    assert not exposed_now("none", moment).overlap


def test_diagnosis_skips_pods_that_are_ready_or_leaving() -> None:
    leaving = a_pod("b", **waiting("ErrImagePull"))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    ready = a_pod("a", **{**waiting("ErrImagePull"), **READY})
    assert diagnose(None, [ready, leaving]) is None
    broken = a_pod("c", **waiting("ErrImagePull"))
    found = diagnose({"status": {}}, [ready, leaving, broken])
    assert found is not None
    assert found.reason is Reason.IMAGE_PULL_FAILED


def test_the_store_is_blamed_before_the_engine_that_waits_for_it() -> None:
    pod = a_pod("a", **{**ended("gone", restarts=2), **ended("no space", container="store")})
    found = diagnose(None, [pod])
    assert found is not None
    assert (found.reason, found.message) == (Reason.STORE_FAILED, "no space")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('{"error": {"reason": "UnsafePath", "message": "../x"}}', "UnsafePath: ../x"),
        ('{"error": {"reason": "UnsafePath"}}', '{"error": {"reason": "UnsafePath"}}'),
        ('{"error": "plain"}', '{"error": "plain"}'),
        ('{"note": "requests were taken"}', ""),
        ("7", "7"),
        ('["x"]', '["x"]'),
        ("  CUDA error\n", "CUDA error"),
        ("", ""),
    ],
)
def test_last_words_are_a_json_errors_or_as_they_are(message: str, words: str) -> None:
    assert last_words(message) == words


def wants(count: int, **spec: Any) -> LLMDeploymentSpec:
    return LLMDeploymentSpec.model_validate(
        {"modelVersion": "v1", "engine": {"parallelism": {"tensor": count}}, **spec}
    )


@pytest.mark.parametrize(
    ("count", "nodes", "fits"),
    [
        (2, [], True),
        (2, [a_node("a", nvidia_com__gpu="2")], True),
        (2, [a_node("a", nvidia_com__gpu="1"), a_node("b", nvidia_com__gpu="1")], False),
        (2, [a_node("a", nvidia_com__gpu="1"), a_node("b", nvidia_com__gpu="8")], True),
        (2, [a_node("a")], False),
        (2, [a_node("a", nvidia_com__gpu="1k")], True),
        (2, [a_node("a", nvidia_com__gpu="many")], False),
        (2, [{"metadata": {"name": "bare"}}], False),
        (1, [a_node("a")], False),
        (1, [a_node("a", nvidia_com__gpu="many")], False),
    ],
)
def test_a_replica_fits_on_a_node_that_has_as_many(count: int, nodes: list[Any], fits: bool) -> None:
    assert (impossible_placement(wants(count), nodes) is None) == fits


def test_a_thousand_may_be_written_in_short() -> None:
    assert allocatable(a_node("a", nvidia_com__gpu="2k"), "nvidia.com/gpu") == 2000


def test_a_replica_without_accelerators_fits_anywhere() -> None:
    spec = LLMDeploymentSpec.model_validate({"modelVersion": "v1", "engine": {"device": "CPU"}})
    assert impossible_placement(spec, [a_node("a")]) is None


BEFORE = Condition(
    type="Ready",
    status="True",
    reason="Serving",
    observed_generation=1,
    last_transition_time="2025-01-01T00:00:00Z",
)


@pytest.mark.parametrize(
    ("status", "shown", "since"),
    [
        (True, "True", "2025-01-01T00:00:00Z"),
        (False, "False", "2026-01-01T12:00:00Z"),
    ],
)
def test_a_transition_time_is_that_of_the_last_change(status: bool, shown: str, since: str) -> None:
    (found,) = conditions([Verdict("Ready", status, Reason.SERVING)], [BEFORE], 7, NOW)
    assert (found["status"], found["lastTransitionTime"], found["observedGeneration"]) == (shown, since, 7)


def test_a_condition_that_is_new_begins_now() -> None:
    (found,) = conditions([Verdict("Stalled", True, Reason.IN_USE)], [BEFORE], 1, NOW)
    assert (found["lastTransitionTime"], found["message"]) == (timestamp(NOW), "")


@pytest.mark.parametrize("text", ["", "short", "x" * 1024, "x" * 1025, "ä" * 900, "x" + "€" * 600])
def test_a_message_is_cut_by_bytes_at_a_whole_letter(text: str) -> None:
    cut = shortened(text)
    assert len(cut.encode()) <= 1024
    assert cut == text if len(text.encode()) <= 1024 else cut.endswith("...")
    assert text.startswith(cut.removesuffix("..."))


def test_a_message_that_is_cut_fills_its_bound() -> None:
    assert shortened("x" * 2000) == "x" * 1021 + "..."


def test_timestamps_are_in_the_form_of_kubernetes() -> None:
    assert timestamp(NOW) == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(
    ("name", "rollout"),
    [
        ("chat-0a1b2c3d", "0a1b2c3d"),
        ("chat-0a1b2c3d-model", "0a1b2c3d"),
        ("chat-0a1b2c3g", None),
        ("chat-preview", None),
        ("chat", None),
        ("chatt-0a1b2c3d", None),
        ("my-chat-0a1b2c3d", None),
        ("chat-0a1b2c3d-other", None),
    ],
)
def test_the_rollout_is_read_from_the_name(name: str, rollout: str | None) -> None:
    assert naming.rollout_in(name, "chat") == rollout


def test_made_names_are_read_back_even_of_the_longest_deployment() -> None:
    deployment = "m" * 50
    for name in (
        naming.colour_name(deployment, "0a1b2c3d"),
        naming.pointer_name(deployment, "0a1b2c3d"),
    ):
        assert naming.rollout_in(name, deployment) == "0a1b2c3d"


def test_a_colour_has_another_identity_for_each_target_and_generation() -> None:
    ids = {naming.rollout_id(target, generation) for target in ("a", "b") for generation in range(50)}
    assert len(ids) == 100


def test_objects_are_read_however_little_they_hold() -> None:
    bare = {"metadata": {"name": "x", "ownerReferences": [{"uid": "1"}]}}
    assert controller_uid(bare) is None
    assert controller_uid({"metadata": {"ownerReferences": [{"uid": "1", "controller": True}]}}) == "1"
    assert controller_uid({"metadata": {"name": "x"}}) is None
    assert annotation(bare, "x") is None
    assert labels(bare) == {}
    assert ref({"apiVersion": "v1", "kind": "Node", **bare}) == Ref("v1", "Node", "", "x")
    assert condition({"status": {"conditions": [{"type": "B"}]}}, "A") is None
    assert str(Ref("v1", "Node", "", "n")) == "Node n"
    assert str(Ref("v1", "Pod", "ns", "p")) == "Pod ns/p"


@pytest.mark.parametrize(
    ("until", "late"),
    [
        (None, False),
        ("2026-01-01T11:59:59Z", True),
        ("2026-01-01T12:00:00Z", False),
        ("2026-01-01T12:00:01Z", False),
    ],
)
def test_a_deletion_is_overdue_once_its_time_has_passed(until: str | None, late: bool) -> None:
    assert overdue({"metadata": {"deletionTimestamp": until}}, NOW) == late
    assert not overdue({"metadata": {}}, NOW)


def test_what_is_overdue_by_then_is_looked_at_a_second_later() -> None:
    leaving = {"metadata": {"deletionTimestamp": timestamp(NOW + timedelta(seconds=30))}}
    (wait,) = objects.until_overdue([{"metadata": {}}, leaving], NOW)
    assert wait == timedelta(seconds=31)
    assert overdue(leaving, NOW + wait)


def test_what_a_write_is_about_is_told_by_its_manifest_or_its_reference() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "models", "name": "chat"}}
    where = Ref("v1", "Service", "models", "chat")
    writes = (
        Create(service, "wanted"),
        Apply(service, "uid", "7", "edited"),
        Replace(service, "uid", "7", "added to"),
        Delete(where, "uid", "7", "retired"),
        SetFinalizers(where, (), "uid", "7", "unused"),
    )
    assert {written(write) for write in writes} == {where}
