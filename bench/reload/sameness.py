"""Whether a model that was brought into a running pod answers as a pod that was started with it.

The weights are random, so a next token is often chosen by a hair, and other kernels choose another. So equal
is compared with equal: one prompt at a time, and vLLM without torch.compile, which times the kernels it could
use and takes the fastest, not the same one in every process. What else bears on answers is shown beside it:
a prompt that is in the cache, and other prompts in the batch.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.operator.figures import Bar, Figure, add_output, show
from bench.reload.checkpoints import EIGHT_BILLION, MODELS, TINY, write_checkpoints
from bench.reload.driver import FLAGS, Bench, Plan
from bench.reload.streams import Answer
from bench.reload.swap import serving

_FIRST = "first asked"
_AGAIN = "asked again"
_AT_ONCE = "all at once"

Asked = Mapping[str, Sequence[Answer]]
"""What a pod answers to the same prompts when they are first asked, asked again, and asked all at once."""


@dataclass(frozen=True)
class Difference:
    """Of two answers to one prompt.

    `at` is the first token in which they differ, from 0. `gap` is by how much the logarithm of its
    probability is above that of the other's token, in the first answer; infinite where that is not among
    the likeliest. `drift` is the greatest difference of such logarithms up to there, the tokens being equal.
    """

    at: int | None
    gap: float
    drift: float


def compare(one: Answer, other: Answer) -> Difference:
    pairs = list(zip(one.tokens, other.tokens, strict=True))
    at = next((number for number, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
    equal = pairs[:at]
    drift = max(
        (abs(one.likeliest[n][token] - other.likeliest[n][token]) for n, (token, _) in enumerate(equal)),
        default=0.0,
    )
    if at is None:
        return Difference(None, 0.0, drift)
    ours, theirs = pairs[at]
    there = one.likeliest[at]
    return Difference(at, there[ours] - there.get(theirs, float("-inf")), drift)


async def measure(plan: Plan, models: dict[str, Path], directory: Path) -> list[Figure]:
    async with serving(plan, models, directory / "changed") as bench:
        begun = await _ask(bench)
        await _change(bench)
        changed = await _ask(bench)
        await _change(bench)
        back = await _ask(bench)
    fresh, too = [await _started(plan, models, directory / name) for name in ("started", "started-too")]
    return [
        *_figures("changed in place and started, first asked", changed[_FIRST], fresh[_FIRST], Bar("≤", 0)),
        *_figures("changed in place and started, asked again", changed[_AGAIN], fresh[_AGAIN], Bar("≤", 0)),
        *_figures("before two changes and after, first asked", begun[_FIRST], back[_FIRST], Bar("≤", 0)),
        *_figures("two started alike, first asked", fresh[_FIRST], too[_FIRST]),
        *_figures("one started, first asked and asked again", fresh[_FIRST], fresh[_AGAIN]),
        *_figures("one started, first asked and all at once", fresh[_FIRST], fresh[_AT_ONCE]),
    ]


async def _started(plan: Plan, models: dict[str, Path], directory: Path) -> Asked:
    """What a pod answers that is started with the second model."""
    async with serving(plan, {"a": models["b"], "b": models["a"]}, directory) as bench:
        return await _ask(bench)


def _figures(
    name: str, one: Sequence[Answer], other: Sequence[Answer], bar: Bar | None = None
) -> list[Figure]:
    found = [compare(*pair) for pair in zip(one, other, strict=True)]
    unlike = [each for each in found if each.at is not None]
    figures = [
        Figure(f"{name}: answers that differ, of {len(found)}", "", [len(unlike)], bar),
        Figure(
            "  greatest drift of a logarithm while tokens are equal", "", [max(each.drift for each in found)]
        ),
    ]
    if unlike:
        figures += [
            Figure("  first token that differs", "", [each.at or 0 for each in unlike]),
            Figure("  its lead over the other's", "", [each.gap for each in unlike]),
        ]
    return figures


async def _ask(bench: Bench) -> Asked:
    """Nothing of the prompts may be in the pod's cache yet."""
    return {
        _FIRST: await bench.answers(),
        _AGAIN: await bench.answers(),
        _AT_ONCE: await bench.answers_at_once(),
    }


async def _change(bench: Bench) -> None:
    """It empties the cache."""
    await bench.stage(near=False)
    await bench.switch(near=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.reload.sameness", description=__doc__)
    parser.add_argument("--models", type=Path, default=MODELS, help="where the two lie, 16 GB each")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the measurement itself")
    add_output(parser)
    options = parser.parse_args()
    plan = Plan(TINY if options.tiny else EIGHT_BILLION, flags=(*FLAGS, "--enforce-eager"))
    models = write_checkpoints(options.models, plan.shape)
    with tempfile.TemporaryDirectory(prefix="bench-reload-") as directory:
        found = asyncio.run(measure(plan, models, Path(directory)))
    show(found, options.output)


if __name__ == "__main__":
    main()
