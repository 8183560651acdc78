"""What a new version has to prove."""

from __future__ import annotations

from sluicegate.api.meta import Model
from sluicegate.api.v1alpha1.comparison import Comparison
from sluicegate.api.v1alpha1.gates import JobGate, WebhookGate
from sluicegate.api.v1alpha1.golden import GoldenPromptsGate


class Verification(Model):
    """What a new version has to prove."""

    golden_prompts: GoldenPromptsGate = GoldenPromptsGate()
    """How it is held to the golden prompts of its ModelVersion before it may serve."""
    job: JobGate | None = None
    """A Job that has to succeed before it may serve, one for each rollout. It finds the new pods at
    SLUICEGATE_URL, the base URL of an OpenAI-compatible API, and is told SLUICEGATE_MODEL,
    SLUICEGATE_VERSION and SLUICEGATE_ROLLOUT. Left out, none."""
    webhook: WebhookGate | None = None
    """An address that has to agree before it may serve. It is told of the rollout by POST: 2xx lets it serve,
    4xx refuses it, and whatever else is asked again. Left out, none."""
    comparison: Comparison = Comparison()
    """How much worse than the version before it a new one may be while it is observed."""
