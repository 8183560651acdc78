"""Certificates and kubeconfigs of one cluster: made anew with each, so nothing outlives it.

openssl does the work; elliptic keys, because twenty RSA keys take longer than the whole start.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from e2e.cluster.command import run

CLUSTER_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")


class Authority:
    """A certificate authority in a directory, which it fills with `ca.crt`, `sa.key`, `sa.pub`, …"""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 "
            "-subj /CN=sluicegate-e2e -addext basicConstraints=critical,CA:TRUE "
            "-addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt"
        )
        self._openssl("ecparam -name prime256v1 -genkey -noout -out sa.key")
        self._openssl("ec -in sa.key -pubout -out sa.pub")

    def issue(self, name: str, user: str, groups: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> None:
        """Write `<name>.crt` and `<name>.key` for a user (CN) in groups (O), valid at hosts (SAN)."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        names = ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts or ("none",))
        (self.directory / f"{name}.ext").write_text(
            f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        self._openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            f"-keyout {name}.key -out {name}.csr -subj {subject}"
        )
        self._openssl(
            f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 "
            f"-extfile {name}.ext -out {name}.crt"
        )

    def kubeconfig(self, name: str, server: str) -> str:
        """A self-contained kubeconfig (JSON, which is YAML) of an issued user for the server's URL."""
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "sluicegate-e2e",
                        "cluster": {"server": server, "certificate-authority-data": self._data("ca.crt")},
                    }
                ],
                "users": [
                    {
                        "name": name,
                        "user": {
                            "client-certificate-data": self._data(f"{name}.crt"),
                            "client-key-data": self._data(f"{name}.key"),
                        },
                    }
                ],
                "contexts": [
                    {"name": "sluicegate-e2e", "context": {"cluster": "sluicegate-e2e", "user": name}}
                ],
                "current-context": "sluicegate-e2e",
            },
            indent=2,
        )

    def _data(self, name: str) -> str:
        return base64.b64encode((self.directory / name).read_bytes()).decode()

    def _openssl(self, arguments: str) -> None:
        run(["openssl", *arguments.split(" ")], cwd=self.directory)
