"""The operator's key, from which each model pod's control token is derived.

It lives in a Secret of the operator's namespace, so that every replica and every restart has the same one.
"""

from __future__ import annotations

import base64
import secrets

from sluicegate.core.naming import MANAGER, PART_OF
from sluicegate.core.objects import Manifest
from sluicegate.kube.client import Client
from sluicegate.kube.errors import AlreadyExists, NotFound
from sluicegate.kube.resources import SECRET

NAME = "sluicegate-operator-key"
FIELD = "key"
BYTES = 32


async def token_key(client: Client, namespace: str) -> bytes:
    """The key, made at the first start. Raises ApiError, and ValueError where the Secret holds none."""
    try:
        return _key(await client.get(SECRET, namespace, NAME))
    except NotFound:
        pass
    manifest = {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "metadata": {"namespace": namespace, "name": NAME, "labels": {PART_OF: MANAGER}},
        "type": "Opaque",
        "data": {FIELD: base64.b64encode(secrets.token_bytes(BYTES)).decode()},
    }
    try:
        return _key(await client.create(manifest, MANAGER))
    except AlreadyExists:
        # Another replica was first.
        return _key(await client.get(SECRET, namespace, NAME))


def _key(secret: Manifest) -> bytes:
    meta = secret["metadata"]
    key = base64.b64decode((secret.get("data") or {}).get(FIELD, ""))
    if len(key) < BYTES:
        raise ValueError(
            f"Secret {meta['namespace']}/{meta['name']} has no key of {BYTES} bytes under data.{FIELD}: "
            "delete it and restart the operator; model pods get new control tokens"
        )
    return key
