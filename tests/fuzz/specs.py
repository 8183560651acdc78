"""Custom resources from the definitions' own schemas, the same for the same seed and number.

An object is built sound, then a few of its nodes are put at or beyond a bound, one mostly, so that nothing
hides what it is refused for. The rules between fields are kept by most and broken by the rest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fuzz.patterns import matching, near
from tests.fuzz.values import ABSENT, NO_HINTS, Hints, Schema, Values, hints

from sluicegate.api.crdgen import schemas
from sluicegate.api.meta import API_VERSION

Object = dict[str, Any]
Path = tuple[str, ...]
Change = Callable[[Schema, Any, Hints], Any]

SCHEMAS: Mapping[str, Schema] = schemas()
KINDS = (*["LLMDeployment"] * 3, "ModelVersion")
ITEM, VALUE = "[]", "{}"
HARMS = (*[0] * 9, *[1] * 8, 2, 2, 4)
AGREEING = 0.8
ODD_NAME = 0.12
LINK_LOCAL = 0.05


@dataclass(frozen=True)
class Sample:
    """An object and where it came from."""

    seed: int
    number: int
    obj: Object

    @property
    def kind(self) -> str:
        return str(self.obj["kind"])


def sample(seed: int, number: int, kind: str | None = None) -> Sample:
    """The object of this seed and number, without a status; three of four are LLMDeployments."""
    choose = random.Random(f"{seed}/{number}")
    kind = kind or choose.choice(KINDS)
    schema = SCHEMAS[kind]["properties"]["spec"]
    values = Values(choose, choose.choice((0.05, 0.2, 0.5, 0.9)))
    spec = values.sound(schema)
    if choose.random() < AGREEING:
        _AGREEING[kind](choose, spec)
    spec = harmed(choose, values, schema, spec, first=number)
    head = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": _name(choose, SCHEMAS[kind])}}
    return Sample(seed, number, head if spec is ABSENT else {**head, "spec": spec})


def a_status(seed: int, number: int, kind: str) -> Any:
    """A status of this kind, which may be refused too."""
    choose = random.Random(f"status/{seed}/{number}")
    values = Values(choose, choose.choice((0.1, 0.5, 0.9)))
    schema = SCHEMAS[kind]["properties"]["status"]
    return harmed(choose, values, schema, values.sound(schema))


def a_successor(seed: int, number: int, old: Object) -> Object:
    """What somebody makes of a stored object: mostly the same spec, or one with a single change."""
    choose = random.Random(f"successor/{seed}/{number}")
    values = Values(choose, 0.3)
    schema = SCHEMAS[old["kind"]]["properties"]["spec"]
    match choose.randrange(4):
        case 0:
            spec = old["spec"]
        case 1:
            spec = {**old["spec"], "unknown": 1, "digest": old["spec"].get("digest")}
        case 2:
            spec = values.sound(schema)
        case _:
            spec = harmed(choose, values, schema, old["spec"], harms=1)
    rest = {key: value for key, value in old.items() if key != "spec"}
    return rest if spec is ABSENT else {**rest, "spec": spec}


def harmed(
    choose: random.Random,
    values: Values,
    schema: Schema,
    value: Any,
    *,
    harms: int | None = None,
    first: int | None = None,
) -> Any:
    """The value with some of its nodes at or beyond a bound. Every node of the schema is as likely.

    The nodes take turns where `first` counts the values, so that chance leaves none out.
    """
    every = list(paths(schema))
    for harm in range(choose.choice(HARMS) if harms is None else harms):
        turn = choose.randrange(len(every)) if first is None or harm else first % len(every)
        value = changed(values, schema, value, every[turn], values.edge)
        if value is ABSENT:
            break
    return value


def paths(schema: Schema, path: Path = ()) -> Iterator[Path]:
    """Every node of a schema: names of fields, and [] and {} for a list's items and a map's values."""
    yield path
    for name, below in schema.get("properties", {}).items():
        yield from paths(below, (*path, name))
    if "items" in schema:
        yield from paths(schema["items"], (*path, ITEM))
    if "additionalProperties" in schema:
        yield from paths(schema["additionalProperties"], (*path, VALUE))


def changed(
    values: Values, schema: Schema, value: Any, path: Path, how: Change, told: Hints = NO_HINTS
) -> Any:
    """The value with the node at the path replaced; what is missing on the way there is made."""
    if not path:
        return how(schema, value, told)
    step, rest = path[0], path[1:]
    if step == ITEM:
        items = value if isinstance(value, list) and value else [values.sound(schema["items"], told)]
        first = changed(values, schema["items"], items[0], rest, how, told)
        return [*([] if first is ABSENT else [first]), *items[1:]]
    node = value if isinstance(value, dict) else values.sound(schema, told)
    if step == VALUE:
        step, below = next(iter(node), None) or values.key(schema, told), schema["additionalProperties"]
        told = NO_HINTS
    else:
        below, told = schema["properties"][step], hints(schema).get(step, NO_HINTS)
    inner = node[step] if step in node else values.sound(below, told)
    inner = changed(values, below, inner, rest, how, told)
    kept = {key: part for key, part in node.items() if key != step}
    return kept if inner is ABSENT else {**kept, step: inner}


def _name(choose: random.Random, schema: Schema) -> str:
    """A name that the rules on it take, or now and then one that they are there for."""
    told = hints(schema)["metadata.name"]
    form, *ends = told.patterns
    name = matching(choose, form)
    if choose.random() > ODD_NAME:
        return name
    endings = [*told.words, *(matching(choose, end) for end in ends)] or ["-x"]
    long = "x" * choose.choice((49, 50, 51, 63, 64, 253, 254))
    end = choose.choice(endings)
    return choose.choice((name + end, name + end + "x", long, near(choose, name), f"{name}.{name}", ""))


def _agree_on_a_deployment(choose: random.Random, spec: Object) -> None:
    engine, pod = spec.get("engine", {}), spec.get("pod", {})
    if choose.random() < 0.6:
        spec.setdefault("engine", engine)["device"] = "CPU"
    parallelism = engine.get("parallelism", {})
    for way in parallelism:
        parallelism[way] = choose.choice((1, 2, 4))
    if engine.get("device") == "CPU":
        parallelism.pop("pipeline", None)
    parts = parallelism.get("tensor", 1) * parallelism.get("pipeline", 1)
    if "accelerator" in spec.get("resources", {}):
        spec["resources"]["accelerator"]["count"] = parts
    if "speculative" in engine:
        if engine["speculative"]["method"] == "Ngram":
            engine["speculative"].pop("draftModelVersion", None)
        else:
            engine["speculative"].setdefault("draftModelVersion", "draft")
    gate = spec.get("rollout", {}).get("verification", {}).get("goldenPrompts", {})
    if gate.get("policy") == "Skip":
        gate.setdefault("skipReason", "INC-42")
    else:
        gate.pop("skipReason", None)
    webhook = spec.get("rollout", {}).get("verification", {}).get("webhook")
    if webhook is not None and choose.random() < LINK_LOCAL:
        webhook["url"] = choose.choice(("http://169.254.169.254/", "https://[fe80::1]:8443/agree"))
    for toleration in pod.get("tolerations", ()):
        if toleration.get("operator") == "Exists":
            toleration.pop("value", None)
        else:
            toleration.setdefault("key", "gpu")


def _agree_on_a_version(choose: random.Random, spec: Object) -> None:
    if spec["source"]["uri"].startswith("pvc://"):
        for name in ("endpoint", "secretName"):
            spec["source"].pop(name, None)
    for prompt in spec.get("goldenPrompts", ()):
        prompt["logProbabilitiesMilliNats"] = [-500] * len(prompt["tokens"])


_AGREEING: Mapping[str, Callable[[random.Random, Object], None]] = {
    "LLMDeployment": _agree_on_a_deployment,
    "ModelVersion": _agree_on_a_version,
}
