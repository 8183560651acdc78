"""Rules of legal names: children are Services, Jobs and labels, and no child may have two claimants."""

from __future__ import annotations

import re
from typing import Any

from sluicegate.api.meta import (
    COLOUR_SUFFIX_PATTERN,
    NAME_MAX_LENGTH,
    NAME_PATTERN,
    RESERVED_SUFFIXES,
    Rule,
)


def _name(obj: Any) -> str:
    return str(obj.metadata.name)


FORM_RULES = (
    Rule(
        cel=f"self.metadata.name.size() <= {NAME_MAX_LENGTH}",
        message=f"metadata.name may have at most {NAME_MAX_LENGTH} characters: "
        "the names of Services and Pods are made from it",
        holds=lambda obj: len(_name(obj)) <= NAME_MAX_LENGTH,
    ),
    Rule(
        cel=f"self.metadata.name.matches('{NAME_PATTERN}')",
        message="metadata.name must be a legal Service name: lower case letters, digits and '-', "
        "a letter first, no dot",
        holds=lambda obj: re.fullmatch(NAME_PATTERN, _name(obj)) is not None,
    ),
)

# A ModelVersion needs none of this: its one child is always called <name>-inspect.
CHILD_RULES = (
    Rule(
        cel=" && ".join(f"!self.metadata.name.endsWith('{suffix}')" for suffix in RESERVED_SUFFIXES)
        + f" && !self.metadata.name.matches('{COLOUR_SUFFIX_PATTERN}')",
        message="metadata.name may not end like the name of a child: "
        + ", ".join(RESERVED_SUFFIXES)
        + " or '-' and 8 hexadecimal digits",
        holds=lambda obj: (
            not _name(obj).endswith(RESERVED_SUFFIXES)
            and re.search(COLOUR_SUFFIX_PATTERN, _name(obj)) is None
        ),
    ),
)
