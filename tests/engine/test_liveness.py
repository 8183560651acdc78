"""When an engine counts as stuck, on a clock that the test turns."""

from __future__ import annotations

from sluicegate_engine.liveness import Liveness, Patience, Verdict, Work

PATIENCE = Patience(doubt=10, stuck=25, first=180)


class Watched:
    """An engine at second `now`, looked at every second; its work is what `steps` made of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self.liveness = Liveness(PATIENCE, self.now)

    @property
    def work(self) -> Work:
        return (7.0, float(self.steps))

    def after(self, seconds: float, *, told: bool = True, first: bool = False) -> Verdict:
        """The verdict after so many looks, a second apart, at which its work is told or nothing is."""
        verdict = Verdict.FINE
        for _ in range(int(seconds)):
            self.now += 1
            if told:
                self.liveness.take(self.work)
            verdict = self.liveness.judge(self.now, first=first)
        return verdict


def test_an_engine_that_works_is_fine_for_as_long_as_it_does() -> None:
    engine = Watched()
    for _ in range(100):
        engine.steps += 1
        assert engine.after(9) is Verdict.FINE


def test_one_that_does_nothing_is_asked_for_a_token_and_then_given_up() -> None:
    engine = Watched()
    assert engine.after(9) is Verdict.FINE
    assert engine.after(1) is Verdict.DOUBTFUL
    assert engine.after(14) is Verdict.DOUBTFUL
    assert engine.after(1) is Verdict.STUCK
    assert engine.liveness.still == 25


def test_who_says_nothing_at_all_is_judged_by_the_same_time() -> None:
    engine = Watched()
    assert engine.after(24, told=False) is Verdict.DOUBTFUL
    assert engine.after(1, told=False) is Verdict.STUCK


def test_a_token_that_was_asked_for_settles_the_doubt() -> None:
    engine = Watched()
    assert engine.after(24) is Verdict.DOUBTFUL
    engine.liveness.moved()
    assert engine.after(9) is Verdict.FINE


def test_one_step_in_time_is_enough_whatever_was_told_meanwhile() -> None:
    engine = Watched()
    assert engine.after(20) is Verdict.DOUBTFUL
    engine.steps += 1
    assert engine.after(1) is Verdict.FINE
    assert engine.after(23) is Verdict.DOUBTFUL


def test_while_the_first_requests_are_in_it_the_engine_may_compile() -> None:
    engine = Watched()
    assert engine.after(179, first=True) is Verdict.DOUBTFUL
    assert engine.after(1, first=True) is Verdict.STUCK


def test_an_engine_that_counts_nothing_is_fine_while_its_server_answers() -> None:
    liveness = Liveness(PATIENCE, 0)
    for now in range(1, 100):
        liveness.take(())
        assert liveness.judge(now, first=False) is Verdict.FINE
    # and stuck once that does not answer either
    assert [liveness.judge(99 + n, first=False) for n in range(1, 25)][-2:] == [
        Verdict.DOUBTFUL,
        Verdict.STUCK,
    ]


def test_time_in_which_nobody_looked_does_not_count() -> None:
    engine = Watched()
    engine.after(5)
    # given a supervisor that stood still for an hour, and its engine with it
    engine.now += 3600
    # then the engine gets its time all the same
    assert engine.after(1) is Verdict.FINE
    assert engine.after(12) is Verdict.DOUBTFUL
    assert engine.after(20) is Verdict.STUCK
