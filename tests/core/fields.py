"""What managedFields say of an object that one apply has written."""

from __future__ import annotations

from typing import Any


def fields_of(value: Any) -> Any:
    """fieldsV1 of an apply: lists as one piece, for the lists of our children that matter here."""
    if isinstance(value, dict) and value:
        return {f"f:{key}": fields_of(item) for key, item in value.items()}
    return {}
