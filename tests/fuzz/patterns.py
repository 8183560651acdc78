"""Texts from a pattern's own parse tree: some that match it, and some that just miss it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from functools import cache
from re import _constants as op  # the standard library's, and the only parser of its patterns
from re import _parser
from typing import Any

# Beside what patterns are about: ends of lines, letters and digits beyond ASCII, what folds to ASCII.
ODD = ("\n", " ", "\t", "\0", "\x7f", "\u2028", "é", "ª", "K", "ſ", "٣", "😀", *"-._/:@=~$\"'\\%A0z")
MOST_REPEATS = 6


@cache
def _tree(pattern: str) -> Any:
    return _parser.parse(pattern)


def matches(pattern: str, text: str) -> bool:
    """As the API server's regular expressions: `$` is the end, and not the line break before it."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None


def matching(choose: random.Random, pattern: str) -> str:
    """A text that the whole pattern describes."""
    return _texts(choose, _tree(pattern))


def _texts(choose: random.Random, nodes: Iterable[tuple[Any, Any]]) -> str:
    return "".join(_text(choose, kind, of) for kind, of in nodes)


def _text(choose: random.Random, kind: Any, of: Any) -> str:
    match kind:
        case op.LITERAL:
            return chr(of)
        case op.IN:
            return chr(_member(choose, of))
        case op.SUBPATTERN:
            return _texts(choose, of[3])
        case op.BRANCH:
            return _texts(choose, choose.choice(of[1]))
        case op.MAX_REPEAT:
            least, most, inner = of
            count = choose.choice((least, least + 1, choose.randint(least, least + MOST_REPEATS)))
            return "".join(_texts(choose, inner) for _ in range(min(count, most)))
        case op.AT:
            return ""
    raise NotImplementedError(f"no text for {kind} of a pattern")


def _member(choose: random.Random, of: list[tuple[Any, Any]]) -> int:
    kind, what = choose.choice(of)
    return choose.choice((what[0], what[1], choose.randint(*what))) if kind is op.RANGE else int(what)


def stretched(text: str, length: int, patterns: Sequence[str]) -> str | None:
    """The text, longer, with one of its characters again and again, if it matches what it did before."""
    again = length - len(text)
    known = [pattern for pattern in patterns if matches(pattern, text)]
    longer = (text[:at] + text[at - 1] * again + text[at:] for at in range(len(text), 0, -1))
    return next((each for each in longer if all(matches(pattern, each) for pattern in known)), None)


def near(choose: random.Random, text: str) -> str:
    """The text with one character too many, too few, or another."""
    at = choose.randint(0, len(text))
    match choose.randrange(6):
        case 0:
            return text + choose.choice(ODD)
        case 1:
            return choose.choice(ODD) + text
        case 2:
            return text[:at] + choose.choice(ODD) + text[at + 1 :]
        case 3:
            return text[:at] + text[at + 1 :]
        case 4:
            return text + "\n"
    return text.swapcase()
