"""What a new version has to prove."""

from __future__ import annotations

from sluicegate.api.meta import Model
from sluicegate.api.v1alpha1.comparison import Comparison
from sluicegate.api.v1alpha1.golden import GoldenPromptsGate


class Verification(Model):
    """What a new version has to prove."""

    golden_prompts: GoldenPromptsGate = GoldenPromptsGate()
    """How it is held to the golden prompts of its ModelVersion before it may serve."""
    comparison: Comparison = Comparison()
    """How much worse than the version before it a new one may be while it is observed."""
