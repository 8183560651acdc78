"""How a real API server says that an admission webhook does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contract.api.conftest import Kubectl

from sluicegate.kube.client import Client
from sluicegate.kube.errors import WebhookFailed

MANAGER = "test"
KIND = "ValidatingWebhookConfiguration"
NAME = "silent.sluicegate.example"


def _config_map(namespace: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}}


@pytest.fixture
async def silent_webhook(kubectl: Kubectl, namespace: str) -> AsyncIterator[None]:
    """Nothing listens where the API server asks about every ConfigMap of the namespace."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    webhook = {
        "name": NAME,
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": KIND}
    configuration = {**kind, "metadata": {"name": NAME}, "webhooks": [webhook]}
    made = await kubectl("create", "-f", "-", given=json.dumps(configuration))
    assert made.code == 0, made.err
    yield
    await kubectl("delete", KIND, NAME)


async def _write_on(client: Client, namespace: str) -> None:
    """For as long as it is let: a server learns of a webhook a moment after it has stored it."""
    for number in range(100):
        await client.create(_config_map(namespace, f"written-{number}"), MANAGER)
        await asyncio.sleep(0.1)


@pytest.mark.usefixtures("silent_webhook")
async def test_a_webhook_that_nobody_answers_for_fails_the_write_by_its_name(
    client: Client, namespace: str
) -> None:
    with pytest.raises(WebhookFailed, match=NAME):
        await _write_on(client, namespace)
