"""What the operator makes of a generated custom resource first, and the pods that follow from it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.core.frozen import thawed
from tests.core.inspection import Inspection
from tests.fuzz.journeys import a_world_for, seen
from tests.fuzz.specs import Object, Sample
from tests.fuzz.verdicts import refusal

from sluicegate.core.plan import Create, Plan


def children(sample: Sample) -> Iterator[Object]:
    """Nothing of one that is invalid or cannot be served."""
    obj = seen(sample)
    if refusal(obj) is None:
        for action in _first(sample, obj).actions:
            if isinstance(action, Create):
                yield (child := thawed(action.manifest))
                yield from _pods(child)


def _first(sample: Sample, obj: Object) -> Plan:
    if sample.kind == "LLMDeployment":
        return a_world_for(random.Random(f"child/{sample.seed}/{sample.number}"), obj).plan()
    inspection = Inspection(obj)
    inspection.reconcile()
    return inspection.plan()


def _pods(child: Object) -> Iterator[Object]:
    """A pod of its template, but for what has to exist before it: its account and its priority."""
    if "template" in child.get("spec", {}):
        template = child["spec"]["template"]
        spec = {key: part for key, part in template["spec"].items() if key not in _NAMED}
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pod", **template["metadata"]},
            "spec": spec,
        }


_NAMED = ("serviceAccountName", "priorityClassName")
