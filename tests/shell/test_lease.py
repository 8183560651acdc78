"""Leader election beside the fake API server: one leads, and one that can't renew stops in time."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta

import pytest
from tests.shell.kit import now, running, until
from tests.shell.wire import Wire
from tests.sim.apiserver import ApiServer, loop_time

from sluicegate.kube.client import Client
from sluicegate.kube.resources import LEASE
from sluicegate.kube.transport import Response
from sluicegate.shell.lease import LeadershipLost, Lease, Timing

pytestmark = pytest.mark.looptime(noop_cycles=1)


class Candidate:
    """One operator that wants to lead, over a wire of its own, with a wall clock that may be wrong."""

    def __init__(self, server: ApiServer, name: str, clock_skew: timedelta = timedelta()) -> None:
        self.wire = Wire(server)
        self.skew = clock_skew
        self.lease = Lease(
            Client(self.wire, timeout=3600),
            "default",
            "operator",
            name,
            lambda: loop_time() + self.skew,
            random.Random(name),
            Timing(),
        )

    def is_cut_off(self) -> None:
        self.wire.refuse = lambda method, path: Response(503, b"down")


async def holder(server: ApiServer) -> str:
    record = await Client(server).get(LEASE, "default", "operator")
    return str(record["spec"]["holderIdentity"])


async def test_the_first_candidate_leads_at_once_and_goes_on_leading() -> None:
    server = ApiServer()
    first = Candidate(server, "first")
    async with running(first.lease.run()):
        await first.lease.acquired.wait()
        assert now() == 0
        for _ in range(1000):
            await asyncio.sleep(1)
            assert first.lease.held()
        assert await holder(server) == "first"


async def test_of_two_only_one_leads_ever() -> None:
    server = ApiServer()
    pair = [Candidate(server, "a"), Candidate(server, "b")]
    async with running(*(each.lease.run() for each in pair)):
        for _ in range(500):
            await asyncio.sleep(0.5)
            assert sum(each.lease.held() for each in pair) == 1


async def test_a_standby_takes_over_within_17_seconds_of_a_death() -> None:
    server = ApiServer()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    leading = asyncio.create_task(first.lease.run())
    await first.lease.acquired.wait()
    async with running(second.lease.run()):
        await asyncio.sleep(60)
        leading.cancel()
        assert await until(second.lease.acquired.is_set) <= 17


@pytest.mark.parametrize("renewals", range(25, 45))
async def test_a_standby_takes_over_within_17_seconds_of_the_last_renewal_whenever_it_had_looked(
    renewals: int,
) -> None:
    server = ApiServer()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    leading = asyncio.create_task(first.lease.run())
    await first.lease.acquired.wait()
    async with running(second.lease.run()):
        await until(lambda: sum(each.method == "PUT" for each in first.wire.sent) == renewals)
        renewed = first.wire.sent[-1].at
        leading.cancel()
        await second.lease.acquired.wait()
        assert now() - renewed <= 17


async def test_losing_a_race_for_the_lease_is_nothing_to_warn_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    server = ApiServer()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    taken = json.dumps({"kind": "Status", "code": 409, "reason": "Conflict", "message": "modified"})
    async with running(first.lease.run()):
        await first.lease.acquired.wait()
        await first.lease.release()
        second.wire.refuse = lambda method, path: Response(409, taken.encode()) if method == "PUT" else None
        async with running(second.lease.run()):
            await asyncio.sleep(1)
    assert any("wrote the Lease first" in each.message for each in caplog.records)
    assert not [each.message for each in caplog.records if each.levelname == "WARNING"]


async def test_a_graceful_end_hands_over_within_2_seconds() -> None:
    server = ApiServer()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    leading = asyncio.create_task(first.lease.run())
    await first.lease.acquired.wait()
    async with running(second.lease.run()):
        await asyncio.sleep(60)
        leading.cancel()
        await first.lease.release()
        assert not first.lease.held()
        assert await until(second.lease.acquired.is_set) <= 2


async def test_a_leader_that_is_cut_off_stops_before_anybody_else_may_start() -> None:
    server = ApiServer()
    first, second = Candidate(server, "first"), Candidate(server, "second")
    leading = asyncio.create_task(first.lease.run())
    await first.lease.acquired.wait()
    async with running(second.lease.run()):
        await asyncio.sleep(61)
        first.is_cut_off()
        with pytest.raises(LeadershipLost):
            await leading
        assert not first.lease.held()
        assert not second.lease.acquired.is_set()
        await second.lease.acquired.wait()


async def test_requests_that_hang_are_given_up_and_leadership_ends_at_the_deadline() -> None:
    server = ApiServer()
    first = Candidate(server, "first")
    leading = asyncio.create_task(first.lease.run())
    await first.lease.acquired.wait()
    await asyncio.sleep(60)
    last = max(each.at for each in first.wire.sent if each.method == "PUT")
    first.wire.server = Hanging()
    with pytest.raises(LeadershipLost):
        await leading
    assert now() == pytest.approx(last + Timing().renew_deadline)


async def test_a_process_that_was_stopped_knows_at_once_that_it_may_not_write() -> None:
    lease = Candidate(ApiServer(), "first").lease
    leading = asyncio.create_task(lease.run())
    await lease.acquired.wait()
    leading.cancel()
    await asyncio.sleep(45)
    with pytest.raises(LeadershipLost):
        lease.check()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_wrong_wall_clock_neither_loses_nor_steals_the_lease(hours: int) -> None:
    server = ApiServer()
    first, second = Candidate(server, "first"), Candidate(server, "second", timedelta(hours=hours))
    async with running(first.lease.run(), second.lease.run()):
        await first.lease.acquired.wait()
        for _ in range(100):
            await asyncio.sleep(1)
            first.skew = -first.skew + timedelta(hours=hours)
            assert first.lease.held()
            assert not second.lease.acquired.is_set()


async def test_a_lease_that_somebody_else_took_is_lost_at_the_next_renewal() -> None:
    server = ApiServer()
    first = Candidate(server, "first")
    leading = asyncio.create_task(first.lease.run())
    await first.lease.acquired.wait()
    await Client(server).patch_merge(
        LEASE, "default", "operator", {"spec": {"holderIdentity": "thief"}}, "kubectl"
    )
    with pytest.raises(LeadershipLost):
        await leading
    assert now() <= 2


async def test_a_foreign_annotation_on_the_lease_costs_one_renewal_at_most() -> None:
    server = ApiServer()
    first = Candidate(server, "first")
    async with running(first.lease.run()):
        await first.lease.acquired.wait()
        for number in range(30):
            patch = {"metadata": {"annotations": {"note": str(number)}}}
            await Client(server).patch_merge(LEASE, "default", "operator", patch, "kubectl")
            await asyncio.sleep(3)
            assert first.lease.held()


async def test_transitions_are_counted_and_times_written_as_kubernetes_does() -> None:
    server = ApiServer()
    for name in ("first", "second"):
        candidate = Candidate(server, name)
        leading = asyncio.create_task(candidate.lease.run())
        await candidate.lease.acquired.wait()
        leading.cancel()
        await candidate.lease.release()
    spec = (await Client(server).get(LEASE, "default", "operator"))["spec"]
    assert spec["leaseTransitions"] == 1
    assert spec["holderIdentity"] == ""
    assert spec["renewTime"] == "2026-01-01T00:00:00.000000Z"


class Hanging:
    """A network that swallows requests."""

    async def request(self, *_: object) -> Response:
        await asyncio.sleep(100_000)
        raise AssertionError("nobody waits that long")

    def stream(self, path: str, query: object) -> None:
        raise AssertionError("a lease is not watched")

    async def close(self) -> None: ...
