"""An operator's process in the simulator: the real operator and its real life, restarted when it ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from tests.builders import DEFAULTS
from tests.shell.kit import CountingMeter
from tests.sim.apiserver import loop_time
from tests.sim.clock import now
from tests.sim.conditions import Conditions
from tests.sim.faults import Script
from tests.sim.kopf import ModelledKopf
from tests.sim.reach import Reach
from tests.sim.standstill import Gate
from tests.sim.wire import Journal, Wire
from tests.sim.world import World

from sluicegate.host.process import Process
from sluicegate.kube.client import Client
from sluicegate.kube.errors import ApiError
from sluicegate.kube.transport import Transport
from sluicegate.shell.lease import LeadershipLost, Timing
from sluicegate.shell.operator import Operator, Options, Surroundings
from sluicegate.shell.token_key import token_key

NAMESPACE = "models"
HOME = DEFAULTS.operator_namespace
RESTART_SECONDS = (1.0, 10.0, 20.0, 40.0)
"""How long the kubelet waits before each restart: at once, and then longer each time."""


@dataclass(frozen=True)
class Installation:
    """How the operator is installed."""

    identity: str = "operator-0"
    namespaces: tuple[str, ...] = (NAMESPACE,)
    resync_seconds: float = 600.0
    lease: Timing = field(default_factory=Timing)


class OperatorProcess:
    """One replica of the operator. `exits` are the errors with which it ended, each with its time.

    `skew` is by how much its wall clock is wrong.
    """

    def __init__(
        self,
        world: World,
        script: Script,
        journal: Journal,
        installation: Installation,
        way: Transport,
        writing: Callable[[str], AbstractContextManager[None]] = lambda sender: nullcontext(),
    ) -> None:
        self._world = world
        self._script = script
        self._journal = journal
        self.installation = installation
        self._way = way
        self._writing = writing
        self._killed = asyncio.Event()
        self._stopping = False
        self._process: Process | None = None
        self._gate = Gate()
        self.operator: Operator | None = None
        self.wire: Wire | None = None
        self.meter = CountingMeter()
        self.exits: list[tuple[float, BaseException]] = []
        self.kills = 0
        self.conditions = Conditions()
        self.skew = timedelta(0)

    async def run(self) -> None:
        """Runs until cancelled, or until `stop` has ended it in order."""
        while not self._stopping:
            life = asyncio.create_task(self._live(), context=self._gate.context())
            killed = asyncio.create_task(self._killed.wait())
            try:
                await asyncio.wait([life, killed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Nothing that its last code does can reach anybody.
                self._sever()
                self._gate.open()
                await _ended(killed)
                error = await _ended(life)
            if self._killed.is_set():
                self._killed.clear()
                self.kills += 1
            elif error is not None:
                self.exits.append((now(), error))
            if not self._stopping:
                await asyncio.sleep(self._back_off())

    def kill(self) -> None:
        """SIGKILL."""
        self._sever()
        self._killed.set()

    def lose(self) -> None:
        """Its node is gone, and it with it: killed, and nobody starts it again."""
        self._stopping = True
        self.kill()

    def stop(self) -> None:
        """SIGTERM. `run` returns once it has ended."""
        self._stopping = True
        if self._process is not None:
            self._process.stop.set()

    def pause(self) -> None:
        """SIGSTOP, in the middle of what it does: a request that it is sending is sent when it goes on."""
        self._gate.shut()

    def resume(self) -> None:
        """SIGCONT."""
        self._gate.open()

    @property
    def identity(self) -> str:
        return self.installation.identity

    @property
    def is_warm(self) -> bool:
        return self.operator is not None and self.operator.view.is_synced

    @property
    def leads(self) -> bool:
        return self.is_warm and self.operator is not None and self.operator.lease.held()

    async def _live(self) -> None:
        wire = self.wire = Wire(
            self._world.server,
            self._way,
            self._script,
            self._journal,
            self.identity,
            self._gate,
            self.kill,
            partial(self._writing, self.identity),
            self.conditions,
        )
        key = await token_key(Client(wire), HOME)
        chosen = self.installation
        options = Options(
            chosen.identity,
            chosen.namespaces,
            chosen.resync_seconds,
            replace(DEFAULTS, token_key=key),
            chosen.lease,
        )
        reach = Reach(self._world, wire)
        surroundings = Surroundings(
            wire, self._wall, random.Random(0), self.meter, lambda *_: None, reach, reach
        )
        self.operator = Operator(options, surroundings)
        kopf = ModelledKopf(wire, self.operator.intake, chosen.namespaces or ("",))
        self._process = Process(self.operator, kopf, started=lambda: None)
        await self._process.run()

    def _wall(self) -> datetime:
        return loop_time() + self.skew

    def _sever(self) -> None:
        if self.wire is not None:
            self.wire.severed = True
        self.operator = self._process = None

    def _back_off(self) -> float:
        recent = [at for at, _ in self.exits if now() - at < 600]
        return RESTART_SECONDS[min(len(recent), len(RESTART_SECONDS) - 1)]


def expected(error: BaseException) -> bool:
    """Whether a process may end so: it cannot go on, and starts anew."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(expected, error.exceptions))
    return isinstance(error, (ApiError, LeadershipLost))


async def _ended(task: asyncio.Task[object]) -> BaseException | None:
    """Cancel a task, wait for its end, and return with what it failed."""
    task.cancel()
    await asyncio.wait([task])
    return None if task.cancelled() else task.exception()
