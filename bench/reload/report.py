"""What was seen, as rows beside their bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.operator.figures import Bar, Figure
from bench.reload.streams import Request, Window, longest_gap, rate

PINNED_SECONDS = 0.40
NEAR_SECONDS = 0.05


@dataclass(frozen=True)
class Parts:
    """One reload, in seconds.

    `drain`: until nothing was in flight. `gate`: to pause the empty engine. `copy`: of all weights. `check`:
    the checksum of all weights afterwards. `pause`: from the order to pause to the end of the one to resume.
    `held`: how long new requests waited at most, drain and proof included.
    """

    drain: float
    gate: float
    copy: float
    check: float
    pause: float
    held: float


@dataclass(frozen=True)
class Staging:
    """One staging: its seconds, the tokens a second meanwhile, and the longest gap between two tokens."""

    seconds: float
    rate: float
    gap: float


@dataclass(frozen=True)
class Rollback:
    """After a failure at the last tensor, in seconds: the copies back, and all until requests were let in."""

    copy: float
    whole: float


@dataclass(frozen=True)
class Machine:
    """Bytes a second to a GPU and from it, and the bytes of the weights that it holds."""

    up: float
    down: float
    weights: int

    @property
    def floor(self) -> float:
        """The least seconds that a copy of the weights from the host can take."""
        return self.weights / self.up


def machine_figures(machine: Machine) -> list[Figure]:
    return [
        Figure("page-locked host memory to the GPU", "GB/s", [machine.up / 1e9]),
        Figure("  from the GPU", "GB/s", [machine.down / 1e9]),
        Figure("weights", "GB", [machine.weights / 1e9]),
        Figure("  over the bandwidth", "s", [machine.floor]),
    ]


def switch_figures(name: str, parts: Sequence[Parts], bar: float) -> list[Figure]:
    return [
        Figure(f"{name}: pause", "s", [each.pause for each in parts], Bar("≤", bar)),
        *(Figure(f"  {part}", "s", [value(each) for each in parts]) for part, value in _PARTS.items()),
    ]


_PARTS: dict[str, Callable[[Parts], float]] = {
    "drain, before it": lambda parts: parts.drain,
    "gate": lambda parts: parts.gate,
    "copy": lambda parts: parts.copy,
    "check": lambda parts: parts.check,
    "new requests held, all in all": lambda parts: parts.held,
}


def copy_figure(machine: Machine, parts: Sequence[Parts]) -> Figure:
    """How much longer the copies took than the bus alone."""
    return Figure(
        "  copy over bytes/bandwidth", "×", [each.copy / machine.floor for each in parts], Bar("≤", 1.1)
    )


def rollback_figures(name: str, rollbacks: Sequence[Rollback]) -> list[Figure]:
    return [
        Figure(
            f"{name}: copies back after a failure at the last tensor",
            "s",
            [each.copy for each in rollbacks],
            Bar("≤", PINNED_SECONDS),
        ),
        Figure("  until requests are let in, proof included", "s", [each.whole for each in rollbacks]),
    ]


def observe(requests: Sequence[Request], windows: Sequence[Window]) -> list[Staging]:
    return [
        Staging(each.end - each.begin, rate(requests, each), longest_gap(requests, each)) for each in windows
    ]


def staging_figures(name: str, stagings: Sequence[Staging], before: float) -> list[Figure]:
    """`before` is the rate of tokens that nothing disturbed."""
    return [
        Figure(f"{name}: staging", "s", [each.seconds for each in stagings]),
        Figure("  tokens a second meanwhile", "", [each.rate for each in stagings]),
        Figure("  of those before", "%", [100 * each.rate / before for each in stagings], Bar("≥", 92)),
        Figure("  longest gap between two tokens", "s", [max(each.gap for each in stagings)], Bar("≤", 0.3)),
    ]


def failures(requests: Sequence[Request]) -> int:
    return sum(bool(request.failure) for request in requests)


def differences(one: Sequence[object], other: Sequence[object]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))
