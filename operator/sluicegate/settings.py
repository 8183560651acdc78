"""What an installation can choose about the operator, from flags and environment variables."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

DEFAULT_NAMESPACE = "sluicegate-system"
DEFAULT_PORT = 8080
DEFAULT_RESYNC_SECONDS = 600.0


@dataclass(frozen=True)
class Settings:
    """`namespaces` is empty for the whole cluster; `identity` names this process among its replicas.

    `freeze` is why no rollout goes on, empty while they do.
    """

    namespaces: tuple[str, ...]
    operator_namespace: str
    cuda_image: str
    cpu_image: str
    store_image: str
    http_port: int
    resync_seconds: float
    log_level: str
    identity: str
    freeze: str


def add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """Add the operator's flags. Each has an environment variable, which a flag overrides."""

    def add(flag: str, variable: str, default: str | None, text: str) -> None:
        value = environment.get(variable, default)
        parser.add_argument(flag, default=value, required=value is None, help=f"{text} [{variable}]")

    add("--namespaces", "SLUICEGATE_NAMESPACES", "", "comma-separated namespaces to serve; empty for all")
    add("--operator-namespace", "POD_NAMESPACE", DEFAULT_NAMESPACE, "where the Lease and the key are kept")
    add("--engine-image-cuda", "SLUICEGATE_ENGINE_IMAGE_CUDA", None, "default engine image for CUDA")
    add("--engine-image-cpu", "SLUICEGATE_ENGINE_IMAGE_CPU", None, "default engine image for CPU")
    add("--store-image", "SLUICEGATE_STORE_IMAGE", None, "image that brings model files into pods")
    add("--http-port", "SLUICEGATE_HTTP_PORT", str(DEFAULT_PORT), "port of /healthz, /readyz and /metrics")
    add(
        "--resync-seconds",
        "SLUICEGATE_RESYNC_SECONDS",
        str(DEFAULT_RESYNC_SECONDS),
        "how often every object is looked at again",
    )
    add("--log-level", "SLUICEGATE_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR")
    add(
        "--freeze",
        "SLUICEGATE_FREEZE",
        "",
        "why no rollout goes on, as if all were paused; empty: they do",
    )
    add("--identity", "POD_NAME", socket.gethostname(), "name of this replica in the Lease and in events")


def from_arguments(arguments: argparse.Namespace) -> Settings:
    """Settings from parsed flags; raises ValueError with the flag and what it takes."""
    return Settings(
        namespaces=tuple(name.strip() for name in arguments.namespaces.split(",") if name.strip()),
        operator_namespace=arguments.operator_namespace,
        cuda_image=arguments.engine_image_cuda,
        cpu_image=arguments.engine_image_cpu,
        store_image=arguments.store_image,
        http_port=int(_number("--http-port", arguments.http_port, 0, 65_535)),
        resync_seconds=_number("--resync-seconds", arguments.resync_seconds, 10, 86_400),
        log_level=_level(arguments.log_level),
        # A restarted container is another candidate: its predecessor's writes may still be on their way.
        identity=f"{arguments.identity}_{uuid4().hex[:8]}",
        freeze=" ".join(arguments.freeze.split()),
    )


def _number(flag: str, text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise ValueError(f"{flag} takes a number from {least:g} to {most:g}, not {text!r}")
    return number


def _level(text: str) -> str:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    if text.upper() not in levels:
        raise ValueError(f"--log-level takes one of {', '.join(levels)}, not {text!r}")
    return text.upper()
