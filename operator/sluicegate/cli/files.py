"""Objects in YAML files, read as kubectl reads them: lists are taken apart, and a date is text."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sluicegate.cli.command import CommandError, Exit

Object = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Knows the values of JSON alone."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(path: Path) -> list[Object]:
    """The objects of a YAML file; `-` is the standard input. Raises CommandError with what is wrong."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        documents = list(yaml.load_all(text, _Loader))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CommandError(f"cannot read {path}: {error}", Exit.USAGE_OR_PERMISSION) from error
    return [obj for document in documents if document is not None for obj in _objects(document, path)]


def _objects(document: Any, path: Path) -> Iterator[Object]:
    """The document, or what is in it where it is a list such as kubectl get -o yaml writes."""
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise CommandError(f"cannot read {path}: a document in it is no object, for it has no kind")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item, path)
    else:
        yield document
