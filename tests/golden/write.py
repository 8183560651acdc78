"""Writes the golden files: what the operator makes of each sample, and what people see of rollouts.

Run `python -m tests.golden.write` after a change that is meant to change pods, and read the difference: a
colour's template is recorded once, so it concerns new colours only.
"""

from __future__ import annotations

from pathlib import Path

from tests.golden import table

from sluicegate.cli.files import read
from sluicegate.cli.render import as_yaml, render
from sluicegate.core.observed import Defaults

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))
DEFAULTS = Defaults(
    cuda_image="sluicegate-engine:golden",
    cpu_image="sluicegate-engine:golden",
    store_image="sluicegate:golden",
    operator_namespace="sluicegate-system",
    token_key=b"",
)


def golden_file(sample: Path) -> Path:
    return Path(__file__).parent / sample.name


def rendered(sample: Path) -> str:
    return as_yaml(render(read(sample), DEFAULTS))


def main() -> None:
    for sample in SAMPLES:
        text = rendered(sample)
        if text:
            golden_file(sample).write_text(text)
    table.FILE.write_text(table.recorded())


if __name__ == "__main__":
    main()
