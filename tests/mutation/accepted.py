"""Mutants that may survive, as listed in survivors.toml with a reason each, and whether that list is true."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.trials import Verdict

LISTED = Path(__file__).parent / "survivors.toml"


@dataclass(frozen=True)
class Row:
    """What became of one module's mutants."""

    module: str
    mutants: int
    killed: int
    accepted: int

    @property
    def score(self) -> float:
        """Killed of all, in percent."""
        return 100 * self.killed / self.mutants if self.mutants else 100.0


def listed(file: Path = LISTED) -> dict[str, str]:
    """The reason of each accepted mutant. Raises ValueError where one has none or is listed twice."""
    found: dict[str, str] = {}
    for entry in tomllib.loads(file.read_text()).get("accepted", ()):
        for name in entry["mutants"]:
            if name in found or not entry["reason"].strip():
                raise ValueError(f"{file.name}: list it once, with a reason: {name}")
            found[name] = entry["reason"]
    return found


def held_elsewhere(file: Path = LISTED) -> tuple[str, ...]:
    """The beginnings of the names of mutants that are not tried, for other tests hold what they change."""
    entries = tomllib.loads(file.read_text()).get("elsewhere", ())
    return tuple(f"{owner}: " for entry in entries for owner in entry["owners"])


def complaints(
    verdicts: Sequence[Verdict], accepted: Collection[str], modules: Collection[str]
) -> Iterator[str]:
    """What makes the list untrue of these verdicts on all mutants of these modules."""
    killed = {verdict.mutant.name: verdict.killed for verdict in verdicts}
    for verdict in verdicts:
        if not verdict.killed and verdict.mutant.name not in accepted:
            where = f"{verdict.mutant.file.name}:{verdict.mutant.lines.start}"
            able = f"{verdict.able} tests can tell it"
            yield f"survived, write a test or give a reason ({where}, {able}): {verdict.mutant.name}"
    for name in accepted:
        if _module_in(name) not in modules:
            continue
        if name not in killed:
            yield f"listed, but there is no such mutant: {name}"
        elif killed[name]:
            yield f"listed, but a test kills it: {name}"


def _module_in(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]


def rows(verdicts: Sequence[Verdict], accepted: Mapping[str, str]) -> list[Row]:
    """A row for each module, by name, and one for all."""
    modules = sorted({verdict.mutant.module for verdict in verdicts})
    parts = [(each, [verdict for verdict in verdicts if verdict.mutant.module == each]) for each in modules]
    return [_row(name.rpartition(".")[2], part, accepted) for name, part in [*parts, ("all", list(verdicts))]]


def _row(name: str, verdicts: Sequence[Verdict], accepted: Mapping[str, str]) -> Row:
    killed = sum(verdict.killed for verdict in verdicts)
    known = sum(not verdict.killed and verdict.mutant.name in accepted for verdict in verdicts)
    return Row(name, len(verdicts), killed, known)


def table(rows: Sequence[Row]) -> str:
    heads = ("module", "mutants", "killed", "accepted", "score")
    cells = [(row.module, row.mutants, row.killed, row.accepted, f"{row.score:.1f} %") for row in rows]
    return "\n".join(
        f"{module:<14}{mutants:>9}{killed:>9}{accepted:>10}{score:>9}"
        for module, mutants, killed, accepted, score in (heads, *cells)
    )
