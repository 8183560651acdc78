"""Quantities of Kubernetes, as texts or whole numbers; equal ones are read as one text."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

_DECIMAL = r"([1-9][0-9]*[.][0-9]{1,3}|0[.]([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))"
_UNITS = {
    **{unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T"), 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate(("K", "M", "G", "T"), 1)},
}
_UNIT = f"({'|'.join(_UNITS)})"


def _text(value: Any) -> Any:
    """A whole number as its digits. YAML reads an unquoted 4 as one."""
    return str(value) if type(value) is int else value


def _processors(text: str) -> str:
    """Whole processors where they are whole, thousandths where not: 4 of 4000m, 1500m of 1.5."""
    thousandths = int(text[:-1]) if text.endswith("m") else int(Decimal(text) * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def _bytes(text: str) -> str:
    """A decimal as whole bytes, rounded up as the API server does; anything else as it is."""
    if "." not in text:
        return text
    number = text.rstrip("".join(_UNITS))
    return str((Decimal(number) * _UNITS[text[len(number) :]]).to_integral_value(ROUND_CEILING))


def _int_or_string(longest: int, pattern: str) -> Any:
    """The schema of both forms: the pattern bounds the text, the other two the number."""
    extra = {"x-kubernetes-int-or-string": True, "minimum": 1, "maximum": 10**longest - 1}
    return Field(max_length=longest, pattern=pattern, json_schema_extra=extra)


Processors = Annotated[
    str,
    _int_or_string(8, rf"^([1-9][0-9]*m?|{_DECIMAL})$"),
    BeforeValidator(_text),
    AfterValidator(_processors),
]
Bytes = Annotated[
    str,
    _int_or_string(15, rf"^([1-9][0-9]*{_UNIT}?|{_DECIMAL}{_UNIT})$"),
    BeforeValidator(_text),
    AfterValidator(_bytes),
]
