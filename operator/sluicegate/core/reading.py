"""Reading a custom resource: a status is only a cache, so one that cannot be read is taken as lost."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import ValidationError

from sluicegate.api.meta import Model
from sluicegate.core.objects import Manifest

M = TypeVar("M", bound=Model)


def read(kind: type[M], obj: Manifest) -> M:
    """The object as its model. Raises ValidationError where anything but its status is wrong.

    Another version of the operator may have written the status in words that this one does not know.
    """
    try:
        return _parsed(kind, obj)
    except ValidationError:
        return _parsed(kind, {key: value for key, value in obj.items() if key != "status"})


def _parsed(kind: type[M], obj: Manifest) -> M:
    """As JSON, whose types are told apart as the API server does: "1" and true are no numbers there."""
    return kind.model_validate_json(json.dumps(obj), strict=True)
