"""Builders of an LLMDeployment's children, each the full intent of one object."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sluicegate.api.meta import API_VERSION
from sluicegate.api.v1alpha1.gates import JobGate
from sluicegate.api.v1alpha1.llmdeployment import KIND, LLMDeployment
from sluicegate.core import naming
from sluicegate.core.colours import Content, Record
from sluicegate.core.exposure import Exposure
from sluicegate.core.intent import stamped
from sluicegate.core.template import (
    CONTROL_PORT,
    POINTER_KEY,
    PROBE_PORT,
    SERVING_PORT,
    STORE_PORT,
    TOKEN_KEY,
    container_security,
    pod_security,
    served_model_name,
)

Object = dict[str, Any]


def _child(
    owner: LLMDeployment,
    api_version: str,
    kind: str,
    name: str,
    labels: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
    **body: Any,
) -> Object:
    meta = owner.metadata
    reference = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata = {
        "name": name,
        "namespace": meta.namespace,
        "labels": dict(labels),
        "ownerReferences": [reference],
        **({"annotations": dict(notes)} if notes else {}),
    }
    return stamped({"apiVersion": api_version, "kind": kind, "metadata": metadata, **body})


def revision(
    owner: LLMDeployment,
    rollout: str,
    record: Record,
) -> Object:
    """Record of a colour: its template and pointer as rendered once, and which fields of the spec asked for
    them, how its rollout comes about, was verified and ended, and what its pods were told to serve since."""
    made = record.made or record.content
    data = {"target": made.target, "template": dict(record.template or {}), "pointer": dict(made.pointer)}
    if record.spec is not None:
        data["spec"] = dict(record.spec)
    if record.reload is not None:
        data["reloads"] = {"colour": record.reload.colour, **_content(record.reload.before)}
    labels = {**naming.colour_labels(owner.metadata.name, rollout), naming.TARGET: made.target}
    return _child(
        owner,
        "apps/v1",
        "ControllerRevision",
        naming.colour_name(owner.metadata.name, rollout),
        labels,
        dict(_notes(record)),
        revision=1,
        data=data,
    )


def _notes(record: Record) -> Iterator[tuple[str, str]]:
    if record.ending is not None:
        yield naming.OUTCOME, record.ending.model_dump_json(by_alias=True)
    if record.settled:
        yield naming.SETTLED, "true"
    if record.verification:
        yield naming.VERIFICATION, record.verification
    if record.swaps:
        yield naming.SWAPS, "true"
    if record.made is not None:
        told = {**_content(record.content), "since": record.since}
        yield naming.RELOADED, json.dumps(told, sort_keys=True)
    if record.not_in_place:
        yield naming.NOT_IN_PLACE, record.not_in_place


def _content(content: Content) -> Object:
    brought = {"rollout": content.rollout} if content.rollout else {}
    return {"target": content.target, "pointer": dict(content.pointer), **brought}


def pointer(owner: LLMDeployment, rollout: str, content: Mapping[str, Any]) -> Object:
    """Names the files that the colour's pods serve."""
    name = naming.pointer_name(owner.metadata.name, rollout)
    labels = naming.colour_labels(owner.metadata.name, rollout)
    text = json.dumps(content, sort_keys=True, indent=1)
    return _child(owner, "v1", "ConfigMap", name, labels, data={POINTER_KEY: text})


def replica_set(
    owner: LLMDeployment,
    rollout: str,
    target: str,
    template: Mapping[str, Any],
    replicas: int,
    *,
    retired: bool = False,
) -> Object:
    """The colour's pods. They heal without the operator."""
    notes = {naming.RETIRED: "true"} if retired else None
    labels = {**naming.colour_labels(owner.metadata.name, rollout), naming.TARGET: target}
    selector = {naming.DEPLOYMENT: owner.metadata.name, naming.ROLLOUT: rollout}
    spec = {"replicas": replicas, "selector": {"matchLabels": selector}, "template": dict(template)}
    name = naming.colour_name(owner.metadata.name, rollout)
    return _child(owner, "apps/v1", "ReplicaSet", name, labels, notes, spec=spec)


def verification_job(
    owner: LLMDeployment, rollout: str, version: str, url: str, asked: JobGate, settings: str
) -> Object:
    """Tries the colour's pods once, at this base URL. `settings` tells one Job from another of the spec's."""
    told = {
        "SLUICEGATE_URL": f"{url}/v1",
        "SLUICEGATE_MODEL": served_model_name(owner),
        "SLUICEGATE_VERSION": version,
        "SLUICEGATE_ROLLOUT": rollout,
    }
    secrets = [{"name": name} for name in owner.spec.pod.image_pull_secrets]
    pod = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": asked.service_account_name is not None,
        **({"serviceAccountName": asked.service_account_name} if asked.service_account_name else {}),
        **({"imagePullSecrets": secrets} if secrets else {}),
        "securityContext": pod_security(),
        "containers": [_verifier(asked, told)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    # Not the colour's labels: by those Services would send requests to it.
    labels = {naming.MANAGED_BY: naming.MANAGER, naming.VERIFIES: owner.metadata.name}
    return _child(
        owner,
        "batch/v1",
        "Job",
        naming.job_name(owner.metadata.name, rollout),
        naming.colour_labels(owner.metadata.name, rollout),
        {naming.SETTINGS: settings},
        spec={
            "backoffLimit": 0,
            "activeDeadlineSeconds": asked.timeout_seconds,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )


def _verifier(asked: JobGate, told: Mapping[str, str]) -> Object:
    given = {each.name: each.value for each in asked.env}
    cpu, memory = asked.resources.cpu, asked.resources.memory
    requests = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {})}
    return {
        "name": "job",
        "image": asked.image,
        **({"command": list(asked.command)} if asked.command else {}),
        **({"args": list(asked.args)} if asked.args else {}),
        "env": [{"name": name, "value": value} for name, value in {**told, **given}.items()],
        "resources": {
            **({"requests": requests} if requests else {}),
            **({"limits": {"memory": memory}} if memory else {}),
        },
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def service(owner: LLMDeployment, exposure: Exposure) -> Object:
    """The address that clients use. What it exposes, and since when, is noted on it."""
    notes = {naming.EXPOSES: exposure.rollout, naming.EXPOSED_SINCE: exposure.since}
    return _service(owner, owner.metadata.name, exposure.rollout, notes)


def preview_service(owner: LLMDeployment, exposure: Exposure) -> Object:
    """The address under which a colour is asked before it may serve. Since when is noted on it."""
    notes = {naming.EXPOSED_SINCE: exposure.since}
    return _service(owner, naming.preview_name(owner.metadata.name), exposure.rollout, notes)


def _service(owner: LLMDeployment, name: str, rollout: str, notes: Mapping[str, str]) -> Object:
    selector = {naming.DEPLOYMENT: owner.metadata.name}
    if rollout != naming.EVERY_ROLLOUT:
        selector[naming.ROLLOUT] = rollout
    ports = [{"name": "http", "port": 80, "targetPort": SERVING_PORT, "protocol": "TCP"}]
    labels = naming.deployment_labels(owner.metadata.name)
    return _child(owner, "v1", "Service", name, labels, notes, spec={"selector": selector, "ports": ports})


def disruption_budget(owner: LLMDeployment, rollout: str) -> Object:
    """Evictions take at most one pod of the serving colour at a time, and never wait for a broken one.

    It notes the colour too, so that a lost Service can be made again as it was.
    """
    selector = {naming.DEPLOYMENT: owner.metadata.name, naming.ROLLOUT: rollout}
    return _child(
        owner,
        "policy/v1",
        "PodDisruptionBudget",
        owner.metadata.name,
        naming.deployment_labels(owner.metadata.name),
        {naming.EXPOSES: rollout},
        spec={
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    )


def network_policy(owner: LLMDeployment, operator_namespace: str) -> Object:
    """Everybody may ask and probe; only the operator may control."""
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": operator_namespace}},
        "podSelector": {"matchLabels": dict(naming.OPERATOR_LABELS)},
    }
    open_ports = [_port(SERVING_PORT), _port(PROBE_PORT), _port(STORE_PORT)]
    return _child(
        owner,
        "networking.k8s.io/v1",
        "NetworkPolicy",
        owner.metadata.name,
        naming.deployment_labels(owner.metadata.name),
        spec={
            "podSelector": {"matchLabels": {naming.DEPLOYMENT: owner.metadata.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": open_ports}, {"ports": [_port(CONTROL_PORT)], "from": [operator]}],
        },
    )


def _port(number: int) -> Object:
    return {"port": number, "protocol": "TCP"}


def control_token(key: bytes, uid: str) -> str:
    """The token of a deployment's control ports: HMAC-SHA256 of its uid, 64 hexadecimal digits."""
    return hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()


def control_secret(owner: LLMDeployment, key: bytes) -> Object:
    token = control_token(key, owner.metadata.uid)
    return _child(
        owner,
        "v1",
        "Secret",
        naming.control_name(owner.metadata.name),
        naming.deployment_labels(owner.metadata.name),
        type="Opaque",
        data={TOKEN_KEY: base64.b64encode(token.encode()).decode()},
    )
