"""The bare client's objects are the operator's, but for whose they are."""

from __future__ import annotations

from bench.operator import rival
from bench.operator.stage import COPIES, OWNED
from tests.builders import DEFAULTS, ADeployment, a_model_version

from sluicegate.core import naming, objects


def test_copies_belong_to_somebody_else_and_weigh_the_same() -> None:
    deployment = ADeployment("chat", OWNED).build()

    copies = rival.copies(deployment, a_model_version(), DEFAULTS)

    kinds = ["Secret", "NetworkPolicy", "ControllerRevision", "ConfigMap", "ReplicaSet", "Service", "Service"]
    assert [each["kind"] for each in copies] == kinds
    assert {each["metadata"]["namespace"] for each in copies} == {COPIES}
    assert not any(objects.controller_uid(each) == objects.uid(deployment) for each in copies)
    managers = {objects.labels(each)[naming.MANAGED_BY] for each in copies}
    assert managers == {rival.OTHER_MANAGER}
    assert len(rival.OTHER_MANAGER) == len(naming.MANAGER)
