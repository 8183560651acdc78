"""Values of a structural schema's nodes: sound ones up to each bound, and ones at and beyond them.

`sound` keeps to the schema and, mostly, to what its rules say of single fields; `edge` is a value just
inside or outside of a bound, of another type, or of no sense at all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fuzz.patterns import matching, near, stretched

Schema = Mapping[str, Any]


class Absent:
    """Instead of a value: the field is left out."""


ABSENT = Absent()
OTHER_TYPES = (None, True, False, 0, 1, -1, 1.5, 3.0, "", "x", "1", "true", [], {}, [None], {"x": 1}, ["x"])
NUMBERS = (0, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, 10**20, 1.5, 1e3, -0.0)
TIMES = (
    *("2026-01-01T12:00:00Z", "2026-01-01T12:00:00+02:00", "2026-01-01T12:00:00.5Z", "1970-01-01T00:00:00Z"),
    *("2024-02-29T23:59:59Z", "9999-12-31T23:59:59Z", "2026-01-01T12:00:00.123456789Z"),
)
NO_TIMES = (
    *("2026-01-01", "2026-01-01T12:00:00", "2026-13-01T12:00:00Z", "2026-02-30T12:00:00Z", "soon", ""),
    *("2026-01-01 12:00:00Z", "2026-01-01t12:00:00z", "2026-01-01T24:00:00Z", "2026-01-01T12:00:60Z"),
    *("2026-01-01T12:00Z", "20260101T120000Z", "0000-01-01T00:00:00Z", "2026-01-01T12:00:00+0200"),
    *("2026-01-01T12:00:00+25:00", "2026-W01-4T12:00:00Z", "-2026-01-01T12:00:00Z", "2026-01-01T12:00:00,5Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T12:00:00.Z"),
)
FREE_TEXTS = ("x", "some text", "ä/B:1@%", "\t \n", "😀", "registry.test/engine:2", "x" * 200)
ODD_TEXTS = ("", " ", "\n", "null", "../..", "%s{}", "\0", "'\"\\`$(id)", "ä" * 8, "x" * 64, "x" * 5000)
LONG_DOMAINS = ("a." * 126 + "a", "a." * 127, "a" * 253, "a" * 252 + ".", "a" * 254)


@dataclass(frozen=True)
class Hints:
    """What the rules say of a field beside its schema: patterns, and beginnings and ends."""

    patterns: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


NO_HINTS = Hints()
_FIELDS = re.compile(r"self(?:\.([\w.]+?))?\.(?:all|matches|startsWith|endsWith|contains)\(")
_PATTERNS = re.compile(r"\.matches\('(.*?)'\)")
_WORDS = re.compile(r"\.(?:startsWith|endsWith|contains)\('(.*?)'\)")


def hints(schema: Schema) -> dict[str, Hints]:
    """What a node's rules say, by field; "" is the node itself, or the keys of a map."""
    found: dict[str, Hints] = {}
    for rule in (each["rule"] for each in schema.get("x-kubernetes-validations", ())):
        for field in set(_FIELDS.findall(rule)):
            before = found.get(field, NO_HINTS)
            patterns = (*before.patterns, *_PATTERNS.findall(rule))
            found[field] = Hints(patterns, (*before.words, *_WORDS.findall(rule)))
    return found


class Values:
    """Values from one stream of chance. `plenty` is the probability of an optional field."""

    def __init__(self, choose: random.Random, plenty: float) -> None:
        self._choose = choose
        self._plenty = plenty

    # sound

    def sound(self, schema: Schema, told: Hints = NO_HINTS) -> Any:
        if "enum" in schema:
            return self._choose.choice(schema["enum"])
        if schema.get("x-kubernetes-int-or-string"):
            return self._number(schema) if self._choose.random() < 0.4 else self._string(schema, told)
        match schema["type"]:
            case "boolean":
                return self._choose.choice((False, True))
            case "integer":
                return self._number(schema)
            case "string":
                return self._string(schema, told)
            case "array":
                return self._array(schema, told)
        return self._map(schema, told) if "additionalProperties" in schema else self._struct(schema)

    def _struct(self, schema: Schema) -> dict[str, Any]:
        told, required = hints(schema), schema.get("required", ())
        return {
            name: self.sound(below, told.get(name, NO_HINTS))
            for name, below in schema["properties"].items()
            if name in required or self._choose.random() < self._plenty
        }

    def _map(self, schema: Schema, told: Hints) -> dict[str, Any]:
        count, below = self._few(schema), schema["additionalProperties"]
        return {self.key(schema, told): self.sound(below) for _ in range(count)}

    def key(self, schema: Schema, told: Hints) -> str:
        """A key of a map; a few begin with a word that a rule knows."""
        if told.words and self._choose.random() < 0.03:
            return self._choose.choice(told.words) + "x"
        return matching(self._choose, hints(schema)[""].patterns[0])

    def _array(self, schema: Schema, told: Hints) -> list[Any]:
        items = [self.sound(schema["items"], told) for _ in range(self._few(schema))]
        keys = schema.get("x-kubernetes-list-map-keys")
        if schema.get("x-kubernetes-list-type") == "set":
            return list(dict.fromkeys(items))
        if not keys:
            return items
        defaults = {key: schema["items"]["properties"][key].get("default") for key in keys}
        return list({tuple(item.get(key, defaults[key]) for key in keys): item for item in items}.values())

    def _few(self, schema: Schema) -> int:
        most = schema.get("maxItems", schema.get("maxProperties"))
        return most if self._choose.random() < 0.02 else self._choose.choice((0, 1, 2, 3))

    def _number(self, schema: Schema) -> int:
        low, high = schema.get("minimum", -3), schema.get("maximum", 2**31 - 1)
        some = (low, low + 1, high, high - 1, self._choose.randint(low, min(high, low + 8)))
        return self._choose.choice((*some, self._choose.randint(low, high)))

    def _string(self, schema: Schema, told: Hints) -> str:
        if schema.get("format") == "date-time":
            return self._choose.choice(TIMES)
        least, most = schema.get("minLength", 0), schema["maxLength"]
        patterns = (schema["pattern"],) if "pattern" in schema else told.patterns
        for _ in range(50):
            text = self._text(patterns)
            if least <= len(text) <= most:
                break
        if self._choose.random() < min(0.1, 500 / most):
            return stretched(text, most, patterns) or text
        return text

    def _text(self, patterns: Sequence[str]) -> str:
        if patterns:
            return matching(self._choose, self._choose.choice(patterns))
        return self._choose.choice(FREE_TEXTS)

    # at and beyond the bounds

    def edge(self, schema: Schema, value: Any, told: Hints = NO_HINTS) -> Any:
        """Something else in place of a sound value; ABSENT for nothing at all."""
        if self._choose.random() < 0.25:
            return self._choose.choice((ABSENT, *OTHER_TYPES))
        if "enum" in schema:
            one = self._choose.choice(schema["enum"])
            return self._choose.choice((one.lower(), one.upper(), f"{one} ", one[:-1], "", "Unknown", [one]))
        if schema.get("x-kubernetes-int-or-string") and self._choose.random() < 0.7:
            return self._beyond(schema)
        match schema.get("type", "string"):
            case "boolean":
                return self._choose.choice((True, "true", "False", 0, 1))
            case "integer":
                return self._beyond(schema)
            case "string":
                return self._other_text(schema, told)
            case "array":
                return self._other_list(schema, value, told)
        if "additionalProperties" in schema:
            return self._other_map(schema, value, told)
        return self._other_struct(schema, value)

    def _beyond(self, schema: Schema) -> Any:
        low, high = schema.get("minimum", 0), schema.get("maximum", 2**31 - 1)
        numbers = (low - 1, low, high, high + 1, low - 1, high + 1, str(low), float(low), low + 0.5)
        return self._choose.choice((*numbers, self._choose.choice(NUMBERS)))

    def _other_text(self, schema: Schema, told: Hints) -> str:
        if schema.get("format") == "date-time" and self._choose.random() < 0.7:
            return self._choose.choice(NO_TIMES)
        most = schema["maxLength"]
        match self._choose.randrange(5 if told.words else 4):
            case 0:
                return "x" * self._choose.choice((schema.get("minLength", 1) - 1, most, most + 1))
            case 1:
                text = self._string(schema, told)
                patterns = (schema["pattern"],) if "pattern" in schema else told.patterns
                return stretched(text, most + 1, patterns) or f"{text}x"
            case 2:
                return self._choose.choice(ODD_TEXTS)
            case 4:
                return self._choose.choice(told.words) + self._string(schema, told)
        return near(self._choose, self._string(schema, told))

    def _other_list(self, schema: Schema, value: Any, told: Hints) -> Any:
        items = value if isinstance(value, list) and value else [self.sound(schema["items"], told)]
        count = self._choose.choice((schema["maxItems"], schema["maxItems"] + 1))
        many = [self.sound(schema["items"], told) for _ in range(count)]
        others = ([*items, items[0]], [*items, None], {"0": items[0]}, items[0])
        return self._choose.choice((many, many, *others))

    def _other_map(self, schema: Schema, value: Any, told: Hints) -> Any:
        given = value if isinstance(value, dict) else {}
        below, most = schema["additionalProperties"], schema["maxProperties"]
        keys = (
            near(self._choose, self.key(schema, told)),
            f"{self._choose.choice(LONG_DOMAINS)}/{'x' * self._choose.choice((62, 63, 64))}",
            self._choose.choice((*told.words, "kubernetes.io/"))
            + self._choose.choice(("x", "", "a/b", "X.y")),
            self._choose.choice(ODD_TEXTS),
        )
        if self._choose.random() < 0.2:
            return {f"k{at}": self.sound(below) for at in range(self._choose.choice((most, most + 1)))}
        return {**given, self._choose.choice(keys): self.sound(below)}

    def _other_struct(self, schema: Schema, value: Any) -> Any:
        given = value if isinstance(value, dict) else self._struct(schema)
        name = self._choose.choice(list(schema["properties"]))
        match self._choose.randrange(4):
            case 0:
                return {}
            case 1:
                return {**given, self._choose.choice(("unknown", f"{name}s", name.upper(), "")): {"x": [1]}}
            case 2:
                return {key: inner for key, inner in given.items() if key != name}
        return {**given, name: None}
