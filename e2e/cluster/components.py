"""The processes of a cluster: how each is started and how one sees that it is up.

A component is data: the supervisor starts the whole list in order, the API server for contract tests
starts two of them.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster import namespaces
from e2e.cluster.layout import Layout, cache_directory

NODE = "node1"
REGISTRY_PORT = 5000
REGISTRY_CONFIGURATION = Path(__file__).parents[1] / "images" / "registry.yml"
PAUSE_IMAGE = "sluicegate.dev/pause:1"


@dataclass(frozen=True)
class Component:
    """One process; `is_up` answers within a second whether it does its work."""

    name: str
    command: tuple[str, ...]
    is_up: Callable[[], bool] = lambda: True
    environment: dict[str, str] = field(default_factory=dict)
    inherited_files: tuple[int, ...] = ()


@dataclass(frozen=True)
class Endpoints:
    """Ports of the control plane on the loopback device."""

    apiserver: int
    etcd: int = 2379
    etcd_peer: int = 2380


def etcd(kube: Path, directory: Path, ports: Endpoints) -> Component:
    """Keeps its data in `directory`; answers before it is on disk, since no test outlives the machine."""
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    flags = {
        "data-dir": directory / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "quota-backend-bytes": 4 * 2**30,
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return Component("etcd", _kube(kube, "etcd", flags), lambda: _accepts(ports.etcd))


def apiserver(kube: Path, directory: Path, ports: Endpoints, address: str) -> Component:
    """`directory` holds `pki/` and gets `audit.log`; `address` is what the Service `kubernetes` points at."""
    pki = directory / "pki"
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    flags = {
        "etcd-servers": f"http://127.0.0.1:{ports.etcd}",
        "secure-port": ports.apiserver,
        "bind-address": "127.0.0.1" if address == "127.0.0.1" else "0.0.0.0",
        "advertise-address": address,
        "client-ca-file": pki / "ca.crt",
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": pki / "sa.pub",
        "service-account-signing-key-file": pki / "sa.key",
        "service-cluster-ip-range": namespaces.SERVICE_NETWORK,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "kubelet-client-certificate": pki / "kubelet-client.crt",
        "kubelet-client-key": pki / "kubelet-client.key",
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-preferred-address-types": "InternalIP",
        "audit-policy-file": policy,
        "audit-log-path": directory / "audit.log",
        "audit-log-maxsize": 2048,
        "audit-log-maxbackup": 1,
    }
    return Component("apiserver", _kube(kube, "apiserver", flags), lambda: _is_ready(ports.apiserver, pki))


AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def cluster_components(kube: Path, layout: Layout, port: int, listener: int) -> list[Component]:
    """All components, in starting order. `listener` is a listening socket of the world outside."""
    ports = Endpoints(port)
    containerd = ("containerd", "--config", f"{layout.state}/config/containerd.toml", "--log-level", "warn")
    registry = ("docker-registry", "serve", str(REGISTRY_CONFIGURATION))
    forwarder = (sys.executable, "-m", "e2e.cluster.forwarder", str(listener), str(port))
    return [
        Component("containerd", containerd, lambda: _listens(layout.containerd_socket)),
        Component("registry", registry, lambda: _accepts(REGISTRY_PORT), registry_environment(REGISTRY_PORT)),
        etcd(kube, layout.state, ports),
        apiserver(kube, layout.state, ports, namespaces.NODE_ADDRESS),
        Component("forwarder", forwarder, inherited_files=(listener,)),
        *_controllers(kube, layout),
        *_node_agents(kube, layout),
    ]


def garbage_collection(kube: Path, kubeconfig: Path) -> Component:
    """The controller-manager with the garbage collector alone; it serves nothing."""
    flags = {
        "kubeconfig": kubeconfig,
        "controllers": "garbage-collector-controller",
        "leader-elect": "false",
        "secure-port": 0,
    }
    return Component("controller-manager", _kube(kube, "controller-manager", flags))


def _controllers(kube: Path, layout: Layout) -> list[Component]:
    configuration = layout.state / "config"
    controllers = {
        "kubeconfig": configuration / "controller-manager.kubeconfig",
        "service-account-private-key-file": layout.pki / "sa.key",
        "root-ca-file": layout.pki / "ca.crt",
        "cluster-cidr": namespaces.POD_NETWORK,
        "node-cidr-mask-size": 24,
        "allocate-node-cidrs": "true",
        "use-service-account-credentials": "true",
        "leader-elect": "false",
        "kube-api-qps": 200,
        "kube-api-burst": 400,
    }
    scheduler = {"kubeconfig": configuration / "scheduler.kubeconfig", "leader-elect": "false"}
    return [
        Component(
            "controller-manager", _kube(kube, "controller-manager", controllers), lambda: _accepts(10257)
        ),
        Component("scheduler", _kube(kube, "scheduler", scheduler), lambda: _accepts(10259)),
    ]


def _node_agents(kube: Path, layout: Layout) -> list[Component]:
    configuration = layout.state / "config"
    kubelet = {
        "config": configuration / "kubelet.json",
        "kubeconfig": configuration / "kubelet.kubeconfig",
        "hostname-override": NODE,
        "node-ip": namespaces.NODE_ADDRESS,
    }
    proxy = {
        "kubeconfig": configuration / "proxy.kubeconfig",
        "hostname-override": NODE,
        "cluster-cidr": namespaces.POD_NETWORK,
        "proxy-mode": "iptables",
        # The connection table's size and timeouts belong to the machine and can't be set from inside.
        "conntrack-max-per-core": 0,
        "conntrack-tcp-timeout-established": 0,
        "conntrack-tcp-timeout-close-wait": 0,
    }
    return [
        Component(
            "kubelet", _kube(kube, "kubelet", kubelet), lambda: _accepts(10250, namespaces.NODE_ADDRESS)
        ),
        Component("proxy", _kube(kube, "proxy", proxy), lambda: _accepts(10256)),
    ]


def _kube(kube: Path, component: str, flags: Mapping[str, object]) -> tuple[str, ...]:
    return (str(kube), component, *(f"--{name}={value}" for name, value in flags.items()))


def registry_environment(port: int) -> dict[str, str]:
    """What to set for `docker-registry serve` so that it serves the shared store on a loopback port."""
    store = cache_directory() / "registry"
    return {
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(store),
    }


def _accepts(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.5)
        return client.connect_ex(str(path)) == 0


def _is_ready(port: int, pki: Path) -> bool:
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=1, context=context)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
