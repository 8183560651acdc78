"""What a user may write as a source."""

from __future__ import annotations

import pytest

from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.uri import ClaimUri, HubUri, parse_uri

COMMIT = "0123456789abcdef0123456789abcdef01234567"


NO_REPOSITORIES = ("a--b", "a..b", "model.git", "model-", "model.", "-model", "a" * 97)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("pvc://models/llama/8b", ClaimUri("models", "llama/8b")),
        ("pvc://models/llama/", ClaimUri("models", "llama")),
        ("pvc://models", ClaimUri("models", "")),
        ("pvc://models/a b/é%2e", ClaimUri("models", "a b/é%2e")),
        (f"hf://org/name-1.5_x@{COMMIT}", HubUri("org/name-1.5_x", COMMIT)),
    ],
)
def test_a_uri_is_taken_as_it_is_written(text, want):
    assert parse_uri(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("pvc://models/../other", Reason.UNSAFE_PATH),
        ("pvc://models/a/./b", Reason.UNSAFE_PATH),
        ("pvc://models//etc", Reason.UNSAFE_PATH),
        ("pvc://models/a\x00b", Reason.UNSAFE_PATH),
        ("pvc://../models", Reason.UNSUPPORTED_FORMAT),
        ("pvc://", Reason.UNSUPPORTED_FORMAT),
        ("pvc://Models/x", Reason.UNSUPPORTED_FORMAT),
        ("hf://org/name", Reason.UNSUPPORTED_FORMAT),
        ("hf://org/name@main", Reason.UNSUPPORTED_FORMAT),
        (f"hf://org/name@{COMMIT.upper()}", Reason.UNSUPPORTED_FORMAT),
        (f"hf://org/name/more@{COMMIT}", Reason.UNSUPPORTED_FORMAT),
        (f"hf://org/../x@{COMMIT}", Reason.UNSUPPORTED_FORMAT),
        *((f"hf://org/{name}@{COMMIT}", Reason.UNSUPPORTED_FORMAT) for name in NO_REPOSITORIES),
        (f"hf://o--rg/name@{COMMIT}", Reason.UNSUPPORTED_FORMAT),
        (f"hf://org./name@{COMMIT}", Reason.UNSUPPORTED_FORMAT),
        ("s3://bucket/key", Reason.UNSUPPORTED_FORMAT),
        ("/models", Reason.UNSUPPORTED_FORMAT),
        ("", Reason.UNSUPPORTED_FORMAT),
    ],
)
def test_a_bad_uri_is_refused_with_its_reason(text, want):
    with pytest.raises(StoreError) as caught:
        parse_uri(text)

    assert caught.value.reason == want
    assert not caught.value.retryable
