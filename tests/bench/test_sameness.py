"""How two answers to one prompt are told apart."""

import math

from bench.reload.sameness import Difference, compare
from bench.reload.streams import Answer

ANSWER = Answer(("one", "two"), ({"one": -0.5, "ein": -0.7}, {"two": -1.0, "zwei": -1.25}))


def test_equal_answers_differ_nowhere_and_drift_by_their_probabilities() -> None:
    other = Answer(ANSWER.tokens, ({"one": -0.25}, {"two": -1.5}))

    assert compare(ANSWER, other) == Difference(at=None, gap=0.0, drift=0.5)


def test_the_first_token_that_differs_counts_and_how_close_the_choice_was() -> None:
    other = Answer(("one", "zwei"), ({"one": -0.5}, {"two": -1.5, "zwei": -1.25}))

    assert compare(ANSWER, other) == Difference(at=1, gap=0.25, drift=0.0)


def test_a_token_that_was_not_among_the_likeliest_is_infinitely_far() -> None:
    other = Answer(("uno", "due"), ({"uno": -0.1}, {"due": -0.1}))

    assert compare(ANSWER, other) == Difference(at=0, gap=math.inf, drift=0.0)


def test_answers_are_equal_when_their_tokens_are() -> None:
    assert Answer(ANSWER.tokens, ({}, {})) == ANSWER
