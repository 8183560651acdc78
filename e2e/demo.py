"""`make demo`: from nothing to a model's answer on a real cluster, with progress in words.

On the local cluster, or on the one that --kubeconfig names; that one pulls the images from where it can.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e import install
from e2e.cluster import Cluster, Layout, binary, configuration
from e2e.cluster.command import CommandError, ExpectedError, exit_with, run
from e2e.cluster.progress import Progress
from e2e.images import ENGINE, SMALL, build
from e2e.lab.weights import place_smollm2
from e2e.models import smollm2

NAMESPACE, NAME, CLAIM, VERSION = "models", "chat", "models", "smollm2-135m-instruct"
QUESTION = "What is the capital of France?"
MODEL_SECONDS, POD_SECONDS = 900, 300
CHECKOUT = Layout.here().checkout
SAMPLES = CHECKOUT / "manifests" / "samples"

# Asks from a pod, as any client in the cluster would; the address is the Service's. The answer comes back
# in the termination message: no log has to be read.
ASK = """
import json, sys, urllib.request
url, question, model = sys.argv[1:]
messages = [{"role": "user", "content": question}]
body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 32}
request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(),
                                 {"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=60) as response, open("/dev/termination-log", "w") as said:
    answer = json.load(response)["choices"][0]["message"]["content"]
    said.write(json.dumps({"answer": answer, "version": response.headers["x-sluicegate-model-version"]}))
"""

Object = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """The cluster that is used: a kubeconfig, and the kubectl to use it with."""

    kubeconfig: Path
    kubectl_path: Path

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        return run([self.kubectl_path, "--kubeconfig", self.kubeconfig, *arguments], input=given)

    def find(self, kind: str, name: str, namespace: str = NAMESPACE) -> Object | None:
        said = self.kubectl("-n", namespace, "get", kind, name, "--ignore-not-found", "--output=json")
        return dict(json.loads(said)) if said.strip() else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("--kubeconfig", help="a cluster that is there already; none is started")
    parser.add_argument("--small-image", help="reference of the small image there")
    parser.add_argument("--engine-image", help="reference of the engine image there")
    options = parser.parse_args()
    progress = Progress()
    if options.kubeconfig:
        target = target_of(options.kubeconfig, progress)
        small = operator_with(target, options.small_image, options.engine_image, progress)
        target.kubectl("apply", "-f", str(SAMPLES / "namespace.yaml"))
        bring_model(target, small, progress)
    else:
        local = Cluster(progress=progress)
        local.pid()
        target = Target(local.kubeconfig, local.layout.kubectl)
        images = install.Images(**build([SMALL, ENGINE], progress))
        small = operator_with(target, images.small, images.engine, progress)
        target.kubectl("apply", "-f", str(SAMPLES / "namespace.yaml"))
        _bring_model_to(local, progress)
    target.kubectl("apply", "-f", str(SAMPLES / "cpu-smollm2.yaml"))
    progress.wait(lambda: _not_serving(target), MODEL_SECONDS, every_seconds=1)
    _tell(ask(target, small, progress), target, is_local=not options.kubeconfig)
    return 0


def target_of(kubeconfig: str, progress: Progress) -> Target:
    """The cluster that a kubeconfig names. Raises ExpectedError where it is not to be had."""
    path = Path(kubeconfig).expanduser().resolve()
    if not path.is_file():
        raise ExpectedError(f"{path} is no file: KUBECONFIG=... names the kubeconfig of the cluster to use")
    target = Target(path, _kubectl(progress))
    try:
        target.kubectl("get", "--raw=/readyz", "--request-timeout=10s")
    except CommandError as error:
        raise ExpectedError(f"the cluster that {path} names is not ready; look at both: {error}") from error
    return target


def _kubectl(progress: Progress) -> Path:
    """The machine's own, or the one that comes with the cluster's binary."""
    if found := shutil.which("kubectl"):
        return Path(found)
    layout = Layout.here()
    configuration.write_kubectl(layout, binary.built(progress) / "kube")
    return layout.kubectl


def operator_with(target: Target, small: str | None, engine: str | None, progress: Progress) -> str:
    """The small image of the operator: installed with the images given, or found to be this checkout's."""
    if small and engine:
        with progress.step("installing the operator and its definitions"):
            install.Installation(CHECKOUT, target.kubectl, install.Images(small, engine)).apply()
            progress.wait(lambda: _operator_missing(target), POD_SECONDS, every_seconds=1)
        return small
    found = target.find("deployment", install.OPERATOR, install.NAMESPACE)
    running = str(found["spec"]["template"]["spec"]["containers"][0]["image"]) if found else ""
    if running.rpartition(":")[2] != SMALL.reference().rpartition(":")[2]:
        raise ExpectedError(
            "this checkout's operator is not on that cluster: name both images, where it can pull them: "
            "make demo KUBECONFIG=... SMALL_IMAGE=... ENGINE_IMAGE=... (README: how to get them there)"
        )
    progress.say(f"the operator is there: {running}")
    return running


def _operator_missing(target: Target) -> str | None:
    if install.rolled_out(target.find("deployment", install.OPERATOR, install.NAMESPACE) or {}):
        return None
    said = target.kubectl("-n", install.NAMESPACE, "get", "pods", "-l", install.LABELS, "--output=json")
    pods = sorted(json.loads(said)["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return f"the operator's pod: {words(pods[-1]) if pods else 'none yet'}"


def _bring_model_to(local: Cluster, progress: Progress) -> None:
    with progress.step("bringing the model's file to the claim"):
        folder = local.layout.volumes / "demo"
        place_smollm2(folder / VERSION)
        local.add_volume(NAMESPACE, CLAIM, folder)


def bring_model(target: Target, image: str, progress: Progress) -> None:
    """Copy the model to a claim, whose storage only pods reach, unless it was found there before."""
    claim = target.find("persistentvolumeclaim", CLAIM)
    version = target.find("modelversions.sluicegate.dev", VERSION)
    if claim and version and _ready(version).get("status") == "True":
        progress.say(f"the model is on the claim {CLAIM}")
        return
    if claim is None:
        target.kubectl("create", "-f", "-", given=json.dumps(CLAIM_MANIFEST))
    loader = pod_manifest("loader", image, ["sleep", "3600"])
    loader["spec"]["volumes"].append({"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}})
    loader["spec"]["containers"][0]["volumeMounts"].append({"name": "models", "mountPath": "/models"})
    with progress.step("bringing the model's file to the claim"), running(target, loader):
        progress.wait(lambda: not_yet(target, "loader", "running"), POD_SECONDS, every_seconds=1)
        inside = ("-n", NAMESPACE, "exec", "loader", "--")
        target.kubectl(*inside, "rm", "-rf", "/models/incoming", f"/models/{VERSION}")
        target.kubectl("-n", NAMESPACE, "cp", str(smollm2()), "loader:/models/incoming")
        target.kubectl(*inside, "mv", "/models/incoming", f"/models/{VERSION}")


def ask(target: Target, image: str, progress: Progress) -> dict[str, str]:
    """{"answer": the model's words, "version": the ModelVersion that said them}"""
    address = target.kubectl("-n", NAMESPACE, "get", "service", NAME, "--output=jsonpath={.spec.clusterIP}")
    pod = pod_manifest("ask", image, ["python3", "-c", ASK, f"http://{address}", QUESTION, NAME])
    with progress.step(f"asking: {QUESTION}"), running(target, pod):
        progress.wait(lambda: not_yet(target, "ask", "terminated"), POD_SECONDS)
        ended = state_of(target.find("pod", "ask") or {})["terminated"]
    if ended["exitCode"]:
        raise ExpectedError(f"the question got no answer: {ended.get('message', '').strip()}")
    return dict(json.loads(ended["message"]))


@contextmanager
def running(target: Target, pod: Object) -> Iterator[None]:
    """A new pod while the block runs: what an interrupted run left of that name answers for nobody."""
    remove = ("-n", NAMESPACE, "delete", "pod", pod["metadata"]["name"], "--ignore-not-found", "--now")
    target.kubectl(*remove)
    target.kubectl("create", "-f", "-", given=json.dumps(pod))
    try:
        yield
    finally:
        target.kubectl(*remove, "--wait=false")


def not_yet(target: Target, pod: str, state: str) -> str | None:
    """What a pod waits for until its container is in that state."""
    found = target.find("pod", pod) or {}
    return None if state in state_of(found) else f"pod {pod}: {words(found)}"


def _not_serving(target: Target) -> str | None:
    ready = _ready(target.find("llmdeployments.sluicegate.dev", NAME) or {})
    if ready.get("status") == "True":
        return None
    return f"{NAME}: {ready['reason']}: {ready['message']}" if ready else f"the operator to see {NAME}"


def _ready(found: Object) -> Object:
    """The condition Ready of an object's current generation; empty while there is none."""
    for condition in (found.get("status") or {}).get("conditions") or ():
        is_current = condition.get("observedGeneration") == found["metadata"]["generation"]
        if condition["type"] == "Ready" and is_current:
            return dict(condition)
    return {}


def words(pod: Object) -> str:
    """What a pod waits for, in the cluster's words."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        if waiting := (container.get("state") or {}).get("waiting"):
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", ""))
    return str(status.get("phase", "not seen yet"))


def state_of(pod: Object) -> Object:
    """Of its first container, by the state's name."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return dict(statuses[0].get("state") or {})


def pod_manifest(name: str, image: str, command: list[str]) -> Object:
    """A pod that runs one command, by the strictest of the Pod Security levels."""
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


CLAIM_MANIFEST = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": CLAIM, "namespace": NAMESPACE},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
}


def _tell(said: dict[str, str], target: Target, *, is_local: bool) -> None:
    print(f"\n  {QUESTION}\n  {said['answer'].strip()}\n  (answered by ModelVersion {said['version']})\n")
    print("Try next:")
    for command in (
        f"export KUBECONFIG={target.kubeconfig} PATH={CHECKOUT}/.cluster/bin:{CHECKOUT}/.venv/bin:$PATH",
        f"kubectl -n {NAMESPACE} get llmd,mv",
        f"kubectl sluice status {NAME} -n {NAMESPACE}",
        "kubectl explain llmd.spec --recursive",
        "make demo-rollout    # another version takes over, a broken one does not",
        f"kubectl -n {NAMESPACE} scale llmd/{NAME} --replicas=2 && kubectl -n {NAMESPACE} get llmd -w",
    ):
        print(f"  {command}")
    if is_local:
        print("  make down    # removes everything that make demo started")


if __name__ == "__main__":
    exit_with(main)
