"""Which parts of the schemas and rules a run of the API server has used, both ways."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.specs import ITEM, SCHEMAS, VALUE, Object, paths
from tests.fuzz.values import Schema

_INDEX = re.compile(r"\[\d+\]")
# How the API server says that a keyword of the schema is broken.
WORDS: Mapping[str, str] = {
    "type": "must be of type|must be an integer or a string",
    "enum": "Unsupported value",
    "pattern": "should match",
    "minimum": "greater than or equal to",
    "maximum": "less than or equal to",
    "minLength": "at least .* chars long",
    "maxLength": "Too long|at most .* chars",
    "maxItems": "Too many|at most .* items",
    "maxProperties": "Too many|at most .* properties",
    "required": "Required value",
    "x-kubernetes-list-map-keys": "Duplicate value",
}


@dataclass(frozen=True)
class Verdict:
    """`stored` is what the server would keep; without it, `causes` say which field is wrong, and how."""

    stored: Object | None
    causes: tuple[tuple[str, str], ...] = ()
    told: str = ""


@dataclass
class Coverage:
    """Which parts of the schemas were seen to accept and to refuse, and how often."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    verdicts: Counter[bool] = field(default_factory=Counter)

    def add(self, kind: str, verdict: Verdict) -> None:
        self.verdicts[verdict.stored is not None] += 1
        if verdict.stored is not None:
            self.accepted.update({f"{kind}.{where}" for where in _filled(verdict.stored["spec"], "spec")})
        for name, message in verdict.causes:
            self.refused[f"{kind}.{_INDEX.sub('.[]', name)}", message] += 1

    def rare(self, least: int) -> dict[str, int]:
        """Fields accepted, keywords and rules that refused, less often than `least`, each with how often."""
        found = {where: self.accepted[where] for where in _places()}
        for where, keyword in _keywords():
            found[f"{keyword} of {where}"] = self._refusals(where, WORDS[keyword])
        found |= {rule: self._refusals("", re.escape(rule)) for rule in _rules()}
        return {what: count for what, count in found.items() if count < least}

    def _refusals(self, where: str, words: str) -> int:
        told = re.compile(words)
        return sum(
            count
            for (name, message), count in self.refused.items()
            if name.startswith(where) and told.search(message)
        )


def _filled(value: Any, where: str) -> Iterator[str]:
    """The places in a value, lists' items as one."""
    yield where
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _filled(part, f"{where}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _filled(item, f"{where}.[]")


def _nodes() -> Iterator[tuple[str, Schema]]:
    """Every node of both specs but for the values of maps, whose names are anybody's."""
    for kind, root in SCHEMAS.items():
        spec = root["properties"]["spec"]
        for path in paths(spec):
            node = spec
            for step in path:
                node = node["items"] if step == ITEM else node.get("properties", {}).get(step, {})
            if VALUE not in path:
                yield ".".join((kind, "spec", *path)), node


def _places() -> Iterator[str]:
    return (where for where, _ in _nodes())


def _keywords() -> Iterator[tuple[str, str]]:
    for where, node in _nodes():
        # A value that is not in an enum is told by that alone, and a map of another type by its items.
        yield from ((where, keyword) for keyword in WORDS if keyword in node and keyword != "required")
        yield from ((f"{where}.{name}", "required") for name in node.get("required", ()))


def _rules() -> Iterator[str]:
    """The message of each rule that judges an object by itself."""
    for kind, root in SCHEMAS.items():
        for node in (root, *(node for _, node in _nodes_of(root["properties"]["spec"], kind))):
            rules = node.get("x-kubernetes-validations", ())
            yield from (rule["message"] for rule in rules if "oldSelf" not in rule["rule"])


def _nodes_of(schema: Schema, where: str) -> Iterator[tuple[str, Schema]]:
    yield where, schema
    below = [*schema.get("properties", {}).values()]
    below += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    for each in below:
        yield from _nodes_of(each, where)
