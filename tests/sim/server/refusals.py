"""The API server's ways to say no, as `Status` objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sluicegate.kube.errors import Cause
from sluicegate.kube.resources import Resource
from sluicegate.kube.transport import Response


class RefusedError(Exception):
    """A request that is answered with a failure `Status`."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        super().__init__(status["message"])
        self.status = status
        self.code = int(status["code"])

    def response(self) -> Response:
        seconds = self.status.get("details", {}).get("retryAfterSeconds")
        headers = {"Retry-After": str(seconds)} if seconds else {}
        return Response(self.code, json.dumps(self.status).encode(), headers)


def refusal(
    code: int,
    reason: str,
    message: str,
    resource: Resource | None = None,
    name: str = "",
    causes: Iterable[Cause] = (),
    **more: Any,
) -> RefusedError:
    """`more` goes into the details of the Status."""
    details: dict[str, Any] = {"name": name, **more}
    if resource is not None:
        details = {"group": resource.group, "kind": resource.plural, **details}
    details["causes"] = [_filled(cause) for cause in causes]
    details = {key: value for key, value in details.items() if value}
    return RefusedError(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }
    )


def _filled(cause: Cause) -> dict[str, str]:
    said = {"reason": cause.reason, "message": cause.message, "field": cause.field}
    return {key: value for key, value in said.items() if value}


def _named(resource: Resource, name: str) -> str:
    """As messages name an object, or all of a kind."""
    qualified = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    return f'{qualified} "{name}"' if name else qualified


def not_found(resource: Resource, name: str) -> RefusedError:
    return refusal(404, "NotFound", f"{_named(resource, name)} not found", resource, name)


def already_exists(resource: Resource, name: str) -> RefusedError:
    return refusal(409, "AlreadyExists", f"{_named(resource, name)} already exists", resource, name)


def conflict(resource: Resource, name: str, why: str, causes: Iterable[Cause] = ()) -> RefusedError:
    message = f"Operation cannot be fulfilled on {_named(resource, name)}: {why}"
    return refusal(409, "Conflict", message, resource, name, causes)


def invalid(resource: Resource, name: str, causes: Iterable[Cause]) -> RefusedError:
    causes = tuple(causes)
    listed = ", ".join(f"{cause.field}: {cause.message}" for cause in causes)
    wrong = f"[{listed}]" if len(causes) > 1 else listed
    message = f'{resource.kind}{"." + resource.group if resource.group else ""} "{name}" is invalid: {wrong}'
    # The one refusal that names the kind as manifests do.
    return refusal(422, "Invalid", message, resource, name, causes, kind=resource.kind)


def bad_request(message: str) -> RefusedError:
    return refusal(400, "BadRequest", message)


def forbidden(
    resource: Resource, name: str, user: str, verb: str, subresource: str, namespace: str
) -> RefusedError:
    """What RBAC does not grant; "" as namespace is all of them."""
    asked = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    cannot = f'User "{user}" cannot {verb} resource "{asked}" in API group "{resource.group}" {where}'
    return refusal(403, "Forbidden", f"{_named(resource, name)} is forbidden: {cannot}", resource, name)


def being_terminated(resource: Resource, name: str, namespace: str) -> RefusedError:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
    message = f"{_named(resource, name)} is forbidden: {why}"
    return refusal(403, "Forbidden", message, resource, name, [cause])


def not_served() -> RefusedError:
    return refusal(404, "", "the server could not find the requested resource")


def failed(message: str) -> RefusedError:
    """What the server answers where it gives up without a reason of its own."""
    return refusal(500, "", message)


def expired(version: int, oldest: int) -> RefusedError:
    return refusal(410, "Expired", f"too old resource version: {version} ({oldest})")


def throttled(seconds: int) -> RefusedError:
    """What a server says that has yet to read a kind from its storage."""
    return refusal(429, "TooManyRequests", "storage is (re)initializing", retryAfterSeconds=seconds)


def internal_error(why: str) -> RefusedError:
    return refusal(500, "InternalError", f"Internal error occurred: {why}", causes=[Cause("", why)])


def shutting_down() -> RefusedError:
    return refusal(503, "ServiceUnavailable", "apiserver is shutting down")


def timed_out() -> RefusedError:
    return refusal(504, "Timeout", "Timeout: request did not complete within the allotted timeout")


def refusal_of(code: int, resource: Resource, name: str, retry_after: int = 1) -> Response:
    """The answer with this code that a request may meet whatever it asks for; KeyError where there is none.

    429 and 503 ask to come back after `retry_after` seconds.
    """
    moved_on = "the object has been modified; please apply your changes to the latest version and try again"
    webhook = 'failed calling webhook "policy.example.org": the server has asked to come back later'
    wrong = Cause("spec", "Forbidden: refused by policy", "FieldValueForbidden")
    early = f"{_named(resource, name)} is forbidden: not yet ready to handle request"
    made = {
        403: lambda: refusal(403, "Forbidden", early, resource, name),
        404: lambda: not_found(resource, name),
        409: lambda: conflict(resource, name, moved_on),
        410: lambda: expired(1, 2),
        422: lambda: invalid(resource, name, [wrong]),
        429: lambda: throttled(retry_after),
        500: lambda: internal_error(webhook),
        503: shutting_down,
        504: timed_out,
    }
    answer = made[code]().response()
    if code == 503:
        return Response(code, answer.body, {"Retry-After": str(retry_after)})
    return answer
