"""kopf watches the two kinds of custom resources here, and does nothing else.

Each event only enqueues keys: kopf never reports a deletion that fell into a gap of its watch, and repeats
stale bodies, so nothing is read from an event that matters. This is the only module that imports kopf.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import kopf

from sluicegate.core.naming import FINALIZER, MANAGER
from sluicegate.kube.resources import LLM_DEPLOYMENT, MODEL_VERSION, Resource
from sluicegate.shell.intake import Intake

OUR_PREFIX = FINALIZER.partition("/")[0]

Login = Callable[..., Awaitable[kopf.ConnectionInfo | None]]


class Forever:
    """Delays whose last one repeats: kopf gives up, and ends the process, when they run out.

    Not an iterator and without a length, because kopf iterates over it anew for each request.
    """

    def __init__(self, *delays: float) -> None:
        self._delays = delays

    def __iter__(self) -> Iterator[float]:
        yield from self._delays
        yield from itertools.repeat(self._delays[-1])


class NoDiff(kopf.AnnotationsDiffBaseStorage):
    """No comparison with an earlier state. kopf copies each object for one at each event, asked or not."""

    def __init__(self) -> None:
        super().__init__(prefix=OUR_PREFIX)

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})


BACK_OFFS = Forever(1, 1, 2, 3, 5, 8, 13, 21, 30)


def kopf_settings(jitter: random.Random) -> kopf.OperatorSettings:
    """kopf without peering, event posting, discovery or anything that writes."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.error_backoffs = BACK_OFFS
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.enforce_retry_after = True
    # The API server takes whole seconds only.
    settings.watching.server_timeout = 300 + jitter.randint(0, 60)
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = None
    settings.watching.initial_streaming = True
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 1.0
    settings.queueing.error_delays = (1, 2, 5, 10)
    settings.execution.max_workers = 1
    settings.process.ultimate_exiting_timeout = 20
    # Nothing of these is ever written; were it, it should be known as ours.
    settings.persistence.finalizer = f"{OUR_PREFIX}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=OUR_PREFIX)
    settings.persistence.diffbase_storage = NoDiff()
    return settings


async def login(*, settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """Credentials from where our own client takes them: KUBECONFIG, the pod, or ~/.kube/config."""
    in_pod = None if os.environ.get("KUBECONFIG") else kopf.login_with_service_account(settings=settings)
    if in_pod is None:
        return kopf.login_with_kubeconfig(settings=settings)
    # kopf asks for kubernetes.default.svc, which needs a DNS service that answers; the address does not.
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return dataclasses.replace(in_pod, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")


class KopfHost:
    """Feeds the intake for as long as kopf runs. `namespaces` is ("",) for the whole cluster."""

    def __init__(
        self, intake: Intake, namespaces: tuple[str, ...], jitter: random.Random, login: Login = login
    ) -> None:
        self._intake = intake
        self._namespaces = namespaces
        self._settings = kopf_settings(jitter)
        self._registry = kopf.OperatorRegistry()
        self._ended = False
        kopf.on.login(registry=self._registry)(login)
        for kind in (MODEL_VERSION, LLM_DEPLOYMENT):
            self._observe(kind)

    @property
    def is_alive(self) -> bool:
        return not self._ended

    async def run(self, stop: asyncio.Event, started: Callable[[], None]) -> None:
        """Runs until `stop`, or until kopf gives up, which raises or returns early.

        Start it after every task that shall outlive it: at its end kopf cancels all tasks made since.
        `started` is called once kopf has put its own handlers of signals in place.
        """
        cluster_wide = self._namespaces == ("",)
        before = asyncio.all_tasks()
        try:
            tasks = await kopf.spawn_tasks(
                registry=self._registry,
                settings=self._settings,
                standalone=True,
                # kopf would ask for the name of a user that containers have no entry of.
                identity=MANAGER,  # type: ignore[arg-type]  # kopf does not export its type
                clusterwide=cluster_wide,
                namespaces=() if cluster_wide else self._namespaces,
                stop_flag=stop,
            )
            started()
            await kopf.run_tasks(tasks, ignored=before)
        finally:
            self._ended = True

    def _observe(self, kind: Resource) -> None:
        group, _, version = kind.api_version.partition("/")

        @kopf.on.event(group, version, kind.plural, registry=self._registry, id=kind.plural)
        async def observe(event: kopf.RawEvent, **_: Any) -> None:
            custom_resource = {**event["object"], "apiVersion": kind.api_version, "kind": kind.kind}
            self._intake.heard(event["type"], custom_resource)
