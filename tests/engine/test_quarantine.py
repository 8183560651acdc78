"""Who is kept from the engine, for how long, and how innocents get out of it."""

from __future__ import annotations

import pytest
from tests.engine.clock import Watch

from sluicegate_engine.quarantine import REMEMBERED, Quarantine, Suspect, after_death

KILLER, BYSTANDER, OTHER = "k" * 32, "b" * 32, "o" * 32


def test_each_death_counts_against_all_that_were_there_and_an_answer_clears() -> None:
    first = after_death({}, {KILLER, BYSTANDER}, (), 5)
    assert first == {KILLER: Suspect(1), BYSTANDER: Suspect(1)}
    # when the bystander had an answer in between, and is there again
    second = after_death(first, {KILLER, BYSTANDER}, {BYSTANDER}, 5)
    assert second == {KILLER: Suspect(2), BYSTANDER: Suspect(1)}
    assert [each.quarantined for each in (second[KILLER], second[BYSTANDER])] == [True, False]


def test_who_had_an_answer_and_is_not_there_is_forgotten() -> None:
    assert after_death({BYSTANDER: Suspect(1)}, {KILLER}, {BYSTANDER}, 5) == {KILLER: Suspect(1)}


def test_the_time_of_engines_that_did_without_a_request_adds_up_until_one_dies_of_it() -> None:
    suspects = after_death({KILLER: Suspect(2, 100)}, {OTHER}, (), 50)
    assert suspects[KILLER] == Suspect(2, 150)
    assert after_death(suspects, {KILLER}, (), 50)[KILLER] == Suspect(3, 0)


def test_of_too_many_suspects_the_oldest_are_forgotten() -> None:
    old = {f"{n:032}": Suspect(1) for n in range(REMEMBERED)}
    suspects = after_death(old, {KILLER, f"{0:032}"}, (), 5)
    assert len(suspects) == REMEMBERED
    assert suspects[KILLER] == Suspect(1)
    assert suspects[f"{0:032}"] == Suspect(2)
    assert f"{1:032}" not in suspects
    assert f"{2:032}" in suspects


@pytest.mark.parametrize("deaths", [0, 1])
def test_one_death_keeps_nobody_out(watch: Watch, deaths: int) -> None:
    assert Quarantine({KILLER: Suspect(deaths)}, 10, watch).takes(KILLER)


def test_who_is_quarantined_is_refused_for_its_time_and_others_are_not(watch: Watch) -> None:
    quarantine = Quarantine({KILLER: Suspect(2, 4)}, 10, watch)
    assert quarantine.takes(OTHER)
    watch.at = 5_999
    assert not quarantine.takes(KILLER)
    watch.at = 6_000
    assert quarantine.takes(KILLER)


def test_those_whose_time_is_over_are_tried_one_at_a_time(watch: Watch) -> None:
    quarantine = Quarantine({KILLER: Suspect(2, 10), BYSTANDER: Suspect(2, 10)}, 10, watch)
    assert quarantine.takes(BYSTANDER)
    assert not quarantine.takes(KILLER)
    assert not quarantine.takes(BYSTANDER)
    assert quarantine.takes(OTHER)
    # and when that has ended, the next, whoever else ends meanwhile
    quarantine.leave(OTHER)
    assert not quarantine.takes(KILLER)
    quarantine.leave(BYSTANDER)
    assert quarantine.takes(KILLER)


def test_an_answer_clears_who_is_on_trial(watch: Watch) -> None:
    quarantine = Quarantine({BYSTANDER: Suspect(2, 10)}, 10, watch)
    quarantine.takes(BYSTANDER)
    assert quarantine.clear(BYSTANDER)
    quarantine.leave(BYSTANDER)
    assert [quarantine.takes(BYSTANDER) for _ in range(2)] == [True, True]
    assert not quarantine.clear(BYSTANDER), "nothing was held against it any more"
