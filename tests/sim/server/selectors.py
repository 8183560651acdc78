"""Label and field selectors of lists and watches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.sim.server.refusals import bad_request

Object = Mapping[str, Any]
Matches = Callable[[Object], bool]

_SET = re.compile(r"(?P<key>\S+)\s+(?P<word>in|notin)\s+\((?P<values>[^)]*)\)")
_PLAIN = re.compile(r"(?P<key>[^=!\s]+)\s*(?P<word>==|=|!=)\s*(?P<value>[^=!\s]*)")
_FIELDS = {
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "status.phase",
    "involvedObject.uid",
    "type",
}


def selects(labels: str, fields: str) -> Matches:
    """Whether an object matches both selectors ("" matches all)."""
    requirements = [_label(text) for text in _split(labels)]
    requirements += [_field(text) for text in _split(fields)]
    return lambda obj: all(holds(obj) for holds in requirements)


def _split(selector: str) -> list[str]:
    return [part.strip() for part in re.split(r",(?![^(]*\))", selector) if part.strip()]


def _label(text: str) -> Matches:
    def value(obj: Object, key: str) -> str | None:
        found: str | None = (obj["metadata"].get("labels") or {}).get(key)
        return found

    if found := _SET.fullmatch(text):
        key, values = found["key"], {each.strip() for each in found["values"].split(",")}
        if found["word"] == "in":
            return lambda obj: value(obj, key) in values
        return lambda obj: value(obj, key) not in values
    if found := _PLAIN.fullmatch(text):
        key, wanted, differs = found["key"], found["value"], found["word"] == "!="
        return lambda obj: (value(obj, key) == wanted) != differs
    if re.fullmatch(r"!\s*[^\s=!,()]+", text):
        return lambda obj: value(obj, text[1:].strip()) is None
    if re.fullmatch(r"[^\s=!,()]+", text):
        return lambda obj: value(obj, text) is not None
    raise bad_request(f"unable to parse requirement: {text!r}")


def _field(text: str) -> Matches:
    found = _PLAIN.fullmatch(text)
    if found is None or found["key"] not in _FIELDS:
        raise bad_request(f"field label not supported: {text}")
    path, wanted, differs = found["key"].split("."), found["value"], found["word"] == "!="

    def holds(obj: Object) -> bool:
        value: Any = obj
        for name in path:
            value = (value or {}).get(name)
        return ((value or "") == wanted) != differs

    return holds
