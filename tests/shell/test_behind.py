"""Waiting for a cache that lags behind our own writes."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders import a_model_version
from tests.shell.kit import until
from tests.shell.rig import DAY, Rig, a_cluster, a_deployment

pytestmark = pytest.mark.looptime(noop_cycles=1)


def live_reads(rig: Rig) -> int:
    return rig.wire.count("GET", "chat")


async def test_a_cache_that_has_gone_silent_is_not_made_up_for_by_a_storm_of_live_reads() -> None:
    async with a_cluster(a_model_version()) as rig:
        rig.wire.delay = lambda path: DAY if "replicasets" in path else 0
        await rig.create(a_deployment())
        await until(lambda: rig.meter.counts["stale", "ReplicaSet"])
        before = live_reads(rig)
        await asyncio.sleep(4)
        assert rig.meter.counts["stale", "ReplicaSet"] > 2
        assert live_reads(rig) - before <= 12
