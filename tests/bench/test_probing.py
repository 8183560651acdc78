"""What a probe of a new connection makes of an answer."""

from __future__ import annotations

import pytest
from bench.rollout.probing import version_in


@pytest.mark.parametrize(
    ("head", "version"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nX-Sluicegate-Model-Version: tiny-a\r\nconnection: close\r\n\r\n",
            "tiny-a",
        ),
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", ""),
        (b"", ""),
    ],
)
def test_the_version_is_the_one_that_the_answer_names(head: bytes, version: str) -> None:
    assert version_in(head) == version
