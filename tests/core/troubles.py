"""Troubles: what may be seen of a pod that is not ready, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tests.builders import STARTING, ended, unschedulable, waiting

SCHEDULER = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
STORE_SAYS = '{"error": {"reason": "DigestMismatch", "message": "blob 3 differs", "retryable": false}}'

# pod status -> reason, words in the message, stalled
TROUBLES: dict[str, tuple[Mapping[str, Any], str, str, bool]] = {
    "no node has room": (unschedulable(SCHEDULER), "Unschedulable", SCHEDULER, False),
    "the image is unknown": (
        waiting("ErrImagePull", "manifest unknown"),
        "ImagePullFailed",
        "engine: manifest unknown",
        True,
    ),
    "the pull backs off": (
        waiting("ImagePullBackOff", container="store"),
        "ImagePullFailed",
        "store: ImagePullBackOff",
        True,
    ),
    "the image's name is no name": (waiting("InvalidImageName"), "ImagePullFailed", "engine", True),
    "a Secret is missing": (
        waiting("CreateContainerConfigError", 'secret "hub" not found', "store"),
        "PodConfigurationFailed",
        'secret "hub" not found',
        True,
    ),
    "a container cannot be made": (
        waiting("RunContainerError"),
        "PodConfigurationFailed",
        "RunContainerError",
        True,
    ),
    "the store failed once": (
        ended(STORE_SAYS, container="store"),
        "StoreFailed",
        "DigestMismatch: blob 3 differs",
        False,
    ),
    "the store fails on and on": (
        ended(STORE_SAYS, container="store", restarts=3),
        "StoreFailed",
        "DigestMismatch: blob 3 differs",
        True,
    ),
    "the store ended without a word": (
        ended(container="store", exit_code=9, restarts=2, backing_off=True),
        "StoreFailed",
        "exit code 9",
        True,
    ),
    "the engine ended once": (ended("CUDA error"), "EngineCrashLooping", "CUDA error", False),
    "the engine was stuck": (
        ended('{"error": {"reason": "EngineStuck", "message": "no token for 25 s"}, "lastLines": []}'),
        "EngineCrashLooping",
        "EngineStuck: no token for 25 s",
        False,
    ),
    "the engine was restarted once": (
        ended("CUDA error", restarts=1),
        "EngineCrashLooping",
        "CUDA error",
        False,
    ),
    "the engine backs off": (
        ended("CUDA error", restarts=1, backing_off=True),
        "EngineCrashLooping",
        "CUDA error",
        True,
    ),
    "the engine ends again and again": (
        ended("CUDA error", restarts=2),
        "EngineCrashLooping",
        "CUDA error",
        True,
    ),
    "the engine ended again after months": (
        ended("CUDA error", restarts=5, lived=timedelta(days=90)),
        "EngineCrashLooping",
        "CUDA error",
        False,
    ),
    "the engine never began": (
        ended("no such file: sluicegate-engine", restarts=2, lived=None),
        "EngineCrashLooping",
        "no such file",
        True,
    ),
    "the engine ended without a word": (ended(exit_code=137), "EngineCrashLooping", "exit code 137", False),
    "the engine was killed while it served": (
        ended('{"note": "requests were taken"}', exit_code=137),
        "EngineCrashLooping",
        "exit code 137",
        False,
    ),
    "the engine took too much memory": (
        ended(exit_code=137, reason="OOMKilled", restarts=2),
        "EngineOutOfMemory",
        "resources.memory",
        True,
    ),
    "nothing but time": (STARTING, "Provisioning", "waits for its pods", False),
    "a container that ended well": (ended(exit_code=0), "Provisioning", "waits for its pods", False),
    "a pod that is only made": ({}, "Provisioning", "waits for its pods", False),
}
