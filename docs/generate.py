"""Writes docs/reference from the code, so that it says what the code says: `python docs/generate.py`."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from sluicegate import app
from sluicegate.api.crdgen import RESOURCES, Resource
from sluicegate.api.reasons import Reason
from sluicegate.api.schema import change_of, fields_below, is_leaf, only_model, prose, struct
from sluicegate.cli.advice import advice
from sluicegate.core import naming
from sluicegate.host.metrics import Metrics
from sluicegate_engine import demand, drain, journal, otlp, quarantine
from sluicegate_engine.fingerprint import OF_NO_CONSEQUENCE
from sluicegate_engine.gate_settings import PRIORITY_HEADER, GateSettings
from sluicegate_engine.priority import TOTAL_WEIGHT, Priority
from sluicegate_engine.reload.capability import CAPABILITIES

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"


@dataclass(frozen=True)
class Row:
    """One field in a reference table."""

    path: str
    type: str
    default: str
    change: str
    text: str


def pages() -> dict[str, str]:
    """Text of each page, by file name."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DOCS / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    kinds = {
        f"{resource.kind.lower()}.md": templates.get_template("kind.md.j2").render(
            resource=resource,
            description=prose(resource.model.__doc__),
            spec=list(rows(resource, "spec")),
            status=list(rows(resource, "status")),
            rules=list(dict.fromkeys(rules(resource))),
        )
        for resource in RESOURCES
    }
    reasons = [(str(reason), reason.meaning, advice(reason)) for reason in Reason]
    return {
        **kinds,
        "reasons.md": templates.get_template("reasons.md.j2").render(reasons=reasons),
        "metrics.md": templates.get_template("metrics.md.j2").render(metrics=metrics()),
        "hot-reload.md": templates.get_template("hot-reload.md.j2").render(capabilities=CAPABILITIES),
        "admission.md": templates.get_template("admission.md.j2").render(
            deaths=quarantine.DEATHS,
            remembered=quarantine.REMEMBERED,
            ignored=", ".join(f"`{name}`" for name in sorted(OF_NO_CONSEQUENCE)),
            demand=demand,
            drain=drain,
            header=PRIORITY_HEADER,
            settings=GateSettings,
            priorities=list(Priority),
            total=TOTAL_WEIGHT,
        ),
        "requests.md": templates.get_template("requests.md.j2").render(
            fields=journal.FIELDS, start=journal.START, waiting=otlp.WAITING
        ),
        "labels.md": templates.get_template("labels.md.j2").render(naming=naming),
    }


def rows(resource: Resource, part: str) -> Iterator[Row]:
    """Every field of `spec` or `status`, structs before what is in them."""
    model = only_model(resource.model.model_fields[part])
    schema = struct(model, defaults=part == "spec")
    for path, info in fields_below(model, part):
        node = _node(schema, path.split(".")[1:])
        change = change_of(info)
        yield Row(
            path=path,
            type=_type(node),
            default="" if not is_leaf(info) or "default" not in node else json.dumps(node["default"]),
            change=change.value if change else "",
            text=prose(info.description),
        )


def _node(schema: Mapping[str, Any], keys: list[str]) -> Mapping[str, Any]:
    for key in keys:
        schema = schema.get("items", schema)["properties"][key]
    return schema


def _type(node: Mapping[str, Any]) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "x-kubernetes-int-or-string" in node:
        return "quantity"
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map to {node['additionalProperties']['type']}"
    bounds = [str(node[key]) for key in ("minimum", "maximum") if key in node]
    return f"{node['type']} {' to '.join(bounds)}" if len(bounds) == 2 else str(node["type"])


def rules(resource: Resource) -> Iterator[str]:
    """What the API server refuses beyond types and bounds."""
    yield from (rule.message for rule in resource.model.RULES)
    spec = struct(only_model(resource.model.model_fields["spec"]))
    yield from _messages(spec)


def _messages(node: Mapping[str, Any]) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield rule["message"]
    for inner in (*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])):
        yield from _messages(inner)


def metrics() -> list[tuple[str, str, str, str]]:
    """Name, type, labels and text of every metric."""
    rows = [*_asked_at_each_scrape()]
    for collector in Metrics().registry._collector_to_names:
        (family,) = collector.describe()
        suffix = "_total" if family.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)
        rows.append((f"{family.name}{suffix}", family.type, labels, family.documentation))
    return sorted(rows)


def _asked_at_each_scrape() -> Iterator[tuple[str, str, str, str]]:
    """These exist in a running operator only, so they are read from where it declares them."""
    for node in ast.walk(ast.parse(Path(app.__file__).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            if node.func.attr == "show":
                yield f"sluicegate_{texts[0]}", "gauge", "", texts[1]
            elif node.func.attr == "show_each":
                yield f"sluicegate_{texts[0]}", "gauge", f"`{texts[2]}`", texts[1]


def main() -> None:
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text)


if __name__ == "__main__":
    main()
