"""Which namespace commands speak of when none is named, as kubectl would choose."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kubernetes.aio.config import ConfigException, list_kube_config_contexts

from sluicegate.kube.config import kubeconfig_path

DEFAULT = "default"
_OF_THE_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def current_namespace(
    environment: Mapping[str, str], kubeconfig: str | None = None, context: str | None = None
) -> str:
    """The namespace of the context that is named or current; `default` where it has none."""
    path = kubeconfig_path(environment, kubeconfig, context)
    if path is None:
        return _OF_THE_POD.read_text().strip() if _OF_THE_POD.exists() else DEFAULT
    try:
        contexts, active = list_kube_config_contexts(path)
    except ConfigException:
        return DEFAULT
    chosen = next((found for found in contexts if found["name"] == context), active)
    return str(chosen["context"].get("namespace") or DEFAULT)
