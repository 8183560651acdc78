"""Which traces are recorded, and where they go: by OpenTelemetry's own environment variables.

Without an endpoint nothing is exported. Traces have their ids all the same, for log and vLLM.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sluicegate_engine.otlp import Build, Exporter, collector_from
from sluicegate_engine.trace_context import SAMPLED, TraceContext

_T = TypeVar("_T")
_LOG = logging.getLogger("sluicegate_engine")
_RANDOM = 0b10
_IDS = 1 << 64
_DEFAULT = "parentbased_always_on"


@dataclass(frozen=True)
class Sampler:
    """`share` of the traces that begin here is recorded; with `by_parent`, others as their caller does."""

    share: float = 1.0
    by_parent: bool = True

    def records(self, trace_id: str, caller: TraceContext | None) -> bool:
        if caller is not None and self.by_parent:
            return caller.sampled
        # As OpenTelemetry does, so that everybody with this share records the same traces.
        return int(trace_id[16:], 16) < self.share * _IDS


def sampler_from(environment: Mapping[str, str]) -> Sampler:
    """What OTEL_TRACES_SAMPLER and its ARG say. Raises ValueError for what they cannot."""
    name = environment.get("OTEL_TRACES_SAMPLER", "") or _DEFAULT
    argument = environment.get("OTEL_TRACES_SAMPLER_ARG", "") or "1"
    kind = name.removeprefix("parentbased_")
    shares = {"always_on": "1", "always_off": "0", "traceidratio": argument}
    try:
        share = float(shares[kind])
    except (KeyError, ValueError):
        share = math.nan
    if not 0 <= share <= 1:
        raise ValueError(
            f"OTEL_TRACES_SAMPLER={name} with OTEL_TRACES_SAMPLER_ARG={argument} is no sampler; give "
            "always_on, always_off or traceidratio, with parentbased_ before it or not, and a share of 0 to 1"
        )
    return Sampler(share, kind != name)


class Tracer:
    """Begins traces or goes on with their callers', and exports those that are recorded."""

    def __init__(self, sampler: Sampler, exporter: Exporter | None) -> None:
        self._sampler = sampler
        self._exporter = exporter

    @property
    def lost(self) -> int:
        """Traces that should have been exported and were not."""
        return self._exporter.lost if self._exporter else 0

    def enter(self, caller: TraceContext | None = None) -> TraceContext:
        """The context of a span of ours below the caller's."""
        # One call for both ids: each is one to the kernel.
        ids = os.urandom(24).hex()
        trace = caller.trace_id if caller else ids[16:]
        flags = caller.flags & ~SAMPLED if caller else _RANDOM
        recorded = self._sampler.records(trace, caller)
        return TraceContext(trace, ids[:16], flags | recorded, caller.state if caller else b"")

    def onward(self, own: TraceContext, caller: TraceContext | None) -> TraceContext:
        """What vLLM is told. Spans of ours that nobody will see are nobody's parents."""
        return own if self._exporter or caller is None else caller

    def export(self, own: TraceContext, build: Build) -> None:
        """Export the spans that `build` makes, where this trace is recorded and there is a collector."""
        if self._exporter is not None and own.sampled:
            self._exporter.add(build)

    def close(self) -> None:
        """Send what is left; takes 2 seconds at most."""
        if self._exporter is not None:
            self._exporter.close()


def tracer_from(environment: Mapping[str, str]) -> Tracer:
    """As the environment says. What it says wrongly is logged and left aside: it shall keep no model down."""
    sampler = _or_logged(lambda: sampler_from(environment)) or Sampler()
    collector = _or_logged(lambda: collector_from(environment))
    return Tracer(sampler, Exporter(collector) if collector else None)


def _or_logged(read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except ValueError as error:
        _LOG.warning("%s", error)
        return None
