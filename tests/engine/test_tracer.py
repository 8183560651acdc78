"""Which traces are recorded and who is whose parent, by OpenTelemetry's variables."""

from __future__ import annotations

import logging

import pytest

from sluicegate_engine.otlp import Collector, Exporter, collector_from
from sluicegate_engine.trace_context import TraceContext
from sluicegate_engine.tracer import Sampler, Tracer, sampler_from, tracer_from

CALLER = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1, b"a=1")
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}


@pytest.mark.parametrize(
    ("name", "argument", "sampler"),
    [
        ("", "", Sampler(1, True)),
        ("always_on", "", Sampler(1, False)),
        ("always_off", "", Sampler(0, False)),
        ("traceidratio", "0.25", Sampler(0.25, False)),
        ("parentbased_always_on", "", Sampler(1, True)),
        ("parentbased_always_off", "", Sampler(0, True)),
        ("parentbased_traceidratio", "0.5", Sampler(0.5, True)),
    ],
)
def test_samplers_go_by_their_usual_names(name: str, argument: str, sampler: Sampler) -> None:
    given = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert sampler_from(given) == sampler


@pytest.mark.parametrize(
    ("name", "argument"), [("jaeger_remote", ""), ("traceidratio", "2"), ("traceidratio", "half")]
)
def test_what_is_no_sampler_is_refused_and_the_default_taken(
    name: str, argument: str, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    with caplog.at_level(logging.WARNING):
        assert tracer_from(given).enter().sampled
    assert name in caplog.text


def test_a_share_is_of_the_ids_that_other_services_would_choose() -> None:
    sampler = Sampler(0.25)
    low, high = "f" * 16 + "3fffffffffffffff", "0" * 16 + "4000000000000000"
    assert (sampler.records(low, None), sampler.records(high, None)) == (True, False)


def test_a_caller_decides_unless_the_sampler_asks_nobody() -> None:
    silent = CALLER._replace(flags=0)
    assert [Sampler(0).records(CALLER.trace_id, each) for each in (CALLER, silent)] == [True, False]
    assert not Sampler(0, by_parent=False).records(CALLER.trace_id, CALLER)
    assert Sampler(1, by_parent=False).records(CALLER.trace_id, silent)


def test_a_trace_goes_on_in_a_span_of_ours() -> None:
    own = Tracer(Sampler(), None).enter(CALLER)
    assert (own.trace_id, own.flags, own.state) == (CALLER.trace_id, 1, b"a=1")
    assert own.span_id != CALLER.span_id


def test_without_a_caller_a_trace_begins() -> None:
    tracer = Tracer(Sampler(), None)
    one, other = tracer.enter(), tracer.enter()
    assert (len(one.trace_id), len(one.span_id), one.flags) == (32, 16, 3)
    assert one.trace_id != other.trace_id
    assert not Tracer(Sampler(0), None).enter().sampled


def test_spans_that_nobody_will_see_are_nobodys_parents() -> None:
    quiet = Tracer(Sampler(), None)
    own = quiet.enter(CALLER)
    assert quiet.onward(own, CALLER) == CALLER
    assert quiet.onward(own, None) == own
    loud = Tracer(Sampler(), Exporter(Collector("http://collector/", {}, {})))
    assert loud.onward(own, CALLER) == own


def test_without_an_endpoint_nothing_is_exported() -> None:
    assert collector_from({"OTEL_SERVICE_NAME": "chat"}) is None
    assert collector_from({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}) is None
    assert collector_from({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}) is None


def test_the_endpoint_of_traces_wins_and_is_taken_as_it_is() -> None:
    general = collector_from(ENDPOINT)
    assert general is not None
    assert general.url == "http://collector:4318/v1/traces"
    own = collector_from({**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces/in"})
    assert own is not None
    assert own.url == "https://traces/in"


def test_headers_and_resource_are_lists_of_pairs() -> None:
    found = collector_from(
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x, tenant = a ,nonsense",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,host.name=a,deployment.environment.name=prod",
            "OTEL_SERVICE_NAME": "chat",
        }
    )
    assert found is not None
    assert found.headers == {"authorization": "Bearer x", "tenant": "a"}
    assert found.resource == {
        "service.name": "chat",
        "host.name": "a",
        "deployment.environment.name": "prod",
    }


@pytest.mark.parametrize(
    "given",
    [
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
    ],
)
def test_what_is_not_spoken_is_said_and_nothing_exported(
    given: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tracer = tracer_from(given)
    assert "spans are not exported" in caplog.text
    own = tracer.enter(CALLER)
    assert tracer.onward(own, CALLER) == CALLER
