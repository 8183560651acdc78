"""Reading a custom resource: a status is only a cache, so one that cannot be read is taken as lost."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import orjson
from pydantic import ValidationError

from sluicegate.api.meta import Model
from sluicegate.core.objects import Manifest

M = TypeVar("M", bound=Model)


def read(kind: type[M], obj: Manifest) -> M:
    """The object as its model. Raises ValidationError where anything but its status is wrong.

    Another version of the operator may have written the status in words that this one does not know.
    """
    try:
        model: M = _parsed(kind, orjson.dumps(obj))
    except ValidationError:
        model = _parsed(kind, orjson.dumps({key: value for key, value in obj.items() if key != "status"}))
    return model


@lru_cache(maxsize=256)
def _parsed(kind: type[M], text: bytes) -> M:
    """From JSON, whose types are told apart as the API server does: "1" and true are no numbers there.

    Most passes read again what the last ones read, a ModelVersion above all, and models are frozen.
    """
    return kind.model_validate_json(text, strict=True)
