"""Each refusal of the API server as one class."""

from __future__ import annotations

import pytest
from tests.kube.scripted import refusal

from sluicegate.kube import errors
from sluicegate.kube.errors import from_response, from_status
from sluicegate.kube.transport import Response


@pytest.mark.parametrize(
    ("code", "reason", "want"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Forbidden),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (405, "MethodNotAllowed", errors.ApiError),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.Throttled),
        (500, "InternalError", errors.Unavailable),
        (503, "ServiceUnavailable", errors.Unavailable),
        (504, "Timeout", errors.Unavailable),
    ],
)
def test_code_and_reason_decide_the_class(code: int, reason: str, want: type[errors.ApiError]) -> None:
    answer = refusal(code, reason)

    error = from_response(answer.status, answer.headers, answer.body)

    assert type(error) is want
    assert (error.code, error.reason, error.message) == (code, reason, "no")


def test_causes_name_fields() -> None:
    answer = refusal(
        422, "Invalid", causes=[{"reason": "FieldValueRequired", "field": "spec.x", "message": "Required"}]
    )

    error = from_response(answer.status, answer.headers, answer.body)

    assert error.causes == (errors.Cause("spec.x", "Required", "FieldValueRequired"),)


def test_a_write_that_a_silent_webhook_held_up_is_told_from_other_errors_of_the_server() -> None:
    said = 'Internal error occurred: failed calling webhook "a.example": connection refused'

    error = from_status({"kind": "Status", "code": 500, "reason": "InternalError", "message": said})

    assert type(error) is errors.WebhookFailed


def test_a_refused_change_of_uid_is_a_conflict() -> None:
    answer = refusal(422, "Invalid", causes=[{"field": "metadata.uid", "message": "field is immutable"}])

    error = from_response(answer.status, answer.headers, answer.body)

    assert type(error) is errors.Conflict


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (refusal(429, headers={"Retry-After": "7"}), 7.0),
        (refusal(503, retryAfterSeconds=3), 3.0),
        (refusal(429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), None),
        (refusal(429), None),
    ],
)
def test_the_time_to_stay_away_is_kept(answer: Response, want: float | None) -> None:
    assert from_response(answer.status, answer.headers, answer.body).retry_after == want


def test_an_answer_of_something_before_the_server_is_quoted_and_bounded() -> None:
    error = from_response(502, {}, b"<html>" + b"x" * 1000)

    assert isinstance(error, errors.Unavailable)
    assert error.message.startswith("<html>")
    assert len(error.message) == 200
