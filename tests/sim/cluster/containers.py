"""Statuses of pods at each point of their lives, as kubelets write them."""

from __future__ import annotations

import json
from typing import Any

from tests.builders import FACTS, an_exit, digest
from tests.sim.cluster.pods import Status, with_condition

from sluicegate.core import naming
from sluicegate.core.objects import Manifest, labels


def creating(pod: Manifest, at: str) -> Status:
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    status = {**_scheduled(pod), "phase": "Pending", **_states(pod, store=waiting, main=waiting)}
    return _unready({**pod, "status": status}, at)


def fetching(pod: Manifest, address: str, at: str) -> Status:
    running, waiting = {"running": {"startedAt": at}}, {"waiting": {"reason": "PodInitializing"}}
    status = {**_scheduled(pod), "phase": "Pending", "podIP": address, "podIPs": [{"ip": address}]}
    return _unready({**pod, "status": {**status, **_states(pod, store=running, main=waiting)}}, at)


def loading(pod: Manifest, restarts: int, at: str) -> Status:
    running = {"running": {"startedAt": at}}
    states = _states(pod, store=running, main=running, restarts=restarts)
    return _unready({**pod, "status": {**pod["status"], "phase": "Running", **states}}, at)


def serving(pod: Manifest, restarts: int, at: str) -> Status:
    running = {"running": {"startedAt": at}}
    states = _states(pod, store=running, main=running, restarts=restarts, ready=True)
    return with_condition({**pod, "status": {**pod["status"], **states}}, "Ready", "True", at)


def crashed(pod: Manifest, restarts: int, reason: str, at: str) -> Status:
    running, waiting = {"running": {"startedAt": at}}, {"waiting": {"reason": "CrashLoopBackOff"}}
    ended = {
        "exitCode": 137 if reason == "OOMKilled" else 1,
        "reason": reason,
        "startedAt": at,
        "finishedAt": at,
    }
    states = _states(pod, store=running, main=waiting, restarts=restarts)
    states["containerStatuses"][0]["lastState"] = {"terminated": ended}
    return _unready({**pod, "status": {**pod["status"], **states}}, at)


def is_inspection(pod: Manifest) -> bool:
    return naming.MODEL_VERSION in labels(pod)


def inspected(pod: Manifest) -> str:
    """The name of the ModelVersion that the pod inspects."""
    return labels(pod)[naming.MODEL_VERSION]


def is_trial(pod: Manifest) -> bool:
    """Whether it is a verification Job's."""
    return naming.VERIFIES in labels(pod)


def trial_ended(pod: Manifest, code: int, message: str) -> Status:
    ended = an_exit(code, message)
    state = ended["containerStatuses"][0]["state"]
    return {**pod["status"], "phase": ended["phase"], **_states(pod, store={}, main=state)}


def running(pod: Manifest, at: str) -> Status:
    """A Job's pod that is at it."""
    states = _states(pod, store={}, main={"running": {"startedAt": at}})
    return _unready({**pod, "status": {**pod["status"], "phase": "Running", **states}}, at)


def inspection_ended(pod: Manifest, version: str, message: str | None, at: str) -> Status:
    found = {"digest": digest(version), "sizeBytes": 269_060_552, "files": 5, "facts": FACTS}
    ended = {
        "exitCode": 1 if message else 0,
        "reason": "Error" if message else "Completed",
        "message": message or json.dumps(found),
        "startedAt": at,
        "finishedAt": at,
    }
    phase = "Failed" if message else "Succeeded"
    states = _states(pod, store={}, main={"terminated": ended})
    return _unready({**pod, "status": {**pod["status"], "phase": phase, **states}}, at)


def _unready(pod: Manifest, at: str) -> Status:
    return with_condition(pod, "Ready", "False", at, reason="ContainersNotReady")


def _scheduled(pod: Manifest) -> Status:
    return {key: value for key, value in (pod.get("status") or {}).items() if key == "conditions"}


def _states(
    pod: Manifest, *, store: dict[str, Any], main: dict[str, Any], restarts: int = 0, ready: bool = False
) -> dict[str, Any]:
    main_container = pod["spec"]["containers"][0]
    container = _container(main_container, main, restarts, ready)
    before = (pod.get("status") or {}).get("containerStatuses") or [{}]
    # How it ended last is told on, whatever becomes of it.
    ended = {"lastState": before[0]["lastState"]} if "lastState" in before[0] else {}
    states = {"containerStatuses": [{**container, **ended}]}
    init = pod["spec"].get("initContainers") or ()
    return states | ({"initContainerStatuses": [_container(init[0], store, 0, ready)]} if init else {})


def _container(container: Manifest, state: dict[str, Any], restarts: int, ready: bool) -> dict[str, Any]:
    named = {"name": container["name"], "image": container["image"], "imageID": container["image"]}
    return {**named, "ready": ready, "restartCount": restarts, "state": state}
