"""The demo on a cluster that is there already: what it takes for granted, and what it does again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from e2e import demo
from e2e.cluster.command import ExpectedError
from e2e.cluster.progress import Progress
from e2e.demo import Target
from e2e.images import SMALL
from e2e.install import parts

HERE = f"registry/team/sluicegate:{SMALL.reference().rpartition(':')[2]}"
READY = {"type": "Ready", "status": "True", "observedGeneration": 1}

Object = dict[str, Any]


class Cluster(Target):
    """Answers `get` from what it holds, and records every other call; a pod made is at once as it says."""

    def __init__(self, *objects: Object, pod_state: Object | None = None) -> None:
        super().__init__(Path("kubeconfig"), Path("kubectl"))
        self.asked: list[str] = []
        self._objects = {f"{each['kind'].lower()} {each['metadata']['name']}": each for each in objects}
        self._pod_state = pod_state

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        command = " ".join(arguments).removeprefix("-n models ").removeprefix("-n sluicegate-system ")
        if not command.startswith("get "):
            self.asked.append(f"{command} {json.loads(given)['kind']}" if given else command)
            return ""
        kind, name = arguments[3:5]
        if kind == "pod":
            return json.dumps({"status": {"containerStatuses": [{"state": self._pod_state}]}})
        found = self._objects.get(f"{kind.partition('.')[0].rstrip('s')} {name}")
        return json.dumps(found) if found else ""


def _object(kind: str, name: str, **rest: Any) -> Object:
    return {"kind": kind, "metadata": {"name": name, "generation": 1}, **rest}


def _operator(image: str) -> Object:
    spec = {"template": {"spec": {"containers": [{"image": image}]}}}
    return _object("Deployment", "sluicegate-operator", spec=spec)


def _version(*conditions: Object) -> Object:
    return _object("ModelVersion", demo.VERSION, status={"conditions": conditions})


@pytest.fixture
def progress() -> Progress:
    return Progress(io.StringIO())


def test_an_operator_of_this_checkout_needs_no_images(progress: Progress) -> None:
    cluster = Cluster(_operator(HERE))

    assert demo.operator_with(cluster, "", "", progress) == HERE
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("installed", "small"), [([], ""), ([_operator("registry/team/sluicegate:old")], ""), ([], HERE)]
)
def test_otherwise_both_images_have_to_be_named(
    progress: Progress, installed: list[Object], small: str
) -> None:
    with pytest.raises(ExpectedError, match=r"SMALL_IMAGE=\.\.\. ENGINE_IMAGE=\.\.\."):
        demo.operator_with(Cluster(*installed), small, "", progress)


def test_a_model_that_was_found_on_the_claim_is_not_brought_again(progress: Progress) -> None:
    cluster = Cluster(_object("PersistentVolumeClaim", "models"), _version(READY))

    demo.bring_model(cluster, HERE, progress)

    assert cluster.asked == []


@pytest.mark.parametrize(
    "found",
    [
        [],
        [_version(READY)],
        [_object("PersistentVolumeClaim", "models")],
        [_object("PersistentVolumeClaim", "models"), _version({**READY, "status": "False"})],
    ],
    ids=["nothing", "no claim", "no version", "version not ready"],
)
def test_otherwise_it_is_copied_beside_its_place_and_then_moved_there(
    progress: Progress, monkeypatch: pytest.MonkeyPatch, found: list[Object]
) -> None:
    monkeypatch.setattr(demo, "smollm2", lambda: Path("/cache/model"))
    cluster = Cluster(*found, pod_state={"running": {}})

    demo.bring_model(cluster, HERE, progress)

    place = f"/models/{demo.VERSION}"
    assert [line for line in cluster.asked if line != "create -f - PersistentVolumeClaim"] == [
        "delete pod loader --ignore-not-found --now",
        "create -f - Pod",
        f"exec loader -- rm -rf /models/incoming {place}",
        "cp /cache/model loader:/models/incoming",
        f"exec loader -- mv /models/incoming {place}",
        "delete pod loader --ignore-not-found --now --wait=false",
    ]
    has_claim = any(each["kind"] == "PersistentVolumeClaim" for each in found)
    assert ("create -f - PersistentVolumeClaim" in cluster.asked) is not has_claim


def test_the_answer_is_a_new_pods_and_not_one_that_an_earlier_run_left(progress: Progress) -> None:
    said = {"answer": "Paris.", "version": "smollm2-135m-instruct"}
    cluster = Cluster(pod_state={"terminated": {"exitCode": 0, "message": json.dumps(said)}})

    assert demo.ask(cluster, HERE, progress) == said
    assert cluster.asked == [
        "delete pod ask --ignore-not-found --now",
        "create -f - Pod",
        "delete pod ask --ignore-not-found --now --wait=false",
    ]


def test_a_question_without_an_answer_fails_in_the_pods_words(progress: Progress) -> None:
    cluster = Cluster(pod_state={"terminated": {"exitCode": 1, "message": "timed out\n"}})

    with pytest.raises(ExpectedError, match=r"the question got no answer: timed out$"):
        demo.ask(cluster, HERE, progress)

    assert cluster.asked[-1] == "delete pod ask --ignore-not-found --now --wait=false"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "not seen yet"),
        ({"phase": "Running"}, "Running"),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no"}}}]},
            "ImagePullBackOff: no",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]},
            "0/1 nodes",
        ),
    ],
)
def test_a_pod_says_what_it_waits_for(status: Object, said: str) -> None:
    assert demo.words({"status": status}) == said


@pytest.mark.parametrize(
    ("reference", "entry"),
    [
        ("localhost:5000/sluicegate:1", {"newName": "localhost:5000/sluicegate", "newTag": "1"}),
        ("localhost:5000/sluicegate", {"newName": "localhost:5000/sluicegate", "newTag": "latest"}),
        ("sluicegate", {"newName": "sluicegate", "newTag": "latest"}),
        ("team/sluicegate@sha256:ab", {"newName": "team/sluicegate", "digest": "sha256:ab"}),
    ],
)
def test_an_image_reference_is_taken_apart(reference: str, entry: dict[str, str]) -> None:
    assert parts(reference) == entry
