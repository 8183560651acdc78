"""The pod's worker extension, watched and made to fail on order.

BENCH_RELOAD names a folder. Its file `orders` is read when something is staged or switched: {"near": whether
the GPU's spare memory may be used, "fail": whether the copy of the last piece fails, on the last rank alone}.
To its file `events` a line is added for each step: {"name", "seconds"}.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.reload.driver import EVENTS, ORDERS, VARIABLE
from sluicegate_engine.reload.accelerator import Accelerator, Cuda
from sluicegate_engine.reload.inplace import InPlaceCopy
from sluicegate_engine.reload.worker import ReloadExtension


def ordered(what: str) -> bool:
    return bool(json.loads((Path(os.environ[VARIABLE]) / ORDERS).read_text())[what])


@contextmanager
def event(name: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        line = json.dumps({"name": name, "seconds": time.perf_counter() - began})
        with (Path(os.environ[VARIABLE]) / EVENTS).open("a") as file:
            file.write(line + "\n")


class _Cramped(Cuda):
    """A GPU that has no room to spare unless ordered so."""

    def room(self) -> int:
        return super().room() if ordered("near") else 0


class _WatchedCopy(InPlaceCopy):
    may_fail = False

    def fill(self, *arguments: Any) -> None:
        with event("fill"):
            super().fill(*arguments)

    def _take_memory(self, *arguments: Any) -> None:
        with event("take memory"):
            super()._take_memory(*arguments)

    def _back_up(self, *arguments: Any) -> None:
        with event("back up"):
            super()._back_up(*arguments)

    def _measure(self, *arguments: Any) -> None:
        with event("measure"):
            super()._measure(*arguments)

    def switch(self) -> None:
        if self.may_fail and ordered("fail"):
            target, source = self._forth[-1]
            self._forth[-1] = target, source[:-1]
        with event("switch"):
            super().switch()

    def restore(self) -> None:
        # Copies that are still on their way are no part of the way back.
        self._accelerator.finish()
        with event("restore"):
            super().restore()


class WatchedExtension(ReloadExtension):
    rank: int

    def sluicegate_checksum(self, staged: bool) -> dict[str, Any]:
        with event("expected" if staged else "checksum"):
            return super().sluicegate_checksum(staged)

    def _sluicegate_way(self) -> Any:
        kept = self.__dict__
        if "_sluicegate_copy" not in kept:
            model = self.model_runner.get_model()
            ranks = self.vllm_config.parallel_config.world_size
            copy = _WatchedCopy(model, self.vllm_config, self._sluicegate_accelerator(), ranks)
            copy.may_fail = self.rank == ranks - 1
            kept["_sluicegate_copy"] = copy
        return kept["_sluicegate_copy"]

    def _sluicegate_accelerator(self) -> Accelerator:
        return _Cramped(torch.device(self.device))
