"""The container's log where nobody reads it: what is written waits for nobody."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine.pod import start_pod

from sluicegate_engine.outlet import Outlet

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Its two ends, to read from and to write to."""
    ends = os.pipe()
    yield ends
    for each in ends:
        os.close(each)


def read_all(descriptor: int) -> bytes:
    os.set_blocking(descriptor, False)
    found = b""
    while True:
        try:
            found += os.read(descriptor, 1 << 20)
        except BlockingIOError:
            return found


def test_what_is_read_arrives_whole_and_in_order(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    text = b"".join(b"%d\n" % n for n in range(5000))
    outlet.write(text)
    assert read_all(pipe[0]) == text


def test_a_log_that_nobody_reads_holds_nobody_up_and_says_what_was_lost(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    began = time.monotonic()
    for _ in range(2000):
        outlet.write(LINE)
    assert time.monotonic() - began < 5
    before = read_all(pipe[0])
    outlet.write(b"again\n")
    lost = 2000 * len(LINE) - len(before)
    assert 0 < lost < 2000 * len(LINE)
    assert before == LINE * (len(before) // len(LINE))
    assert read_all(pipe[0]) == b"\n[sluicegate-engine: %d bytes of the log were lost here]\nagain\n" % lost


def test_a_part_that_did_not_fit_is_counted(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    outlet.write(b"x" * (1 << 20))
    taken = len(read_all(pipe[0]))
    outlet.write(b"")
    assert b"%d bytes" % ((1 << 20) - taken) in read_all(pipe[0])


async def test_a_pod_whose_log_nobody_reads_serves_on(pipe: tuple[int, int], tmp_path: Path) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    pod = await start_pod(tmp_path, tmp_path, module="tests.engine.fake_vllm", stdout=pipe[1])
    try:
        await pod.until("Serving")
        async with asyncio.timeout(60):
            # Their lines are more than both pipes hold, the container's and vLLM's.
            for _ in range(400):
                refused = await pod.complete(n=3)
                assert refused.status == 400
            assert (await pod.ready() or {})["ready"]
            assert (await pod.complete()).status == 200
    finally:
        await pod.close()


def test_a_reader_that_has_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    Outlet(writer).write(LINE)
    os.close(writer)
