"""Who owns which field: server-side apply and the bookkeeping of every other write.

The rules are those of Kubernetes' structured merge and diff, for objects with one API version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.sim.server.fields import (
    FieldSet,
    Path,
    child_schema,
    compare,
    decode,
    encode,
    is_atomic,
    item_element,
    item_schema,
    owned_by,
    remove,
    spell,
    with_parents,
)
from tests.sim.server.schemas import Schema

Object = dict[str, Any]

NEVER_OWNED: frozenset[Path] = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "creationTimestamp", "selfLink", "uid", "generation", "managedFields",
            "resourceVersion",
        )
    }
)  # fmt: skip


@dataclass(frozen=True)
class Manager:
    """One entry of managedFields, but for its fields and time."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


@dataclass(frozen=True)
class Owned:
    fields: FieldSet
    time: str


Managers = dict[Manager, Owned]


class ApplyConflictError(Exception):
    """Other managers own fields that an apply without force would change."""

    def __init__(self, conflicts: list[tuple[Manager, Path]]) -> None:
        self.causes = [(spell(path), _conflict_with(manager)) for manager, path in conflicts]
        plural = "s" if len(self.causes) > 1 else ""
        super().__init__(f"Apply failed with {len(self.causes)} conflict{plural}: {self.causes[0][1]}")


def _conflict_with(manager: Manager) -> str:
    place = f" with subresource {manager.subresource!r}" if manager.subresource else ""
    return f'conflict with "{manager.name}"{place} using {manager.api_version}'


def managers_of(obj: Mapping[str, Any]) -> Managers:
    return {
        Manager(
            entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")
        ): Owned(decode(entry["fieldsV1"]), entry["time"])
        for entry in obj["metadata"].get("managedFields") or ()
    }


def in_order(managers: Managers) -> Managers:
    """The managers as the server lists them."""

    def place(entry: tuple[Manager, Owned]) -> tuple[str, str, str]:
        manager, owned = entry
        return manager.operation, owned.time, manager.name

    return dict(sorted(managers.items(), key=place))


def managed_fields(managers: Managers) -> list[Object]:
    """The managers as `metadata.managedFields`, in the server's order."""
    entries = []
    for manager, owned in in_order(managers).items():
        entry = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode(owned.fields),
        }
        entries.append(entry | ({"subresource": manager.subresource} if manager.subresource else {}))
    return entries


@dataclass(frozen=True)
class Ownership:
    """The bookkeeping of one kind; `may_own` says which paths the endpoint written through can own."""

    schema: Schema
    may_own: Callable[[Path], bool]

    def updated(self, old: Object, new: Object, managers: Managers, manager: Manager, time: str) -> Managers:
        """The managers after `manager` wrote `new` over `old`: it owns what it changed."""
        difference = compare(self.schema, old, new)
        changed = self._ownable(difference.added | difference.modified)
        removed = self._ownable(difference.removed)
        mine = managers.get(manager, Owned(frozenset(), time)).fields
        taken = self._released(managers, manager, changed | removed)
        return _with(taken, managers, manager, (mine - removed) | changed, time)

    def applied(
        self, live: Object, config: Object, managers: Managers, manager: Manager, time: str, force: bool
    ) -> tuple[Object, Managers]:
        """The object and its managers after `manager` applied `config`: it owns all of it, and what it
        owned before and left out is gone unless another manager owns it too."""
        last = managers.get(manager, Owned(frozenset(), time)).fields
        mine = self._ownable(owned_by(self.schema, config))
        merged = merge(self.schema, live, config)
        others = frozenset().union(*(owned.fields for each, owned in managers.items() if each != manager))
        left_out = last - mine - others
        dropped = left_out and left_out - with_parents(self.schema, mine | others)
        new = remove(self.schema, merged, dropped)
        difference = compare(self.schema, live, new)
        changed = self._ownable(difference.added | difference.modified)
        if not force:
            self._refuse_conflicts(managers, manager, changed)
        taken = self._released(managers, manager, changed | self._ownable(difference.removed))
        return new, _with(taken, managers, manager, mine, time)

    def _ownable(self, fields: set[Path] | FieldSet) -> FieldSet:
        return frozenset(path for path in fields if path and path not in NEVER_OWNED and self.may_own(path))

    @staticmethod
    def _refuse_conflicts(managers: Managers, manager: Manager, changed: FieldSet) -> None:
        conflicts = [
            (each, path)
            for each, owned in sorted(managers.items(), key=lambda entry: entry[0].name)
            if each != manager
            for path in sorted(owned.fields & changed)
        ]
        if conflicts:
            raise ApplyConflictError(conflicts)

    @staticmethod
    def _released(managers: Managers, manager: Manager, lost: FieldSet) -> Managers:
        left = {
            each: owned
            if each == manager or owned.fields.isdisjoint(lost)
            else Owned(owned.fields - lost, owned.time)
            for each, owned in managers.items()
        }
        return {each: owned for each, owned in left.items() if owned.fields or each == manager}


def _with(taken: Managers, before: Managers, manager: Manager, fields: FieldSet, time: str) -> Managers:
    """`taken` with the manager's fields; an entry keeps its time while its fields stay."""
    after = {each: owned for each, owned in taken.items() if each != manager}
    if fields:
        same = manager in before and before[manager].fields == fields
        after[manager] = before[manager] if same else Owned(fields, time)
    return after


def merge(schema: Schema, live: Any, config: Any) -> Any:
    """`config` laid over `live`: atomic values are replaced, maps and keyed lists joined."""
    if config is None or live is None:
        return live if config is None else config
    if type(live) is not type(config) or is_atomic(schema, config):
        return config
    if isinstance(config, dict):
        return {
            key: merge(child_schema(schema, key), live.get(key), config.get(key)) for key in live | config
        }
    return _merge_items(schema, live, config)


def _merge_items(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    """Both lists' items, in the applied order; what only `live` has keeps its place among its neighbours."""
    theirs = {item_element(schema, item): item for item in live}
    mine = {item_element(schema, item): item for item in config}
    left, right = list(theirs), list(mine)
    shared = [element for element in mine if element in theirs]
    merged = []
    while left or right:
        if left and left[0] in mine and left[0] not in shared[:1]:
            left.pop(0)
        elif left and left[0] not in mine:
            merged.append(theirs[left.pop(0)])
        else:
            element = right.pop(0)
            if element in theirs:
                shared.remove(element)
            merged.append(merge(item_schema(schema), theirs.get(element), mine[element]))
    return merged
