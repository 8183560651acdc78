"""Looks at every custom resource again now and then, in case an event was missed."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from sluicegate.core.objects import Manifest
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION
from sluicegate.shell.intake import Intake
from sluicegate.shell.workqueue import Priority, WorkQueue

KEYS_PER_SECOND = 10.0

logger = logging.getLogger(__name__)


class Resync:
    """Every `seconds`, give or take a tenth, lists both kinds and spreads their keys over the queue."""

    def __init__(
        self,
        client: Client,
        namespaces: tuple[str, ...],
        intake: Intake,
        queue: WorkQueue,
        seconds: float,
        jitter: random.Random,
    ) -> None:
        self._client = client
        self._namespaces = namespaces
        self._intake = intake
        self._queue = queue
        self._seconds = seconds
        self._jitter = jitter

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(self._seconds * self._jitter.uniform(0.9, 1.1))
            try:
                await self.once()
            except ApiError as error:
                logger.warning("the resync is left out this time: %s", error)

    async def once(self) -> None:
        """One round; raises ApiError."""
        before = self._intake.known
        listed = [
            self._intake.remember(custom_resource)
            for kind in (LLM_DEPLOYMENT, MODEL_VERSION)
            for namespace in self._namespaces
            for custom_resource in (await self._client.list(kind, namespace, keep=_names)).items
        ]
        for key in before.difference(listed):
            self._intake.vanished(key, Priority.RESYNC)
        for place, key in enumerate(listed):
            self._queue.add_after(key, place / KEYS_PER_SECOND, Priority.RESYNC)


def _names(custom_resource: Manifest) -> dict[str, Any]:
    """What the intake reads, so that a page of whole objects isn't kept."""
    metadata = custom_resource["metadata"]
    return {
        "kind": custom_resource["kind"],
        "metadata": {"namespace": metadata["namespace"], "name": metadata["name"]},
        "spec": custom_resource.get("spec"),
    }
