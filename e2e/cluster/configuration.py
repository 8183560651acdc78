"""The configuration files of one cluster: certificates, kubeconfigs, containerd, CNI, kubelet."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from e2e.cluster import binary, namespaces
from e2e.cluster.components import NODE, PAUSE_IMAGE, REGISTRY_CONFIGURATION
from e2e.cluster.layout import Layout
from e2e.cluster.pki import CLUSTER_NAMES, Authority

_CLIENTS = {
    "admin": ("sluicegate-admin", ("system:masters",)),
    "kubelet-client": ("kube-apiserver-kubelet-client", ("system:masters",)),
    "controller-manager": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "proxy": ("system:kube-proxy", ()),
}

_CODE = ("components", "configuration", "forwarder", "namespaces", "pki", "supervisor")


def code() -> str:
    """The hash of all that decides how a cluster is made and run."""
    digest = hashlib.sha256(binary.key().encode())
    for path in (*(Path(__file__).with_name(f"{name}.py") for name in _CODE), REGISTRY_CONFIGURATION):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(layout: Layout) -> bool:
    """Whether a running cluster was made by the code that the checkout holds now."""
    written = layout.state / "code"
    return written.exists() and written.read_text() == code()


def write(layout: Layout, kube: Path, port: int) -> None:
    """Fill an empty state directory, and write the checkout's kubeconfig and kubectl."""
    configuration = layout.state / "config"
    for directory in (configuration, layout.logs, layout.volumes):
        directory.mkdir(parents=True)
    authority = Authority(layout.pki)
    addresses = ("127.0.0.1", "10.96.0.1", namespaces.NODE_ADDRESS)
    authority.issue("apiserver", "kube-apiserver", hosts=(*CLUSTER_NAMES, *addresses))
    for name, (user, groups) in _CLIENTS.items():
        authority.issue(name, user, groups)
    authority.issue(
        "kubelet", f"system:node:{NODE}", ("system:nodes",), hosts=(NODE, namespaces.NODE_ADDRESS)
    )
    server = f"https://127.0.0.1:{port}"
    for name in ("controller-manager", "scheduler", "proxy", "kubelet"):
        (configuration / f"{name}.kubeconfig").write_text(authority.kubeconfig(name, server))
    (configuration / "containerd.toml").write_text(_containerd(layout))
    (configuration / "kubelet.json").write_text(json.dumps(_kubelet(layout), indent=2))
    (configuration / "resolv.conf").write_text("")
    cni = layout.state / "cni" / "net.d"
    cni.mkdir(parents=True)
    (cni / "10-bridge.conflist").write_text(json.dumps(_CNI, indent=2))
    (layout.state / "code").write_text(code())
    _write_user_files(layout, kube, authority.kubeconfig("admin", server))


def _write_user_files(layout: Layout, kube: Path, kubeconfig: str) -> None:
    write_kubectl(layout, kube)
    private = os.open(layout.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(private, "w") as file:
        file.write(kubeconfig)


def write_kubectl(layout: Layout, kube: Path) -> None:
    """The kubectl that comes with the cluster's binary; for the checkout's cluster unless told otherwise."""
    layout.kubectl.parent.mkdir(parents=True, exist_ok=True)
    layout.kubectl.write_text(
        f'#!/bin/sh\nKUBECONFIG="${{KUBECONFIG:-{layout.kubeconfig}}}" exec {kube} kubectl "$@"\n'
    )
    layout.kubectl.chmod(0o755)


def remove_user_files(layout: Layout) -> None:
    """Remove what `write` put into the checkout."""
    shutil.rmtree(layout.user_files, ignore_errors=True)


def _containerd(layout: Layout) -> str:
    # restrict_oom_score_adj: without it runc fails to start any container where the machine's own
    # processes may not lower their score.
    return f"""\
version = 2
root = "{layout.state}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{layout.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{layout.state}/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    discard_unpacked_layers = true
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


_CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": namespaces.BRIDGE,
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni",
                "ranges": [[{"subnet": namespaces.POD_NETWORK}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def _kubelet(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{layout.pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        # There is no DNS; the node refuses, so that a look-up fails at once instead of timing out.
        "clusterDNS": [namespaces.NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{layout.state}/config/resolv.conf",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        # A machine that is rather full is none of our business; below the eviction limits it is.
        "imageGCHighThresholdPercent": 97,
        "imageGCLowThresholdPercent": 95,
        "containerLogMaxSize": "20Mi",
        "serializeImagePulls": False,
        "maxPods": 200,
    }
