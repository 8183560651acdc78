"""What a request asks of the engine."""

from __future__ import annotations

import json

import pytest

from sluicegate_engine.demand import sequences


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
    assert sequences(json.dumps(request_body).encode()) == count


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"n": NaN}', b'{"n": Infinity}', b"[" * 100_000])
def test_what_is_no_request_counts_as_one(body: bytes) -> None:
    assert sequences(body) == 1


def test_a_key_in_disguise_is_the_same_key() -> None:
    assert sequences(rb'{"\u006e": 3, "n": 2, "\u006e": 5}') == 5
