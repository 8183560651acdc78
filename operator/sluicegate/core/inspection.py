"""The inspection Job of a ModelVersion: the small image reads, hashes and checks every file once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sluicegate.api.meta import API_VERSION
from sluicegate.api.reasons import Reason
from sluicegate.api.v1alpha1.modelversion import KIND, Facts, ModelVersion
from sluicegate.core import naming
from sluicegate.core.diagnosis import last_words
from sluicegate.core.intent import stamped
from sluicegate.core.objects import Manifest
from sluicegate.core.observed import Defaults
from sluicegate.core.pointer import files_of
from sluicegate.core.problem import Problem
from sluicegate.core.template import (
    container_security,
    pod_security,
    source_environment,
    source_mounts,
    source_volumes,
)

# A terabyte at 12 MB/s. What takes longer hangs: a file server that is gone blocks a read for ever.
DEADLINE_SECONDS = 86_400


@dataclass(frozen=True)
class Findings:
    """What an inspection found: the digest, the size in bytes and the facts of a good source."""

    digest: str
    size_bytes: int
    facts: Facts


def inspection_job(model: ModelVersion, defaults: Defaults) -> dict[str, Any]:
    files = (files_of(model),)
    labels = naming.model_labels(model.metadata.name)
    reference = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": model.metadata.name,
        "uid": model.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [_container(model, defaults)],
        "volumes": [{"name": "scratch", "emptyDir": {}}, *source_volumes(files)],
    }
    return stamped(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": naming.inspection_name(model.metadata.name),
                "namespace": model.metadata.namespace,
                "labels": labels,
                "ownerReferences": [reference],
            },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": DEADLINE_SECONDS,
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
    )


def _container(model: ModelVersion, defaults: Defaults) -> dict[str, Any]:
    source, files = model.spec.source, (files_of(model),)
    options = {"--endpoint": source.endpoint, "--expect": model.spec.digest}
    return {
        "name": "inspect",
        "image": defaults.store_image,
        "command": [
            "sluicegate-store",
            "inspect",
            f"--source={source.uri}",
            "--scratch=/tmp",
            "--termination-log=/dev/termination-log",
            *(f"{flag}={value}" for flag, value in options.items() if value),
        ],
        "env": source_environment(files),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "securityContext": container_security(),
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, *source_mounts(files)],
    }


def outcome(pods: Iterable[Manifest]) -> Findings | Problem | None:
    """What the ended inspection said, or None while none has ended. `stalled` is what no retry mends."""
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (container.get("state") or {}).get("terminated")
            if ended:
                return _findings(str(ended.get("message", "")), ended)
    return None


_REASONS = {each.value: each for each in Reason}


def _findings(message: str, ended: Manifest) -> Findings | Problem:
    try:
        said = json.loads(message)
        if "error" in said:
            error = said["error"]
            return Problem(_REASONS[error["reason"]], str(error["message"]), stalled=not error["retryable"])
        # What the files do not say is null there, and left at its default here.
        facts = Facts.model_validate({key: fact for key, fact in said["facts"].items() if fact is not None})
        return Findings(str(said["digest"]), int(said["sizeBytes"]), facts)
    except (ValueError, KeyError, TypeError, ValidationError):
        words = last_words(message) or str(ended.get("reason") or f"exit code {ended.get('exitCode')}")
        return Problem(
            Reason.INSPECTION_FAILED, f"the inspection ended without a result: {words}", stalled=False
        )
