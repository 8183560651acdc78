"""JSON that cannot be changed: a decision that writes into what it sees fails at that write."""

from __future__ import annotations

from typing import Any, NoReturn


def _refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
    raise AssertionError("a decision changed what it was shown")


class FrozenDict(dict[str, Any]):
    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = clear = setdefault = _refuse


class FrozenList(list[Any]):
    __setitem__ = __delitem__ = __iadd__ = append = extend = insert = pop = remove = _refuse
    clear = sort = reverse = _refuse


def frozen(value: Any) -> Any:
    match value:
        case FrozenDict() | FrozenList():
            return value
        case dict():
            return FrozenDict((key, frozen(item)) for key, item in value.items())
        case list() | tuple():
            return FrozenList(frozen(item) for item in value)
    return value


def thawed(value: Any) -> Any:
    match value:
        case dict():
            return {key: thawed(item) for key, item in value.items()}
        case list() | tuple():
            return [thawed(item) for item in value]
    return value
