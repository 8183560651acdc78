"""Sends spans to an OpenTelemetry collector: OTLP over HTTP in its JSON encoding.

vLLM's image has OpenTelemetry's SDK, and this does without: the four spans of a request would be made on the
loop that all its streams share, the supervisor would have to load it too, and which of its packages an image
has, and in which version, is for the image to say. What is needed of the protocol is one POST.

A request never waits for the collector: spans are put into a bounded queue, a thread takes them from there,
and what finds no room is dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from sluicegate_engine.spans import Resource, Span, encode

_LOG = logging.getLogger("sluicegate_engine")
_INTERVAL_SECONDS = 1.0
WAITING = 2048
"""Traces that wait to be sent, at most."""
_AT_A_TIME = 64
"""Traces in one POST. Few, because encoding them holds the interpreter that the streams need too."""
_TIMEOUT_SECONDS = 10.0
_PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""Between one attempt and the next at what the collector could not take just now."""
_LATER = frozenset({429, 502, 503, 504})
_ANSWER_BYTES = 1 << 16
"""What is read of an answer, which says nothing that is needed."""

Build = Callable[[], Sequence[Span]]


@dataclass(frozen=True)
class Collector:
    """Where spans go: URL of the POST, headers that it wants, and who we are."""

    url: str
    headers: Mapping[str, str]
    resource: Resource


def collector_from(environment: Mapping[str, str]) -> Collector | None:
    """What OpenTelemetry's variables say; None where nothing shall be exported.

    Raises ValueError for what cannot be done.
    """
    url = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    if not url and (base := environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")):
        url = base.rstrip("/") + "/v1/traces"
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not url or disabled or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    protocol = _of_traces(environment, "PROTOCOL") or "http/json"
    if protocol not in ("http/json", "http/protobuf") or not url.startswith(("http://", "https://")):
        raise ValueError(
            f"spans are not exported: OTLP is spoken over HTTP alone, and {protocol} to {url} was asked for; "
            "give the collector's http:// or https:// endpoint (port 4318) and the protocol http/json"
        )
    return Collector(url, _pairs(_of_traces(environment, "HEADERS")), _resource(environment))


def _of_traces(environment: Mapping[str, str], name: str) -> str:
    general = environment.get(f"OTEL_EXPORTER_OTLP_{name}", "")
    return environment.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "") or general


def _resource(environment: Mapping[str, str]) -> Resource:
    told = _pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    named = environment.get("OTEL_SERVICE_NAME", "")
    ours = {"service.name": "sluicegate-engine", "host.name": socket.gethostname()}
    return {**ours, **told, **({"service.name": named} if named else {})}


def _pairs(text: str) -> dict[str, str]:
    """A list such as key1=value1,key2=value2 with percent-encoded values."""
    split = (pair.partition("=") for pair in text.split(","))
    return {key.strip(): unquote(value.strip()) for key, sign, value in split if sign and key.strip()}


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the headers may hold credentials, which are for the collector alone."""

    def redirect_request(self, *_: object) -> None:
        return None


class Exporter:
    """`lost` counts the spans that no collector has taken. The thread begins with the first span."""

    def __init__(
        self,
        collector: Collector,
        interval_seconds: float = _INTERVAL_SECONDS,
        waiting: int = WAITING,
        pauses_seconds: Sequence[float] = _PAUSES_SECONDS,
    ) -> None:
        self._collector = collector
        self._interval = interval_seconds
        self._most = waiting
        self._pauses = pauses_seconds
        self._waiting: queue.SimpleQueue[Build] = queue.SimpleQueue()
        self._opener = urllib.request.build_opener(_Straight)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._failing = False
        self._dropped = 0
        self._refused = 0

    @property
    def lost(self) -> int:
        """Traces that found no room, and those that the collector did not take."""
        return self._dropped + self._refused

    def add(self, build: Build) -> None:
        """Have the spans of a trace, which `build` makes, sent some time. Never waits, never raises."""
        if self._waiting.qsize() >= self._most:
            self._dropped += 1
            return
        self._waiting.put(build)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
            self._thread.start()

    def close(self, patience_seconds: float = 2.0) -> None:
        """Send what is left, as far as that goes in this time."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(patience_seconds)

    def _run(self) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(self._interval)
            while batch := self._take():
                self._deliver(batch)

    def _take(self) -> list[Build]:
        batch: list[Build] = []
        with suppress(queue.Empty):
            while len(batch) < _AT_A_TIME:
                batch.append(self._waiting.get_nowait())
        return batch

    def _deliver(self, batch: Sequence[Build]) -> None:
        body = encode(self._collector.resource, (span for build in batch for span in build()))
        for pause in (*self._pauses, None):
            problem, later = self._post(body)
            if not problem:
                self._failing = False
                return
            if pause is None or not later or self._closing.wait(pause):
                break
        self._refused += len(batch)
        if not self._failing:
            _LOG.warning("the collector at %s takes no spans: %s", self._collector.url, problem)
        self._failing = True

    def _post(self, body: bytes) -> tuple[str, bool]:
        """What went wrong, "" where nothing did, and whether another attempt may do."""
        headers = {**self._collector.headers, "Content-Type": "application/json"}
        request = urllib.request.Request(self._collector.url, body, headers)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                answer.read(_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            error.close()
            return f"HTTP {error.code}", error.code in _LATER
        except (OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}", True
        return "", False
