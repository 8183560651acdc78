"""`make demo-rollout`: the deployment of `make demo` changes its version, is broken on purpose, and heals.

Every command is shown as a person types it, and runs. Somebody asks all the while, and each answer counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from e2e.cluster import Cluster
from e2e.cluster.command import ExpectedError, exit_with
from e2e.cluster.progress import Progress
from e2e.demo import (
    CHECKOUT,
    NAME,
    NAMESPACE,
    POD_SECONDS,
    SAMPLES,
    VERSION,
    Target,
    not_yet,
    operator_with,
    pod_manifest,
    running,
    state_of,
    target_of,
)
from e2e.lab.commands import environment

NEXT = f"{VERSION}-2"
OBSERVE_SECONDS = 15
"""Shorter than the default, for people who watch."""
BROKEN = ["--attention-backend=NO_SUCH"]
"""A flag that vLLM's parser passes on and its engine ends with."""
PROMOTED, FAILED = 0, 1
"""What `rollout wait` ends with."""

# Asks until it is told to stop, by a file. Each answer has to be whole and name its version.
CLIENT = """
import collections, json, os, sys, time, urllib.request
url, model = sys.argv[1:]
body = json.dumps({"model": model, "prompt": "The capital of France is", "max_tokens": 8}).encode()
versions, failures = collections.Counter(), []
while not os.path.exists("/tmp/stop"):
    try:
        request = urllib.request.Request(url + "/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            assert json.load(response)["choices"][0]["finish_reason"] in ("stop", "length")
            versions[response.headers["x-sluicegate-model-version"]] += 1
    except Exception as error:
        failures.append(repr(error))
    time.sleep(0.2)
with open("/dev/termination-log", "w") as said:
    json.dump({"answers": versions, "failures": len(failures), "first": failures[:1]}, said)
"""


@dataclass(frozen=True)
class Person:
    """Somebody at a terminal, who sees what each command prints and how it ends."""

    target: Target

    def types(self, *command: str, ends_with: int | None = None) -> None:
        """The exit code is shown where one is named. Raises ExpectedError where it is another, or no 0."""
        print(f"\n$ {' '.join(map(_quoted, command))}", flush=True)
        where = environment(self.target.kubectl_path, self.target.kubeconfig)
        code = subprocess.run(command, env=where, cwd=CHECKOUT, check=False).returncode
        if ends_with is not None:
            print(f"(exit code {code})", flush=True)
        if code != (ends_with or 0):
            raise ExpectedError(f"that should have ended with {ends_with or 0}")

    def changes(self, **spec: Any) -> None:
        patch = json.dumps({"spec": spec})
        self.types("kubectl", "-n", NAMESPACE, "patch", "llmd", NAME, "--type=merge", f"--patch={patch}")

    def waits(self, ends_with: int) -> None:
        self.sluice("rollout", "wait", ends_with=ends_with)

    def sluice(self, *words: str, ends_with: int | None = None) -> None:
        self.types("kubectl", "sluice", *words, NAME, "-n", NAMESPACE, ends_with=ends_with)

    def looks(self) -> None:
        self.types("kubectl", "-n", NAMESPACE, "get", "llmd")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.demo_rollout", description=__doc__)
    parser.add_argument("--kubeconfig", help="the cluster on which make demo ran")
    options = parser.parse_args()
    progress = Progress()
    target = target_of(options.kubeconfig or str(Cluster(progress=progress).kubeconfig), progress)
    found = target.find("llmdeployments.sluicegate.dev", NAME)
    if found is None:
        raise ExpectedError("make demo comes first: nothing serves yet")
    image = operator_with(target, None, None, progress)
    person = Person(target)
    with _asking(target, image, progress) as said:
        _changes(person, NEXT if found["spec"]["modelVersion"] == VERSION else VERSION)
        _breaks_and_heals(person)
    answers = ", ".join(f"{count} by {version}" for version, count in said["answers"].items())
    print(f"\n  asked meanwhile, again and again: {answers}; {said['failures']} failed\n")
    if said["failures"]:
        raise ExpectedError(f"requests failed: {said['first'][0]}")
    return 0


def _changes(person: Person, version: str) -> None:
    print("\nAnother version takes over. The old pods stay until it has proved itself.")
    person.types("kubectl", "apply", "-f", str((SAMPLES / "next-version.yaml").relative_to(CHECKOUT)))
    person.changes(modelVersion=version, rollout={"observeSeconds": OBSERVE_SECONDS})
    person.waits(PROMOTED)


def _breaks_and_heals(person: Person) -> None:
    print("\nA setting that no engine starts with. What serves serves on.")
    person.changes(engine={"extraArgs": BROKEN})
    person.waits(FAILED)
    person.looks()
    print("\nThe spec asks for what it asked for before.")
    person.changes(engine={"extraArgs": None})
    person.waits(PROMOTED)
    person.looks()
    person.sluice("rollout", "history")


@contextmanager
def _asking(target: Target, image: str, progress: Progress) -> Iterator[dict[str, Any]]:
    """Somebody asks while the block runs; what is yielded is filled then: answers, failures, first."""
    address = target.kubectl("-n", NAMESPACE, "get", "service", NAME, "--output=jsonpath={.spec.clusterIP}")
    client = pod_manifest("client", image, ["python3", "-c", CLIENT, f"http://{address}", NAME])
    said: dict[str, Any] = {}
    with running(target, client):
        progress.wait(lambda: not_yet(target, "client", "running"), POD_SECONDS)
        yield said
        target.kubectl("-n", NAMESPACE, "exec", "client", "--", "touch", "/tmp/stop")
        progress.wait(lambda: not_yet(target, "client", "terminated"), POD_SECONDS)
        ended: Mapping[str, Any] = state_of(target.find("pod", "client") or {})["terminated"]
    said |= json.loads(ended["message"])


def _quoted(word: str) -> str:
    return f"'{word}'" if any(sign in word for sign in ' {}"') else word


if __name__ == "__main__":
    exit_with(main)
