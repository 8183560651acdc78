"""Installs the operator from manifests/ with given images, as an overlay of a user would."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluicegate.kube import resources
from sluicegate.kube.client import Client

NAMESPACE = "sluicegate-system"
OPERATOR = "sluicegate-operator"
LABELS = "app.kubernetes.io/name=sluicegate,app.kubernetes.io/component=operator"
RESYNC_SECONDS = "60"
MANIFESTS = "../../manifests/kustomize"

Kubectl = Callable[..., str]


@dataclass(frozen=True)
class Images:
    """References of the small image and of the engine image."""

    small: str
    engine: str


@dataclass(frozen=True)
class Installation:
    """The operator of a checkout on a cluster. `kubectl` runs kubectl there and answers its output.

    It serves the whole cluster, or the one `namespace` that it is in.
    """

    checkout: Path
    kubectl: Kubectl
    images: Images
    namespace: str = NAMESPACE

    def apply(self, images: Images | None = None) -> None:
        self.kubectl(
            "apply", "--server-side", "--force-conflicts", "-k", str(self._overlay(images or self.images))
        )

    async def ready(self, client: Client, within: float = 120.0) -> None:
        """Returns when the Deployment has rolled out and its one pod leads."""
        deadline = time.monotonic() + within
        while not rolled_out(await client.get(resources.DEPLOYMENT, self.namespace, OPERATOR)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the operator is not ready: kubectl -n {self.namespace} describe pods")
            await asyncio.sleep(0.3)

    async def kill(self, client: Client) -> None:
        """End the operator's pods without a word, as a lost node would."""
        for pod in (await client.list(resources.POD, self.namespace, label_selector=LABELS)).items:
            await client.delete(resources.POD, self.namespace, pod["metadata"]["name"], grace_seconds=0)

    async def stop(self, client: Client) -> None:
        """Scale the operator to zero and wait until it is gone."""
        scale: dict[str, Any] = {"spec": {"replicas": 0}}
        await client.patch_merge(resources.DEPLOYMENT, self.namespace, OPERATOR, scale, "e2e")
        while (await client.list(resources.POD, self.namespace, label_selector=LABELS)).items:
            await asyncio.sleep(0.3)

    @asynccontextmanager
    async def of_another_release(self, client: Client) -> AsyncIterator[None]:
        """While the block runs, the operator has other default names of the engine image."""
        self.apply(Images(self.images.small, f"{self.images.engine}-of-another-release"))
        await self.ready(client)
        try:
            yield
        finally:
            self.apply()
            await self.ready(client)

    def _overlay(self, images: Images) -> Path:
        folder = self.checkout / ".cluster" / "overlay"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        settings = [
            f"SLUICEGATE_ENGINE_IMAGE_CPU={images.engine}",
            f"SLUICEGATE_ENGINE_IMAGE_CUDA={images.engine}",
            f"SLUICEGATE_STORE_IMAGE={images.small}",
            f"SLUICEGATE_RESYNC_SECONDS={RESYNC_SECONDS}",
        ]
        overlay = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            **self._base(),
            "images": [{"name": "sluicegate", **parts(images.small)}],
            "configMapGenerator": [
                {"name": "sluicegate-settings", "behavior": "merge", "literals": settings}
            ],
        }
        (folder / "kustomization.yaml").write_text(json.dumps(overlay, indent=1))
        return folder

    def _base(self) -> dict[str, list[str]]:
        if self.namespace == NAMESPACE:
            return {"resources": [f"{MANIFESTS}/base"]}
        single = f"{MANIFESTS}/single-namespace"
        return {"resources": [single], "transformers": [f"{single}/names"]}


def parts(reference: str) -> dict[str, str]:
    """An image reference as an entry of a kustomization's `images` takes it."""
    name, _, digest = reference.partition("@")
    if digest:
        return {"newName": name, "digest": digest}
    name, _, tag = reference.rpartition(":")
    if not name or "/" in tag:  # the colon, if any, was a port's
        name, tag = reference, "latest"
    return {"newName": name, "newTag": tag}


def rolled_out(deployment: dict[str, Any]) -> bool:
    """Whether a Deployment's pods are all of its current template, and ready."""
    status, wanted = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas")
    return bool(
        wanted
        and status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("updatedReplicas") == wanted
        and status.get("readyReplicas") == wanted
        and status.get("replicas") == wanted
    )
