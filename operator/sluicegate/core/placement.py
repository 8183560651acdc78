"""What no node could ever hold is refused with numbers; what is only full now is left to the scheduler."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.core.objects import Manifest, name
from sluicegate.core.problem import Problem
from sluicegate.core.template import accelerator_of


def impossible_placement(spec: LLMDeploymentSpec, nodes: Iterable[Manifest]) -> Problem | None:
    """A problem where a replica needs more accelerators than any node has. No nodes seen: no verdict."""
    accelerator = accelerator_of(spec)
    counts = {name(node): allocatable(node, accelerator.resource) for node in nodes} if accelerator else {}
    if accelerator is None or not counts:
        return None
    largest = max(counts, key=lambda node: (counts[node], node))
    if counts[largest] >= accelerator.count:
        return None
    return Problem(
        Reason.INSUFFICIENT_ACCELERATORS,
        f"a replica needs {accelerator.count} {accelerator.resource} on one node, and the largest node, "
        f"{largest}, has {counts[largest]}: lower resources.accelerator.count and engine.parallelism, "
        "or add a node",
    )


def allocatable(node: Manifest, resource: str) -> int:
    """How many a node has. They are whole numbers; the API server writes a thousand as 1k."""
    written = str(((node.get("status") or {}).get("allocatable") or {}).get(resource, 0))
    found = re.fullmatch(r"([0-9]+)(k?)", written)
    return int(found[1]) * (1000 if found[2] else 1) if found else 0
