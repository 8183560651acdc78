"""What the operator's models say of an object, and what the API server would have stored of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import orjson
from pydantic import ValidationError
from tests.fuzz.specs import SCHEMAS, Object, Sample
from tests.sim.server.structure import defaulted, pruned

from sluicegate.api.meta import Model
from sluicegate.api.v1alpha1.llmdeployment import LLMDeployment
from sluicegate.api.v1alpha1.modelversion import ModelVersion
from sluicegate.core.reading import read

Location = tuple[int | str, ...]
MODELS: Mapping[str, type[Model]] = {"LLMDeployment": LLMDeployment, "ModelVersion": ModelVersion}


def refusal(obj: Object) -> str | None:
    """Why the operator cannot read the object; None where it can."""
    try:
        read(MODELS[obj["kind"]], obj)
    except ValidationError as error:
        return "; ".join(f"{each['loc']}: {each['msg']}" for each in error.errors())
    return None


def unread(obj: Object) -> list[Location]:
    """The places that are not as the models have them, those in a status too."""
    try:
        MODELS[obj["kind"]].model_validate_json(json.dumps(obj), strict=True)
    except ValidationError as error:
        return [each["loc"] for each in error.errors()]
    return []


def as_stored(obj: Object) -> Object:
    """The object without unknown fields and nulls, and with defaults: what the API server judges.

    That is all in which the operator may be more tolerant than the server. No number is longer than one that
    comes over the wire.
    """
    schema = SCHEMAS[obj["kind"]]
    sent = orjson.loads(json.dumps({key: obj[key] for key in obj if key != "metadata"}))
    stored = defaulted(schema, pruned(schema, sent))
    return {**stored, "metadata": obj["metadata"]}


def replay(sample: Sample) -> str:
    return f"python -m tests.fuzz --seed {sample.seed} --first {sample.number} --count 1"


async def shrunk(obj: Object, still: Callable[[Object], Awaitable[bool]]) -> Object:
    """The object with as few fields and items as there may be while it is `still` what it was."""
    while True:
        for candidate in smaller(obj["spec"]) if "spec" in obj else ():
            if await still({**obj, "spec": candidate}):
                obj = {**obj, "spec": candidate}
                break
        else:
            return obj


def smaller(value: Any) -> Iterator[Any]:
    """The value with one of its parts left out, the large ones first."""
    if isinstance(value, dict):
        for name in value:
            yield {key: part for key, part in value.items() if key != name}
        for name, part in value.items():
            yield from ({**value, name: less} for less in smaller(part))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield [*value[:at], *value[at + 1 :]]
            yield from ([*value[:at], less, *value[at + 1 :]] for less in smaller(item))
