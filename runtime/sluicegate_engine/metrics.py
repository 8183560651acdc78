"""Our own metrics, written beside vLLM's: what the gate did and what this pod serves."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from sluicegate_engine.link import SupervisorLink
from sluicegate_engine.reload.reloads import Reloads
from sluicegate_engine.status import Phase, Status


class Metrics(Collector):
    """Reads the gate's last report at each scrape."""

    def __init__(self, status: Status, link: SupervisorLink, reloads: Reloads) -> None:
        self._status = status
        self._link = link
        self._reloads = reloads
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """The page, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        report = self._link.report
        requests = CounterMetricFamily(
            "sluicegate_requests", "Generation requests that ended, by outcome.", labels=["outcome"]
        )
        rejections = CounterMetricFamily(
            "sluicegate_rejections", "Generation requests turned away, by reason.", labels=["reason"]
        )
        for outcome, count in (report.outcomes if report else {}).items():
            requests.add_metric([outcome], count)
        for reason, count in (report.rejections if report else {}).items():
            rejections.add_metric([reason], count)
        yield requests
        yield rejections
        yield CounterMetricFamily(
            "sluicegate_lost_traces",
            "Traces of requests that no collector has taken.",
            report.lost_traces if report else 0,
        )
        yield GaugeMetricFamily(
            "sluicegate_in_flight_requests", "Requests in the engine.", report.in_flight if report else 0
        )
        yield GaugeMetricFamily(
            "sluicegate_queued_requests", "Requests waiting for the engine.", report.queued if report else 0
        )
        yield GaugeMetricFamily(
            "sluicegate_queued_prompt_tokens",
            "Prompt tokens of the requests waiting for the engine, as estimated.",
            report.queued_prompt_tokens if report else 0,
        )
        yield GaugeMetricFamily(
            "sluicegate_ready", "1 while new requests are welcome.", int(self._status.ready)
        )
        yield self._phase()
        yield from self._of_reloads()
        target = self._status.target
        if target is not None:
            yield InfoMetricFamily(
                "sluicegate_model_version",
                "The model version that answers.",
                {"version": target.version, "digest": target.digest},
            )

    def _of_reloads(self) -> Iterable[Metric]:
        outcomes = CounterMetricFamily(
            "sluicegate_reloads", "Reloads that ended, by outcome.", labels=["outcome"]
        )
        for outcome, count in self._reloads.outcomes.items():
            outcomes.add_metric([outcome], count)
        seconds = CounterMetricFamily(
            "sluicegate_reload_seconds", "Time that reloads spent, by phase.", labels=["phase"]
        )
        for phase, spent in self._reloads.seconds.items():
            seconds.add_metric([phase], spent)
        yield outcomes
        yield seconds

    def _phase(self) -> Metric:
        phases = GaugeMetricFamily("sluicegate_phase", "1 for the phase the pod is in.", labels=["phase"])
        for phase in Phase:
            phases.add_metric([phase.value], int(phase is self._status.phase))
        return phases
