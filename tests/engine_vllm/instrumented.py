"""The worker extension with eyes and a fault: tells what weights serve, and fails where the test says.

Files in the pod's directory: `checksums-<rank>` gets a line at the beginning of each reload, and `fault`
names the rank whose exchange fails at its last layer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sluicegate_engine.reload import exchange
from sluicegate_engine.reload.worker import ReloadExtension

_PAIRS = exchange.exchange


class InstrumentedExtension(ReloadExtension):
    rank: int

    def sluicegate_describe(self) -> dict[str, Any]:
        with (_directory() / f"checksums-{self.rank}").open("a") as file:
            file.write(self.sluicegate_checksum(staged=False)["digest"] + "\n")
        return super().sluicegate_describe()

    def sluicegate_switch(self) -> dict[str, Any]:
        fault = _directory() / "fault"
        if not fault.exists() or int(fault.read_text()) != self.rank:
            return super().sluicegate_switch()
        left = len(self._sluicegate_staged.way._pairs)

        def failing(pair: exchange.Pair) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                exchange.exchange = _PAIRS
                raise RuntimeError("the last layer fails")
            _PAIRS(pair)

        exchange.exchange = failing
        return super().sluicegate_switch()


def _directory() -> Path:
    return Path(os.environ["POD_DIRECTORY"])
