"""The target: what a spec asks for, as one hash. Equal hashes never make new pods.

Only fields tagged `template` count, and only where they differ from their defaults: neither a change of
the operator's behaviour nor a newer version of the operator with more fields makes a new colour.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel

from sluicegate.api.meta import Change, Model
from sluicegate.api.schema import change_of, fields_below, model_in
from sluicegate.api.v1alpha1.llmdeployment import LLMDeploymentSpec
from sluicegate.core.naming import digest_of
from sluicegate.core.pointer import Pointer


def asked_for(spec: LLMDeploymentSpec) -> str:
    """12 hexadecimal digits of the template fields."""
    return digest_of(template_fields(spec), 12)


def target_of(spec: LLMDeploymentSpec, pointer: Pointer) -> str:
    """What the pods are made from: the template fields, and after a dot the identity of the files."""
    return f"{asked_for(spec)}.{digest_of(pointer.as_json(), 12)}"


def template_fields(model: BaseModel) -> dict[str, Any]:
    """The fields of a new colour that are set to something else than their default, as JSON.

    An optional group of such fields that is there says something even with nothing but defaults in it.
    """
    found: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value == field.default or not _concerns_pods(model_in(field.annotation)):
            continue
        kept = _kept(value, Change.TEMPLATE in field.metadata)
        if kept is not None and (kept != {} or field.default is None):
            found[str(field.alias)] = kept
    return found


@cache
def _concerns_pods(group: type[Model] | None) -> bool:
    """Whether anything in a group of fields is of the template; of a single field, its tag says so."""
    return group is None or any(change_of(info) is Change.TEMPLATE for _, info in fields_below(group))


def _kept(value: Any, tagged: bool) -> Any:
    if isinstance(value, BaseModel):
        return template_fields(value)
    if isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        return [template_fields(item) for item in value]
    if not tagged:
        return None
    return list(value) if isinstance(value, tuple) else value
