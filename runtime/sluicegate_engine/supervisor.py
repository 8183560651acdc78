"""PID 1 of the engine container: starts vLLM, proves it, lets requests in, and ends it in the right order.

One coroutine tells the life of the pod from top to bottom. Whatever ends it early is a FatalError, and what
it said is in the container's termination message.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from sluicegate_engine.admission import Admission
from sluicegate_engine.control_server import ControlServer
from sluicegate_engine.evidence import NOTE, Evidence, write_statement
from sluicegate_engine.fatal import FatalError
from sluicegate_engine.gate_settings import GateSettings
from sluicegate_engine.inquest import Inquest
from sluicegate_engine.launch import engine_command, engine_environment
from sluicegate_engine.link import Command, Report, SupervisorLink
from sluicegate_engine.liveness import Patience
from sluicegate_engine.metrics import Metrics
from sluicegate_engine.outlet import Outlet
from sluicegate_engine.pointer import read_pointer
from sluicegate_engine.probe_server import ProbeServer
from sluicegate_engine.process import Engine
from sluicegate_engine.reaper import Reaper
from sluicegate_engine.reload.committed import newest, read_committed
from sluicegate_engine.reload.proof import Prover
from sluicegate_engine.reload.ranks import Ranks
from sluicegate_engine.reload.reloads import Reloads
from sluicegate_engine.reload.store import StoreClient
from sluicegate_engine.reload.transaction import Pod
from sluicegate_engine.settings import Settings
from sluicegate_engine.status import Phase, Status
from sluicegate_engine.tracer import tracer_from
from sluicegate_engine.warmup import engine_version, warm_up
from sluicegate_engine.watchdog import Watchdog
from sluicegate_engine.witness import ask
from sluicegate_engine.workplace import workplace

_T = TypeVar("_T")
_LOG = logging.getLogger("sluicegate_engine")
_SCAN_SECONDS = 0.5
_LAST_WORDS_SECONDS = 1.0
_NEWS_SECONDS = 0.5
_SOCKET, _STACKS = "gate", "stacks"
_FAILED_CODE = 1
_FORCED_CODE = 128 + signal.SIGTERM


class Supervisor:
    """One run. `clock` gives the time of day for people to read; durations come from the event loop."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._status = Status(clock)
        self._evidence = Evidence()
        self._key = secrets.token_hex(16)
        self._link = SupervisorLink(Command(Admission.CLOSED, ""))
        self._engine: Engine | None = None
        self._inquest = Inquest(settings.quarantine_record, settings.max_concurrent, time.monotonic)
        self._drain_ordered = asyncio.Event()
        self._end_ordered = asyncio.Event()
        self._kill_ordered = asyncio.Event()

    async def run(self) -> int:
        """Supervise until the end. Returns the exit code: 0 after an ordered end, else not 0."""
        self._handle_signals()
        with workplace() as place:
            (place / _STACKS).mkdir()
            async with aiohttp.ClientSession() as session:
                tracer = tracer_from(os.environ)
                reloads = Reloads(self._pod(session), tracer)
                async with self._ports(session, place, reloads):
                    code = await self._supervise(self._live(session, place, reloads))
        await asyncio.to_thread(tracer.close)
        return code

    async def _supervise(self, living: Coroutine[Any, Any, int]) -> int:
        """Live to the end, or until told a second time to end."""
        life = asyncio.create_task(living)
        kill = asyncio.create_task(self._kill_ordered.wait())
        await asyncio.wait((life, kill), return_when=asyncio.FIRST_COMPLETED)
        kill.cancel()
        if life.done():
            return life.result()
        life.cancel()
        await asyncio.wait((life,))
        await self._kill_engine()
        return _FORCED_CODE

    async def _live(self, session: aiohttp.ClientSession, place: Path, reloads: Reloads) -> int:
        try:
            if await self._before(self._drain_ordered, self._bring_up(session, place, reloads)):
                await self._unless_dead(
                    self._before(self._drain_ordered, self._serve(session, place, reloads))
                )
                self._enter(Phase.DRAINING, "still serving until everybody who sends knows")
                await self._unless_dead(reloads.end())
                await self._unless_dead(self._drain())
            else:
                self._enter(Phase.DRAINING, "ordered to end before the engine was ready")
            await self._unless_dead(self._end_ordered.wait())
        except FatalError as failure:
            reloads.abandon()
            return await self._fail(failure)
        if self._engine is not None:
            await self._engine.stop(self._settings.stop_seconds)
        _LOG.info("ended in order")
        return 0

    async def _bring_up(self, session: aiohttp.ClientSession, place: Path, reloads: Reloads) -> bool:
        settings = self._settings
        pointer = newest(read_pointer(settings.pointer), read_committed(settings.record))
        self._status.target, self._status.sequence = pointer.model, pointer.sequence
        self._command(Admission.CLOSED)
        await reloads.fetch_missing(pointer.model)
        gate = GateSettings(
            str(place / _SOCKET),
            self._key,
            pointer.model.version,
            settings.max_concurrent,
            settings.max_queued,
            settings.max_queued_prompt_tokens,
            request_log=settings.request_log,
            roster=self._inquest.descriptor,
            fingerprint_key=self._inquest.record.key,
            suspects=self._inquest.record.suspects,
            quarantine_seconds=settings.quarantine_seconds,
        )
        command = engine_command(settings, pointer)
        environment = engine_environment(os.environ, gate, place / _STACKS, settings.engine_flags)
        inherited = (self._inquest.descriptor,)
        self._engine = Engine(command, environment, Reaper(), self._evidence.add, inherited)
        self._enter(Phase.LOADING, "vLLM loads the model")
        await self._unless_dead(self._prove(session, self._engine))
        self._evidence.users_arrive()
        self._leave(NOTE)
        self._command(Admission.OPEN)
        await self._unless_dead(self._link.wait_until(lambda report: report.admission is Admission.OPEN))
        self._enter(Phase.SERVING, str(pointer.model))
        return True

    async def _prove(self, session: aiohttp.ClientSession, engine: Engine) -> None:
        watch = asyncio.create_task(_watch_workers(engine))
        try:
            await self._link.wait_until(lambda report: True)
            self._inquest.begin()
            self._enter(Phase.WARMING, "the first generation")
            await warm_up(session, self._base_url, self._settings.served_model_name, self._key)
            self._status.vllm = await engine_version(session, self._base_url, self._key)
        finally:
            watch.cancel()
        engine.watch_workers()

    async def _serve(self, session: aiohttp.ClientSession, place: Path, reloads: Reloads) -> None:
        """Serve until something has to end the container. Raises its FatalError."""
        watching = asyncio.create_task(self._watchdog(session, place).run())
        failing = asyncio.create_task(reloads.fail())
        try:
            done, _ = await asyncio.wait((watching, failing), return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            watching.cancel()
            failing.cancel()

    async def _drain(self) -> None:
        """Serve on while the news spreads, then refuse and let what was taken finish, at most so long."""
        settings = self._settings
        self._command(Admission.DRAINING)
        await asyncio.sleep(settings.linger_seconds)
        self._enter(Phase.DRAINING, "refusing new requests; those in flight finish")
        self._command(Admission.REFUSING)
        try:
            async with asyncio.timeout(settings.drain_seconds):
                await self._link.wait_until(_is_drained)
            self._enter(Phase.DRAINING, "nothing is in flight")
        except TimeoutError:
            left = self._link.report.in_flight if self._link.report else 0
            self._enter(Phase.DRAINING, f"the deadline has passed with {left} requests in flight")
        self._command(Admission.CLOSED)

    async def _fail(self, failure: FatalError) -> int:
        """Not ready at once; then collect the evidence, let vLLM tell its clients, and kill what is left."""
        # A reload and an ordered end bring an engine down in ways of their own.
        blame = self._status.phase is Phase.SERVING and not self._status.reloads
        self._enter(Phase.FAILED, failure.message, failure.reason)
        self._command(Admission.CLOSED)
        if self._engine is not None:
            await self._engine.ended(_LAST_WORDS_SECONDS)
            await self._engine.kill()
        cause = self._evidence.cause
        first = f"; first error: {cause}" if cause else ""
        told = FatalError(failure.reason, failure.message + self._inquest.hold(blame=blame) + first)
        self._leave(self._evidence.statement(told))
        _LOG.error("%s", told)
        return _FAILED_CODE

    def _leave(self, last_words: str) -> None:
        if not write_statement(self._settings.termination_log, last_words):
            _LOG.warning("the termination message could not be written to %s", self._settings.termination_log)

    def _pod(self, session: aiohttp.ClientSession) -> Pod:
        """What reloads work on."""
        settings = self._settings
        return Pod(
            self._status,
            self._link,
            Ranks(self._link.order),
            StoreClient(session, settings.store_url),
            Prover(session, self._base_url, settings.served_model_name, self._key),
            settings.models,
            settings.record,
            settings.hold_seconds,
            quiesce_seconds=settings.drain_seconds,
        )

    def _watchdog(self, session: aiohttp.ClientSession, place: Path) -> Watchdog:
        settings = self._settings
        assert self._engine is not None, "who serves has an engine"
        return Watchdog(
            Patience(settings.doubt_seconds, settings.stuck_seconds, settings.first_answer_seconds),
            self._status,
            self._link,
            partial(warm_up, session, self._base_url, settings.served_model_name, self._key, tokens=1),
            partial(_testify, self._engine, place / _STACKS),
        )

    async def _kill_engine(self) -> None:
        _LOG.warning("told to end a second time: killing the engine")
        if self._engine is not None:
            await self._engine.kill()

    async def _unless_dead(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do the work, and raise FatalError EngineDied the moment that a process of the engine dies."""
        if self._engine is None:
            return await work
        task = asyncio.create_task(work)
        died = self._engine.died
        try:
            await asyncio.wait((task, died), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and task.exception() is not None:
                # A broken connection is noticed before the death that broke it.
                await asyncio.wait((died,), timeout=_NEWS_SECONDS)
            if died.done():
                raise FatalError("EngineDied", f"{died.result()} while {self._status.phase}")
            return task.result()
        finally:
            task.cancel()

    async def _before(self, event: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T | None:
        """Do the work, or give it up with None when the event comes first."""
        task = asyncio.create_task(work)
        waiter = asyncio.create_task(event.wait())
        try:
            await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            waiter.cancel()
            task.cancel()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)

    def _end(self) -> None:
        if self._end_ordered.is_set():
            self._kill_ordered.set()
        self._drain_ordered.set()
        self._end_ordered.set()

    def _command(self, admission: Admission) -> None:
        target = self._status.target
        self._link.send(Command(admission, target.version if target else ""))

    def _enter(self, phase: Phase, message: str, reason: str = "") -> None:
        self._status.enter(phase, message, reason)
        _LOG.info("%s: %s", phase, message)

    @property
    def _base_url(self) -> str:
        settings = self._settings
        host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
        return f"http://{host}:{settings.serving_port}"

    @asynccontextmanager
    async def _ports(
        self, session: aiohttp.ClientSession, place: Path, reloads: Reloads
    ) -> AsyncIterator[None]:
        """The ports that answer from the first second to the last, and the gate's socket."""
        settings = self._settings
        metrics = Metrics(self._status, self._link, reloads)
        probe = ProbeServer(self._status, metrics, session, self._base_url, self._key)
        control = ControlServer(
            self._status, self._link, settings.control_token_file, self._drain_ordered.set, reloads
        )
        server = await self._link.listen(place / _SOCKET)
        applications = (probe.application(), control.application())
        runners = [web.AppRunner(app, access_log=None) for app in applications]
        try:
            for runner, port in zip(runners, (settings.probe_port, settings.control_port), strict=True):
                await runner.setup()
                await web.TCPSite(runner, settings.host, port, shutdown_timeout=0).start()
            yield
        finally:
            for runner in runners:
                await runner.cleanup()
            server.close()


async def _watch_workers(engine: Engine) -> None:
    while True:
        engine.watch_workers()
        await asyncio.sleep(_SCAN_SECONDS)


async def _testify(engine: Engine, stacks: Path) -> str:
    """Have its processes say where they are: all of it to the log, a line each, and the gist returned."""
    log, told = Outlet(2), await ask(stacks, engine.processes())
    for each in told:
        log.write(each.line())
    return "; ".join(map(str, told))


def _is_drained(report: Report) -> bool:
    return report.admission is Admission.REFUSING and not report.in_flight and not report.queued
