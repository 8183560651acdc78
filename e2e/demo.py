"""`make demo`: from nothing to a model's answer on a real cluster, with progress in words.

On the local cluster, or on the one that --kubeconfig names; that one pulls the images from --registry.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e import install
from e2e.cluster.cluster import Cluster
from e2e.cluster.progress import Progress
from e2e.lab.weights import place_smollm2
from e2e.models import smollm2
from sluicegate.kube import resources
from sluicegate.kube.client import Client

NAMESPACE, NAME, CLAIM, FOLDER = "models", "chat", "models", "smollm2-135m-instruct"
QUESTION = "What is the capital of France?"
LIMIT_SECONDS = 900
CHECKOUT = Path(__file__).resolve().parents[1]

# Asks from a pod, as any client in the cluster would; the address is the Service's.
ASK = """
import json, sys, urllib.request
url, question, model = sys.argv[1:]
messages = [{"role": "user", "content": question}]
body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 32}
request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(),
                                 {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=60) as response:
    answer = json.load(response)["choices"][0]["message"]["content"]
    print(json.dumps({"answer": answer, "version": response.headers["x-sluicegate-model-version"]}))
"""


@dataclass(frozen=True)
class Target:
    """The cluster that is used: a kubeconfig, and the kubectl to use it with."""

    kubeconfig: Path
    kubectl_path: str

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        command = [self.kubectl_path, "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"error: kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="a cluster that is there already; none is started")
    parser.add_argument("--images", required=True, help='JSON: {"small": reference, "engine": reference}')
    options = parser.parse_args()
    progress, local = Progress(), Cluster()
    images = install.Images(**json.loads(options.images))
    if options.kubeconfig:
        target = Target(options.kubeconfig, "kubectl")
    else:
        target = Target(local.kubeconfig, str(local.layout.kubectl))
    asyncio.run(_demo(target, images, progress, None if options.kubeconfig else local))


async def _demo(target: Target, images: install.Images, progress: Progress, local: Cluster | None) -> None:
    async with await Client.from_environment(str(target.kubeconfig)) as client:
        installation = install.Installation(CHECKOUT, target.kubectl, images)
        with progress.step("installing the operator and its definitions"):
            installation.apply()
            await installation.ready(client)
        samples = CHECKOUT / "manifests" / "samples"
        target.kubectl("apply", "-f", str(samples / "namespace.yaml"))
        with progress.step("bringing the model's file to the claim"):
            await _bring_model(target, client, images, local)
        target.kubectl("apply", "-f", str(samples / "cpu-smollm2.yaml"))
        await _wait(client, progress)
        with progress.step(f"asking: {QUESTION}"):
            said = await _ask(client, images)
    _tell(said, target, local)


async def _bring_model(target: Target, client: Client, images: install.Images, local: Cluster | None) -> None:
    if local is not None:
        folder = local.layout.volumes / "demo"
        place_smollm2(folder / FOLDER)
        local.add_volume(NAMESPACE, CLAIM, folder)
        return
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": NAMESPACE},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
    }
    if not target.kubectl("-n", NAMESPACE, "get", "pvc", CLAIM, "--ignore-not-found"):
        target.kubectl("apply", "-f", "-", given=json.dumps(claim))
    loader = _pod("loader", images.small, ["sleep", "600"])
    loader["spec"]["volumes"].append({"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}})
    loader["spec"]["containers"][0]["volumeMounts"].append({"name": "models", "mountPath": "/models"})
    await client.apply(loader, "demo")
    target.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/loader", "--timeout=180s")
    target.kubectl("-n", NAMESPACE, "cp", str(smollm2()), f"loader:/models/{FOLDER}")
    await client.delete(resources.POD, NAMESPACE, "loader", grace_seconds=0)


async def _wait(client: Client, progress: Progress) -> None:
    """Shows what the deployment waits for until it is Ready."""
    began, told = time.monotonic(), ""
    while time.monotonic() - began < LIMIT_SECONDS:
        obj = await client.get(resources.LLM_DEPLOYMENT, NAMESPACE, NAME)
        ready = _ready(obj)
        if ready and ready["status"] == "True":
            return
        words = f"{ready['reason']}: {ready['message']}" if ready else "the operator to see it"
        if words != told:
            progress.say(f"waiting for {NAME}: {words}")
            told = words
        await asyncio.sleep(0.5)
    raise SystemExit(f"error: {NAME} is not Ready after {LIMIT_SECONDS} s: {told}")


def _ready(obj: dict[str, Any]) -> dict[str, Any] | None:
    generation = obj["metadata"]["generation"]
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and condition["observedGeneration"] == generation:
            return dict(condition)
    return None


async def _ask(client: Client, images: install.Images) -> dict[str, str]:
    service = await client.get(resources.SERVICE, NAMESPACE, NAME)
    url = f"http://{service['spec']['clusterIP']}"
    # The answer comes back in the termination message: no log has to be read.
    script = ASK.replace("    print(", "    open('/dev/termination-log', 'w').write(")
    pod = _pod("ask", images.small, ["python3", "-c", script, url, QUESTION, NAME])
    await client.apply(pod, "demo")
    try:
        while True:
            state = _state(await client.get(resources.POD, NAMESPACE, "ask"))
            if ended := state.get("terminated"):
                if ended["exitCode"]:
                    raise SystemExit(f"error: the question failed: {ended.get('message', '')}")
                return dict(json.loads(ended["message"]))
            await asyncio.sleep(0.2)
    finally:
        await client.delete(resources.POD, NAMESPACE, "ask", grace_seconds=0)


def _state(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state") or {})


def _pod(name: str, image: str, command: list[str]) -> dict[str, Any]:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": name,
        "image": image,
        "command": command,
        "securityContext": security,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def _tell(said: dict[str, str], target: Target, local: Cluster | None) -> None:
    path = target.kubeconfig.relative_to(Path.cwd()) if local else target.kubeconfig
    print(f"\n  {QUESTION}\n  {said['answer'].strip()}\n  (answered by ModelVersion {said['version']})\n")
    print("Try next:")
    if local:
        print(f"  export KUBECONFIG=$PWD/{path} PATH=$PWD/.cluster/bin:$PWD/.venv/bin:$PATH")
    for command in (
        f"kubectl -n {NAMESPACE} get llmd,mv",
        f"kubectl sluice status {NAME} -n {NAMESPACE}",
        "kubectl explain llmd.spec --recursive",
        f"kubectl -n {NAMESPACE} scale llmd/{NAME} --replicas=2 && kubectl -n {NAMESPACE} get llmd -w",
    ):
        print(f"  {command}")
    if local:
        print("  make down    # removes everything that make demo started")


if __name__ == "__main__":
    main()
