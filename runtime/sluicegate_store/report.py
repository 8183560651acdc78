"""What a container leaves behind for the operator: one small JSON, which Kubernetes cuts off at 4 KiB."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluicegate_store.errors import ErrorBody

LIMIT_BYTES = 3 << 10


def error_document(body: ErrorBody) -> dict[str, Any]:
    """The document of a refusal, its message cut where the whole would be longer than LIMIT_BYTES."""
    message = body["message"]
    while len(encode({"error": {**body, "message": message}})) > LIMIT_BYTES:
        message = f"{message[: len(message) * 3 // 4]}…"
    return {"error": {**body, "message": message}}


def encode(document: Mapping[str, Any]) -> bytes:
    """One line of JSON, UTF-8."""
    # a name from a damaged header can hold half a surrogate pair, which UTF-8 cannot
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def leave(document: Mapping[str, Any], termination_log: Path | None) -> None:
    """Write the document where Kubernetes looks for a container's last words, if that is anywhere."""
    if termination_log is not None:
        termination_log.write_bytes(encode(document))
