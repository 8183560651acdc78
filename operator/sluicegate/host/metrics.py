"""What is counted, in Prometheus' words: controller-runtime's names with our prefix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from sluicegate.kube.resources import LLM_DEPLOYMENT
from sluicegate.shell.keys import Key

RECONCILE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LATENCY_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300)
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DEPLOYMENTS_SHOWN = 2000


class Metrics:
    """The shell's Meter, with a registry of its own. No pod and no revision is ever a label."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = self._counter("reconcile", "Passes over one object.", "kind", "result")
        self._reconcile_seconds = self._histogram(
            "reconcile_seconds", "Duration of a pass over one object.", RECONCILE_BUCKETS, "kind"
        )
        self._latency = self._histogram(
            "workqueue_latency_seconds", "Time that a key waited for a worker.", LATENCY_BUCKETS
        )
        self._retries = self._counter("workqueue_retries", "Keys added again after a failure.")
        self._requests = self._counter(
            "api_requests", "Requests to the API server; code 0 is no answer.", "verb", "kind", "code"
        )
        self._request_seconds = self._histogram(
            "api_request_seconds", "Duration of requests to the API server.", REQUEST_BUCKETS, "verb", "kind"
        )
        self._restarts = self._counter("watch_restarts", "Watches that ended.", "kind", "reason")
        self._stale = self._counter(
            "stale_sync_skips", "Passes put off until a cache has seen our own writes.", "kind"
        )
        self._actions = self._counter("plan_actions", "Actions carried out.", "action")
        self._lost = self._counter("events_lost", "Events that could not be recorded.")
        self._ready = self._gauge("deployment_ready", "Whether it is Ready.", "namespace", "name")
        self._shown: set[Key] = set()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def show(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Have a value asked for at each scrape."""
        self._gauge(name, text).set_function(value)

    def show_each(self, name: str, text: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """The same with a label that has a fixed set of values."""
        gauge = self._gauge(name, text, label)
        for each, value in values.items():
            gauge.labels(each).set_function(value)

    def requested(self, verb: str, kind: str, code: int, seconds: float) -> None:
        self._requests.labels(verb, kind, code).inc()
        self._request_seconds.labels(verb, kind).observe(seconds)

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        self._reconciles.labels(kind, result).inc()
        self._reconcile_seconds.labels(kind).observe(seconds)

    def waited(self, seconds: float) -> None:
        self._latency.observe(seconds)

    def retried(self) -> None:
        self._retries.inc()

    def acted(self, action: str) -> None:
        self._actions.labels(action).inc()

    def stale_sync_skipped(self, kind: str) -> None:
        self._stale.labels(kind).inc()

    def watch_restarted(self, kind: str, reason: str) -> None:
        self._restarts.labels(kind, reason).inc()

    def event_lost(self) -> None:
        self._lost.inc()

    def ready(self, key: Key, is_ready: bool) -> None:
        if key.kind != LLM_DEPLOYMENT.kind:
            return
        if key in self._shown or len(self._shown) < DEPLOYMENTS_SHOWN:
            self._shown.add(key)
            self._ready.labels(key.namespace, key.name).set(is_ready)

    def forgotten(self, key: Key) -> None:
        if key in self._shown:
            self._shown.remove(key)
            self._ready.remove(key.namespace, key.name)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"sluicegate_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"sluicegate_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"sluicegate_{name}", text, labels, buckets=buckets, registry=self.registry)
