"""What both kinds share: the base model, rules, references, conditions and the tag of each field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

GROUP = "sluicegate.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "sluicegate"


class Change(Enum):
    """What a change of a spec field does."""

    TEMPLATE = "template"
    """It makes a new colour: new pods beside the old ones, then a switch."""
    RUNTIME = "runtime"
    """It is told to the running pods."""
    OPERATOR = "operator"
    """It changes only what the operator does."""
    NEVER = "never"
    """It is refused: the spec is immutable."""


class ListType(Enum):
    """How server-side apply merges a list: whole, or item by item."""

    ATOMIC = "atomic"
    SET = "set"


@dataclass(frozen=True)
class ListMap:
    """A list merged item by item, where these fields identify an item."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the CRD beside its twin in Python.

    `holds` takes the model that the rule is attached to. It is None for what only the API server can
    judge: a transition from the old object.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None
    path: str | None = None


class Model(BaseModel):
    """Base of every API type: camelCase outside, frozen, and blind to fields of newer CRDs."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for rule in self.RULES:
            if rule.holds is not None and not rule.holds(self):
                raise ValueError(rule.message)
        return self

    @model_validator(mode="after")
    def _lists_hold_an_item_once(self) -> Self:
        for name, alias, tag in _merged_lists(type(self)):
            told_apart = _told_apart(tag, getattr(self, name))
            if len(set(told_apart)) < len(told_apart):
                raise ValueError(f"{alias} holds an item twice")
        return self


@cache
def _merged_lists(kind: type[Model]) -> tuple[tuple[str, str | None, ListMap | None], ...]:
    """The fields that server-side apply merges item by item: name, alias, and keys unless it is a set."""
    return tuple(
        (name, info.alias, tag if isinstance(tag, ListMap) else None)
        for name, info in kind.model_fields.items()
        for tag in info.metadata
        if tag is ListType.SET or isinstance(tag, ListMap)
    )


def _told_apart(tag: ListMap | None, items: Any) -> list[Any]:
    """What tells the items of such a list apart."""
    if tag is None:
        return list(items)
    dumped = [item.model_dump(by_alias=True) for item in items]
    return [tuple(item[key] for key in tag.keys) for item in dumped]


NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME_MAX_LENGTH = 50

# Children of an LLMDeployment are named by its name and one of these: another that ends so could claim one.
RESERVED_SUFFIXES = ("-preview", "-control", "-model")
COLOUR_SUFFIX_PATTERN = r"-[0-9a-f]{8}$"

ObjectName = Annotated[str, Field(min_length=1, max_length=NAME_MAX_LENGTH, pattern=NAME_PATTERN)]
# Kubernetes' own words: a subdomain, and the name that may follow one after a slash.
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
SecretName = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^{SUBDOMAIN}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]


def _moment(text: str) -> str:
    """Whoever may write a status may write anything; what reads a time must not trip over it."""
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time needs its zone")
    return text


Timestamp = Annotated[
    str, Field(max_length=32, json_schema_extra={"format": "date-time"}), AfterValidator(_moment)
]


class Condition(Model):
    """One aspect of the object's state, in the form of Kubernetes' own conditions."""

    type: Annotated[str, Field(max_length=64)]
    """Name of the aspect."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """One word, in CamelCase, that programs may compare."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """What it waits for, and what unblocks it."""
    observed_generation: Annotated[int, Field(json_schema_extra={"format": "int64"})]
    """The generation of the spec that this was judged from."""
    last_transition_time: Timestamp
    """Since when `status` is what it is."""


class Metadata(Model):
    """The part of the object's metadata that is read here."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
