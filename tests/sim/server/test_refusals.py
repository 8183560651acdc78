"""What the client makes of the refusals that may be put in the server's place."""

from __future__ import annotations

import json

import pytest
from tests.sim.server.refusals import already_exists, forbidden, refusal_of

from sluicegate.kube import errors
from sluicegate.kube.errors import ApiError, Cause, from_response
from sluicegate.kube.resources import LEASE, LLM_DEPLOYMENT
from sluicegate.kube.transport import Response


def read(answer: Response) -> ApiError:
    return from_response(answer.status, answer.headers, answer.body)


@pytest.mark.parametrize(
    ("code", "kind", "reason", "retry_after"),
    [
        (403, errors.Forbidden, "Forbidden", None),
        (404, errors.NotFound, "NotFound", None),
        (409, errors.Conflict, "Conflict", None),
        (410, errors.Gone, "Expired", None),
        (422, errors.Invalid, "Invalid", None),
        (429, errors.Throttled, "TooManyRequests", 7.0),
        (500, errors.WebhookFailed, "InternalError", None),
        (503, errors.Unavailable, "ServiceUnavailable", 7.0),
        (504, errors.Unavailable, "Timeout", None),
    ],
)
def test_each_refusal_is_read_as_what_it_is(
    code: int, kind: type[ApiError], reason: str, retry_after: float | None
) -> None:
    error = read(refusal_of(code, LLM_DEPLOYMENT, "chat", retry_after=7))

    assert type(error) is kind
    assert (error.code, error.reason, error.retry_after) == (code, reason, retry_after)


def test_a_name_that_is_taken_is_no_conflict() -> None:
    error = read(already_exists(LEASE, "x").response())

    assert (type(error), error.code) == (errors.AlreadyExists, 409)


def test_what_is_invalid_names_its_fields_and_the_kind() -> None:
    answer = refusal_of(422, LLM_DEPLOYMENT, "chat")

    assert read(answer).causes == (Cause("spec", "Forbidden: refused by policy", "FieldValueForbidden"),)
    assert json.loads(answer.body)["details"]["kind"] == "LLMDeployment"


def test_who_is_throttled_is_told_for_how_long_in_the_body_and_beside_it() -> None:
    answer = refusal_of(429, LLM_DEPLOYMENT, "chat", retry_after=7)

    assert answer.headers["Retry-After"] == "7"
    assert json.loads(answer.body)["details"]["retryAfterSeconds"] == 7


def test_what_rbac_forbids_is_said_in_its_words() -> None:
    error = read(forbidden(LEASE, "x", "me", "update", "", "home").response())

    assert error.message == (
        'leases.coordination.k8s.io "x" is forbidden: User "me" cannot update resource "leases" '
        'in API group "coordination.k8s.io" in the namespace "home"'
    )
