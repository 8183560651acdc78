"""Which requests are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluicegate_engine.fingerprint import LENGTH, fingerprint, new_key
from sluicegate_engine.payload import parse

KEY = new_key()
REQUEST: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "n": 2}


def of(request: object, route: str = "/v1/completions", key: str = KEY) -> str:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return fingerprint(key, route, body, parse(body))


@pytest.mark.parametrize(
    "more",
    [
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "somebody"},
        {"request_id": "17"},
        {"metadata": {"try": 2}},
        {"priority": 3},
    ],
    ids=str,
)
def test_what_changes_from_one_try_to_the_next_and_is_not_computed_makes_no_difference(more: object) -> None:
    assert of(REQUEST | more) == of(REQUEST)  # type: ignore[operator]


def test_neither_do_spaces_escapes_and_the_order_of_fields() -> None:
    backwards = dict(reversed(REQUEST.items()))
    assert of(json.dumps(backwards, indent=1).replace("Hello", "\\u0048ello").encode()) == of(REQUEST)


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": "Hello!"}]},
        {"model": "other"},
        {"n": 3},
        {"temperature": 0},
        {"cache_salt": "of a tenant"},
    ],
    ids=str,
)
def test_what_the_engine_computes_with_makes_one(more: object) -> None:
    assert of(REQUEST | more) != of(REQUEST)  # type: ignore[operator]


def test_so_do_route_and_key() -> None:
    assert of(REQUEST, route="/v1/chat/completions") != of(REQUEST)
    assert of(REQUEST, key=new_key()) != of(REQUEST)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"[" * 100_000, b"{}"], ids=lambda body: str(body[:9]))
def test_what_cannot_be_understood_is_known_by_its_bytes(body: bytes) -> None:
    assert of(body) == of(body)
    assert of(body) != of(body + b" ")


def test_what_is_nested_too_deep_is_too() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    first, second = (fingerprint(KEY, "/", body, {"prompt": deep}) for body in (b"1", b"2"))
    assert first != second


def test_it_is_short_and_says_nothing() -> None:
    assert len(of(REQUEST)) == LENGTH
    assert set(of(REQUEST)) <= set("0123456789abcdef")
