"""Addresses in URLs. Services go by their cluster IPs, for a cluster need not have DNS."""

from __future__ import annotations

from sluicegate.core.objects import Manifest


def host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def pod_url(pod: Manifest, port: int) -> str | None:
    """Base URL of a port of the pod itself; None where it has no address yet."""
    address = (pod.get("status") or {}).get("podIP")
    return f"http://{host(address)}:{port}" if address else None


def service_url(service: Manifest | None) -> str | None:
    """Base URL of a Service; None where it has no address yet."""
    address = ((service or {}).get("spec") or {}).get("clusterIP")
    return f"http://{host(address)}" if address else None
