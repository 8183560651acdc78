"""The only taxonomy of what can go wrong between the operator and the API server.

The classes carry the API's own words, so that code and `kubectl` speak of the same thing.
"""

# ruff: noqa: N818

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ConfigurationError(Exception):
    """No usable way to an API server was found in the environment."""


@dataclass(frozen=True)
class Cause:
    """One thing wrong with a request: the field's path ("" where the server names none) and why."""

    field: str
    message: str
    reason: str = ""


class ApiError(Exception):
    """A request that failed.

    `code` is the HTTP status, 0 where no (whole) answer came; `reason` is the API's CamelCase word;
    `retry_after` is in seconds, None where the server named no time.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        causes: tuple[Cause, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({code} {reason})")
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400: the request cannot be read; ours to fix."""


class Forbidden(ApiError):
    """401 and 403: not allowed, by RBAC, quota, or a namespace that is going away."""


class NotFound(ApiError):
    """404: no such object, subresource or kind."""


class AlreadyExists(ApiError):
    """409 on a create: the name is taken."""


class Conflict(ApiError):
    """409: the object changed since it was read, is another one (uid), or another manager owns a field."""


class Gone(ApiError):
    """410: that resourceVersion or continue token is too old. List again."""


class Invalid(ApiError):
    """422: the object breaks its schema or a rule; `causes` names the fields."""


class Throttled(ApiError):
    """429: too many requests. Come back after `retry_after`."""


class Unavailable(ApiError):
    """5xx, a reset connection, a timeout or a torn answer. A write may or may not have happened."""


class WebhookFailed(Unavailable):
    """500: an admission webhook gave no answer, and is registered so that nothing is written without one."""


# Only the text tells this 500 from others (`k8s.io/apiserver/pkg/admission/plugin/webhook/errors`).
_NO_WEBHOOK = "failed calling webhook "

_BY_CODE: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Throttled,
}


def from_status(status: Mapping[str, Any], code: int = 0, retry_after: float | None = None) -> ApiError:
    """The error that a Kubernetes `Status` object stands for. `code` is used where it carries none."""
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "Unknown")
    details = status.get("details") or {}
    causes = tuple(
        Cause(found.get("field", ""), found.get("message", ""), found.get("reason", ""))
        for found in details.get("causes") or ()
    )
    message = str(status.get("message") or reason)
    seconds = details.get("retryAfterSeconds")
    return _kind(code, reason, message, causes)(
        code,
        reason,
        message,
        causes,
        retry_after if seconds is None else float(seconds),
    )


def from_response(code: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error in an HTTP answer, whether its body is a `Status` or a proxy's own text."""
    retry_after = _seconds(headers.get("Retry-After"))
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return from_status(status, code, retry_after)
    text = body[:200].decode(errors="replace").strip() or "empty answer"
    return _kind(code, "", "", ())(code, "Unknown", text, retry_after=retry_after)


def no_answer(reason: str, message: str) -> Unavailable:
    return Unavailable(0, reason, message)


def _kind(code: int, reason: str, message: str, causes: tuple[Cause, ...]) -> type[ApiError]:
    if reason == "AlreadyExists":
        return AlreadyExists
    if code == 422 and any(cause.field == "metadata.uid" for cause in causes):
        # An apply that names the uid of an object since replaced is refused as a change of its uid.
        return Conflict
    if code == 500 and _NO_WEBHOOK in message:
        return WebhookFailed
    return Unavailable if code >= 500 or code == 0 else _BY_CODE.get(code, ApiError)


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdigit() else None
