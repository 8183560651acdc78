"""Ten thousand generated custom resources on their way through the planners; nightly, two hundred thousand.

In parts, so that several processors share them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.fuzz.journeys import follow

SEED = 1
OBJECTS, NIGHTLY_OBJECTS, PARTS = 10_000, 200_000, 4


@pytest.mark.parametrize("part", range(PARTS))
def test_every_object_is_called_invalid_or_comes_to_rest_ready_or_stalled(
    part: int, nightly: bool, record_property: Callable[[str, Any], None]
) -> None:
    objects = NIGHTLY_OBJECTS if nightly else OBJECTS
    size = objects // PARTS

    outcomes = follow(SEED, part * size, size)

    ends = [(kind, end) for kind in ("LLMDeployment", "ModelVersion") for end in ("InvalidSpec", "Ready")]
    assert min(outcomes[each] for each in [*ends, ("LLMDeployment", "Stalled")]) > size / 40
    record_property("class 16", outcomes.total())
