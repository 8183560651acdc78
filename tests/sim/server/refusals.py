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
        return Response(self.code, json.dumps(self.status).encode())


def refusal(
    code: int,
    reason: str,
    message: str,
    resource: Resource | None = None,
    name: str = "",
    causes: Iterable[Cause] = (),
) -> RefusedError:
    details: dict[str, Any] = {"name": name} if name else {}
    if resource is not None:
        details |= {"group": resource.group, "kind": resource.plural}
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    if listed:
        details["causes"] = listed
    return RefusedError(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": {key: value for key, value in details.items() if value},
            "code": code,
        }
    )


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
    message = f'{resource.kind}{"." + resource.group if resource.group else ""} "{name}" is invalid: {listed}'
    return refusal(422, "Invalid", message, resource, name, causes)


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


def not_served() -> RefusedError:
    return refusal(404, "", "the server could not find the requested resource")


def failed(message: str) -> RefusedError:
    """What the server answers where it gives up without a reason of its own."""
    return refusal(500, "", message)


def expired(version: int, oldest: int) -> RefusedError:
    return refusal(410, "Expired", f"too old resource version: {version} ({oldest})")
