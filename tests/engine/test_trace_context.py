"""Trace contexts of clients: taken where they are well-formed, whatever else comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate_engine.trace_context import TraceContext, read_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def test_a_well_formed_parent_is_taken_and_given_on_unchanged() -> None:
    found = read_context([PARENT], [b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"])
    assert found == TraceContext(TRACE, SPAN, 1, b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert found.sampled
    assert found.headers == [
        (b"traceparent", PARENT),
        (b"tracestate", b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    ]


def test_flags_that_nobody_has_defined_are_not_passed_on() -> None:
    found = read_context([f"00-{TRACE}-{SPAN}-fe".encode()], [])
    assert found is not None
    assert (found.flags, found.sampled) == (2, False)


def test_of_a_later_version_is_taken_what_this_one_has() -> None:
    found = read_context([f"cc-{TRACE}-{SPAN}-01-what-comes-later".encode()], [])
    assert found is not None
    assert found.headers == [(b"traceparent", PARENT)]


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + b"-more",
        PARENT + b"\n",
        b" " + PARENT,
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"cc-{TRACE}-{SPAN}-01.more".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[:-1]}g-{SPAN}-01".encode(),
    ],
)
def test_a_malformed_parent_is_none(parent: bytes) -> None:
    assert read_context([parent], [b"a=1"]) is None


def test_two_parents_are_none() -> None:
    assert read_context([PARENT, PARENT], []) is None


def test_states_of_several_lines_are_one_list_without_its_gaps() -> None:
    found = read_context([PARENT], [b"a=1, ,\tb@vendor=2 ", b"", b"c=3"])
    assert found is not None
    assert found.state == b"a=1,b@vendor=2,c=3"


@pytest.mark.parametrize(
    "state",
    [
        b"no-value",
        b"A=1",
        b"a=1=2",
        b"a=\xc3\xa9",
        b"a=1\r\nx: y",
        b"a=",
        b"a=1,a=2",
        b"a=" + b"1" * 257,
        b",".join(b"k%d=1" % n for n in range(33)),
        b",".join(b"k%d=%s" % (n, b"1" * 200) for n in range(3)),
    ],
)
def test_a_malformed_state_goes_and_the_parent_stays(state: bytes) -> None:
    found = read_context([PARENT], [state])
    assert found == TraceContext(TRACE, SPAN, 1)


@given(st.binary(max_size=80), st.lists(st.binary(max_size=80), max_size=3))
def test_whatever_comes_what_goes_on_is_well_formed(parent: bytes, states: list[bytes]) -> None:
    for candidate in (parent, PARENT):
        found = read_context([candidate], states)
        if found is not None:
            headers = dict(found.headers)
            again = read_context([headers[b"traceparent"]], [headers.get(b"tracestate", b"")])
            assert again == found
