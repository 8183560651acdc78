"""What a request asks of the engine."""

from __future__ import annotations

import json

import pytest

from sluicegate_engine.demand import Demand, demand
from sluicegate_engine.payload import parse


@pytest.mark.parametrize(
    ("request_body", "count"),
    [
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": []}, 1),
        ({"prompt": "a", "n": 4}, 4),
        ({"prompt": ["a", "b"], "n": 4}, 8),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, 1),
        ({"messages": [], "n": 3}, 3),
        ({"n": "5"}, 5),
        ({"n": 2.0}, 2),
        ({"n": None}, 1),
        ({"n": 0}, 1),
        ({"n": -7}, 1),
        ({"n": [9]}, 1),
        ({"n": "many"}, 1),
        ({"n": 10**400}, 10**400),
        ([1], 1),
        (7, 1),
    ],
    ids=str,
)
def test_sequences_are_prompts_times_n(request_body: object, count: int) -> None:
    assert demand(parse(json.dumps(request_body).encode())).sequences == count


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"n": NaN}', b'{"n": Infinity}', b"[" * 100_000])
def test_what_is_no_request_counts_as_one_without_a_prompt(body: bytes) -> None:
    assert demand(parse(body)) == Demand(1, 0)


def test_a_key_in_disguise_is_the_same_key() -> None:
    assert demand(parse(rb'{"\u006e": 3, "n": 2, "\u006e": 5}')).sequences == 5


@pytest.mark.parametrize(
    ("request_body", "tokens"),
    [
        ({"prompt": [5, 6, 7]}, 3),
        ({"prompt": [[1, 2], [3]]}, 3),
        ({"prompt": [1, 2], "n": 8}, 2),
        ({"prompt": "a" * 300}, 100),
        ({"prompt": ["a" * 150, "b" * 150]}, 100),
        ({"prompt": "é" * 150}, 100),
        ({"prompt": "a"}, 1),
        ({"prompt": "\ud800"}, 1),
        ({"prompt": []}, 0),
        ({"prompt": None}, 0),
        ({"messages": [{"content": "a" * 293}]}, 100),
        ({"messages": [{"content": [{"text": "a" * 289}]}]}, 100),
        ({"messages": [], "tools": [{"name": "a" * 296}]}, 100),
        ({"messages": [], "documents": ["a" * 300]}, 100),
        ({"prompt": "a", "user": "b" * 300}, 1),
        ([1, 2, 3], 0),
    ],
    ids=lambda value: str(value)[:40],
)
def test_tokens_are_counted_where_they_are_given_and_estimated_from_bytes_elsewhere(
    request_body: object, tokens: int
) -> None:
    assert demand(parse(json.dumps(request_body).encode())).prompt_tokens == tokens


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "audio_url", "video_url"])
def test_the_bytes_of_media_are_no_text(kind: str) -> None:
    def tokens(data: str) -> int:
        part = {"type": kind, kind: {"url": data}}
        return demand(parse(json.dumps({"messages": [{"content": [part]}]}).encode())).prompt_tokens

    assert tokens("A" * 100_000) == tokens("")


def test_a_prompt_may_lie_as_deep_as_json_is_read() -> None:
    deep = b'{"n":2,"messages":' + b"[" * 900 + b'"abc"' + b"]" * 900 + b"}"
    assert demand(parse(deep)) == Demand(2, 1)
