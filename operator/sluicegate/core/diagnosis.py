"""Why pods are not ready, in the words of whoever knows: scheduler, kubelet, sidecar, engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sluicegate.api.reasons import Reason
from sluicegate.core.objects import Manifest, condition, is_true, terminating
from sluicegate.core.problem import Problem

_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})

# One restart may be an accident and heal; pods that keep on ending need somebody. An end after a long life
# is no loop, however many there were: kubelet forgets its own back-off after as long.
_RESTARTS_OF_A_LOOP = 2
# Four ends in a row, over a minute of the kubelet's waits between them: what passes, such as memory that pods
# on their way out still hold, has passed. Not so with the store, whose source may answer again.
_RESTARTS_WITHOUT_HOPE = 3
_LONG_LIFE = timedelta(minutes=10)
_CONFIGURATION = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


def diagnose(replica_set: Manifest | None, pods: Iterable[Manifest]) -> Problem | None:
    """The first thing that keeps a pod from being ready, or None where there is nothing but time.

    One that is without hope comes before any other.
    """
    if replica_set is not None and is_true(replica_set, "ReplicaFailure"):
        refused = condition(replica_set, "ReplicaFailure") or {}
        return Problem(Reason.POD_CREATION_FAILED, str(refused.get("message", "")))
    waiting = (pod for pod in pods if not is_true(pod, "Ready") and not terminating(pod))
    problems = [problem for pod in waiting if (problem := _problem_of(pod))]
    return max(problems, key=lambda problem: problem.final, default=None)


def _problem_of(pod: Manifest) -> Problem | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled and scheduled.get("status") == "False":
        return Problem(Reason.UNSCHEDULABLE, str(scheduled.get("message", "")), stalled=False)
    status = pod.get("status") or {}
    for container in (*_list(status, "initContainerStatuses"), *_list(status, "containerStatuses")):
        problem = _problem_of_container(container)
        if problem:
            return problem
    return None


def _list(status: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return status.get(key) or []


def _problem_of_container(container: Mapping[str, Any]) -> Problem | None:
    name = str(container.get("name", ""))
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason", ""))
    if reason in _IMAGE:
        return Problem(Reason.IMAGE_PULL_FAILED, f"container {name}: {waiting.get('message') or reason}")
    if reason in _CONFIGURATION:
        return Problem(
            Reason.POD_CONFIGURATION_FAILED, f"container {name}: {waiting.get('message') or reason}"
        )
    ended = _last_end(container)
    if ended is None:
        return None
    restarts = 0 if _lived_long(ended) else container.get("restartCount", 0)
    stalled = restarts >= _RESTARTS_OF_A_LOOP or reason == "CrashLoopBackOff"
    final = restarts >= _RESTARTS_WITHOUT_HOPE and name != "store"
    return replace(_problem_of_end(name, ended), stalled=stalled, final=final)


def _lived_long(ended: Mapping[str, Any]) -> bool:
    began, end = ended.get("startedAt"), ended.get("finishedAt")
    if not began or not end:
        return False
    return datetime.fromisoformat(end) - datetime.fromisoformat(began) >= _LONG_LIFE


def _last_end(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for state in ("state", "lastState"):
        ended = (container.get(state) or {}).get("terminated")
        if ended and ended.get("exitCode", 0) != 0:
            return ended  # type: ignore[no-any-return]
    return None


def _problem_of_end(name: str, ended: Mapping[str, Any]) -> Problem:
    words = last_words(str(ended.get("message", "")))
    code = ended.get("exitCode")
    if name == "store":
        return Problem(Reason.STORE_FAILED, words or f"the store ended with exit code {code}")
    if ended.get("reason") == "OOMKilled":
        return Problem(
            Reason.ENGINE_OUT_OF_MEMORY,
            "the engine took more memory than resources.memory allows: raise it, or lower "
            "engine.kvCache.memoryMiB or engine.maxModelLength",
        )
    return Problem(Reason.ENGINE_CRASH_LOOPING, words or f"the engine ended with exit code {code}")


def last_words(message: str) -> str:
    """The text of a termination message: of a JSON one, its error, and nothing where it tells of none."""
    try:
        parsed = json.loads(message)
        if isinstance(parsed, dict) and "error" not in parsed:
            return ""
        return f"{parsed['error']['reason']}: {parsed['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return message.strip()
