"""What the API server fills into built-in objects by code rather than by schema, for the kinds we write.

A contract test compares every object made here with the one that the real server makes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from tests.sim.server.fields import child_schema, item_schema
from tests.sim.server.schemas import Schema

Object = dict[str, Any]

_TEMPLATE: Object = {"metadata": {}, "spec": {"containers": []}}
_EMPTY: Mapping[str, Object] = {
    "Pod": {"spec": {"containers": []}, "status": {}},
    "ReplicaSet": {"spec": {"template": _TEMPLATE}, "status": {}},
    "Deployment": {"spec": {"template": _TEMPLATE, "strategy": {}}, "status": {}},
    "Job": {"spec": {"template": _TEMPLATE}, "status": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "PodDisruptionBudget": {"spec": {}, "status": {}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "Lease": {"spec": {}},
    "Node": {"spec": {}, "status": {}},
    "Namespace": {"spec": {}, "status": {}},
    "EndpointSlice": {"addressType": "", "endpoints": []},
    "ControllerRevision": {"revision": 0},
    "Event": {"deprecatedSource": {}, "regarding": {}},
}


def empty(kind: str) -> Object:
    """An object of the kind before anything is set: a new one's fields are owned where they differ."""
    return {"metadata": {}, **_EMPTY.get(kind, {})}


def without_empty(schema: Schema, value: Any) -> Any:
    """The value as a typed server keeps it: no nulls, no empty lists, no empty maps of names."""
    if isinstance(value, list):
        return [without_empty(item_schema(schema), item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, part in value.items():
        below = child_schema(schema, name)
        part = without_empty(below, part)
        is_map = "additionalProperties" in below
        if part is not None and part != [] and not (part == {} and is_map):
            kept[name] = part
    return kept


def fill(kind: str, obj: Object) -> None:
    """Fill the defaults of a kind's spec into the object, in place."""
    if kind in _FILL:
        _FILL[kind](obj)


def seen(kind: str, obj: Object) -> Object:
    """The stored object as every reader sees it."""
    labels = obj.get("spec", {}).get("template", {}).get("metadata", {}).get("labels")
    if kind == "Job" and labels and not obj["metadata"].get("labels"):
        return {**obj, "metadata": {**obj["metadata"], "labels": labels}}
    return obj


def _set(into: Object, **values: Any) -> None:
    for name, value in values.items():
        into.setdefault(name, value)


def _pod_spec(spec: Object) -> None:
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if "serviceAccountName" in spec:
        _set(spec, serviceAccount=spec["serviceAccountName"])
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        _container(container)
    for volume in spec.get("volumes", ()):
        _volume(volume)


def _container(container: Object) -> None:
    _set(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image", "")),
    )
    for amounts in (container["resources"].get(side, {}) for side in ("limits", "requests")):
        amounts |= {name: canonical(quantity) for name, quantity in amounts.items()}
    for port in container.get("ports", ()):
        _set(port, protocol="TCP")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _probe(container[probe])
    for hook in container.get("lifecycle", {}).values():
        _http_get(hook)
    for variable in container.get("env", ()):
        if "fieldRef" in variable.get("valueFrom", {}):
            _set(variable["valueFrom"]["fieldRef"], apiVersion="v1")
        if variable.get("value") == "":
            del variable["value"]


def _pull_policy(image: str) -> str:
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    return "IfNotPresent" if "@" in image or tag not in ("", "latest") else "Always"


def _probe(probe: Object) -> None:
    _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http_get(probe)


def _http_get(handler: Object) -> None:
    if "httpGet" in handler:
        _set(handler["httpGet"], path="/", scheme="HTTP")


def _volume(volume: Object) -> None:
    for source in ("configMap", "secret", "downwardAPI", "projected"):
        if source in volume:
            _set(volume[source], defaultMode=420)
    for source in volume.get("projected", {}).get("sources", ()):
        if "serviceAccountToken" in source:
            _set(source["serviceAccountToken"], expirationSeconds=3600)
    if "sizeLimit" in volume.get("emptyDir", {}):
        volume["emptyDir"]["sizeLimit"] = canonical(volume["emptyDir"]["sizeLimit"])


def _pod(pod: Object) -> None:
    spec = pod["spec"]
    _set(spec, enableServiceLinks=True)
    _pod_spec(spec)
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        resources = container["resources"]
        if "limits" in resources:
            resources["requests"] = {**resources["limits"], **resources.get("requests", {})}


def _template(obj: Object) -> None:
    _set(obj["spec"], template={})
    _set(obj["spec"]["template"], metadata={}, spec={})
    _pod_spec(obj["spec"]["template"]["spec"])


def _replica_set(obj: Object) -> None:
    _set(obj["spec"], replicas=1)
    _template(obj)


def _job(obj: Object) -> None:
    _set(
        obj["spec"], completions=1, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False
    )
    _set(obj["spec"], manualSelector=False, podReplacementPolicy="TerminatingOrFailed")
    _template(obj)


def _service(obj: Object) -> None:
    spec = obj["spec"]
    _set(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports", ()):
        _set(port, protocol="TCP")
        _set(port, targetPort=port.get("port"))


def _network_policy(obj: Object) -> None:
    spec = obj["spec"]
    _set(spec, podSelector={}, policyTypes=["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
    for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
        for port in rule.get("ports", ()):
            _set(port, protocol="TCP")


def _secret(obj: Object) -> None:
    _set(obj, type="Opaque")
    written = {
        key: base64.b64encode(value.encode()).decode() for key, value in obj.pop("stringData", {}).items()
    }
    if written:
        obj["data"] = {**obj.get("data", {}), **written}


def _namespace(obj: Object) -> None:
    _set(obj, spec={}, status={"phase": "Active"})


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports", ()):
        _set(port, name="", protocol="TCP")


def _event(obj: Object) -> None:
    _set(obj, deprecatedSource={})


_FILL: Mapping[str, Callable[[Object], None]] = {
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "Deployment": _replica_set,
    "Job": _job,
    "Service": _service,
    "NetworkPolicy": _network_policy,
    "Secret": _secret,
    "Namespace": _namespace,
    "EndpointSlice": _endpoint_slice,
    "Event": _event,
}

_SUFFIXES: Iterable[tuple[str, Decimal]] = (
    *((sign, Decimal(1024) ** power) for power, sign in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)),
    *((sign, Decimal(1000) ** power) for power, sign in enumerate(("k", "M", "G", "T", "P"), 1)),
    ("m", Decimal("0.001")),
    ("", Decimal(1)),
)


def canonical(quantity: Any) -> str:
    """A quantity as the server writes it: the largest suffix of its family that leaves an integer."""
    text = str(quantity)
    match = re.fullmatch(r"([+-]?[0-9.]+)([KMGTP]i|[kMGTP]|m)?", text)
    if match is None:
        return text
    scales = dict(_SUFFIXES)
    suffix = match[2] or ""
    value = Decimal(match[1]) * scales[suffix]
    binary = suffix.endswith("i")
    family = [(sign, size) for sign, size in _SUFFIXES if sign.endswith("i") == binary or sign in ("", "m")]
    for sign, size in sorted(family, key=lambda each: -each[1]):
        if value % size == 0:
            return f"{int(value / size)}{sign}"
    return text
