"""What clients may reach of vLLM's many routes."""

from __future__ import annotations

import pytest

from sluicegate_engine.routes import Route, classify


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_generations_take_a_place_in_the_queue(path: str) -> None:
    assert classify("POST", path) is Route.GENERATION
    assert classify("GET", path) is Route.WRONG_METHOD
    assert classify("OPTIONS", path) is Route.CHEAP


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/health"),
        ("GET", "/version"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
    ],
)
def test_what_costs_the_engine_nothing_passes_at_once(method: str, path: str) -> None:
    assert classify(method, path) is Route.CHEAP


@pytest.mark.parametrize(
    "path",
    [
        "/scale_elastic_ep",
        "/is_scaling_elastic_ep",
        "/invocations",
        "/adapters",
        "/adapters/a",
        "/collective_rpc",
        "/sleep",
        "/metrics",
        "/load",
        "/docs",
        "/openapi.json",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/inference/v1/generate",
        "/inference/v1/abort_requests",
        "/v1/chat/completions/batch",
        "/v1/chat/completions/render",
        "/v1/load_lora_adapter",
        "/v1/models/",
        "//v1/models",
        "/v1/../scale_elastic_ep",
        "/V1/MODELS",
        "",
    ],
)
def test_whatever_is_not_listed_does_not_exist(path: str) -> None:
    assert {classify(method, path) for method in ("GET", "POST", "DELETE", "OPTIONS")} == {Route.UNKNOWN}
