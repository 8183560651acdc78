"""Which namespace commands speak of when none is named, as kubectl would choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sluicegate.kube.config import explained, kubeconfig_path, loader

DEFAULT = "default"
_OF_THE_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def current_namespace(
    environment: Mapping[str, str], kubeconfig: str | None = None, context: str | None = None
) -> str:
    """The namespace of the context that is named or current; `default` where it has none.

    Raises ConfigurationError where there is no such context.
    """
    path = kubeconfig_path(environment, kubeconfig, context)
    if path is None:
        return _OF_THE_POD.read_text().strip() if _OF_THE_POD.exists() else DEFAULT
    with explained(path):
        chosen = loader(path, context).current_context
        return str(chosen["context"].get("namespace") or DEFAULT)
