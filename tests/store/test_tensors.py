"""Every byte of a safetensors file is accounted for and looked at."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.builders import Array, safetensors, with_header

from sluicegate_store import tensors
from sluicegate_store.errors import Reason, StoreError
from sluicegate_store.progress import Progress


def read(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with FileIO(path) as stream:
        header = tensors.read_header(stream, len(content), "w.safetensors")
        return tensors.scan(stream, header, "w.safetensors", Progress())


def refusal(path: Path, content: bytes) -> StoreError:
    with pytest.raises(StoreError) as caught:
        read(path, content)
    return caught.value


def test_a_sound_file_hashes_to_the_sha256_of_its_bytes(tmp_path):
    content = safetensors({"a": Array("BF16", (3, 4)), "empty": Array("F32", (0,)), "c": Array("U8", (7,))})

    assert read(tmp_path / "w", content) == hashlib.sha256(content).hexdigest()


def test_a_tensor_larger_than_the_buffer_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "CHUNK", 64)
    nan_at_the_end = bytes(1000) + struct.pack("<f", float("nan"))

    assert read(tmp_path / "w", safetensors({"a": Array("F32", (250,))}))
    error = refusal(tmp_path / "w", safetensors({"a": Array("F32", (251,), nan_at_the_end)}))
    assert error.reason == Reason.NON_FINITE_WEIGHTS


@pytest.mark.parametrize(
    ("dtype", "bad", "fine"),
    [
        ("F64", struct.pack("<d", float("nan")), struct.pack("<d", 1.7e308)),
        ("F64", struct.pack("<d", float("-inf")), struct.pack("<d", 5e-324)),
        ("F32", struct.pack("<f", float("inf")), struct.pack("<f", 3.4e38)),
        ("F16", struct.pack("<e", float("nan")), struct.pack("<e", 65504.0)),
        ("F16", b"\x00\xfc", b"\xff\xfb"),
        ("BF16", b"\x80\x7f", b"\x7f\x7f"),
        ("BF16", b"\x81\xff", b"\x7f\xff"),
        ("F8_E5M2", b"\x7c", b"\x7b"),
        ("F8_E5M2", b"\xff", b"\xfb"),
        ("F8_E4M3", b"\x7f", b"\x7e"),
        ("F8_E4M3", b"\xff", b"\xfe"),
        ("F8_E8M0", b"\xff", b"\x7f"),
        ("F8_E4M3FNUZ", b"\x80", b"\xff"),
        ("F8_E5M2FNUZ", b"\x80", b"\x7f"),
        ("C64", struct.pack("<ff", math.nan, 0), struct.pack("<ff", 1, 2)),
        ("C64", struct.pack("<ff", 0, math.inf), struct.pack("<ff", 1, 2)),
    ],
)
def test_nan_and_infinity_are_found_and_the_largest_finite_value_is_not(tmp_path, dtype, bad, fine):
    assert read(tmp_path / "w", safetensors({"layer.q": Array(dtype, (3,), fine * 3)}))

    error = refusal(
        tmp_path / "w",
        safetensors({"ok": Array(dtype, (3,)), "layer.q": Array(dtype, (3,), fine + fine + bad)}),
    )
    assert error.reason == Reason.NON_FINITE_WEIGHTS
    assert "'layer.q'" in error.message


@given(st.binary(min_size=4, max_size=4))
def test_a_float32_is_judged_as_python_judges_it(tmp_path_factory, bits):
    (value,) = struct.unpack("<f", bits)
    path = tmp_path_factory.getbasetemp() / "float32"
    content = safetensors({"a": Array("F32", (1,), bits)})

    if value - value == 0:
        assert read(path, content)
    else:
        assert refusal(path, content).reason == Reason.NON_FINITE_WEIGHTS


def entry(begin: int, end: int, dtype: str = "U8", shape: object = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({"a": entry(0, 8)}, 7),
        ({"a": entry(0, 8)}, 9),
        ({"a": entry(0, 4), "b": entry(2, 6)}, 6),
        ({"a": entry(0, 4), "b": entry(5, 6)}, 6),
        ({"a": entry(4, 0)}, 4),
        ({"a": entry(-4, 0)}, 0),
        ({"a": entry(0, 4, "F32", [2])}, 4),
        ({"a": entry(0, 4, "X9")}, 4),
        ({"a": entry(0, 4, "U8", [-2, -2])}, 4),
        ({"a": entry(0, 4, "U8", ["4"])}, 4),
        ({"a": {"dtype": "U8", "shape": [4]}}, 4),
        ({"a": 4}, 0),
        ([], 0),
        ("x", 0),
    ],
)
def test_a_header_that_does_not_cover_the_file_exactly_is_corrupt(tmp_path, header, body):
    content = with_header(json.dumps(header).encode(), bytes(body))

    assert refusal(tmp_path / "w", content).reason == Reason.CHECKPOINT_CORRUPT


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01",
        b"\xff" * 8,
        b"\xff" * 200,
        (1 << 40).to_bytes(8, "little") + b"{}",
        with_header(b"not json", b""),
        with_header(b"\xff\xfe", b""),
        with_header(b"[" * 100_000, b""),
        with_header(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":1}', b""),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    ],
)
def test_what_is_no_safetensors_file_is_corrupt(tmp_path, content):
    assert refusal(tmp_path / "w", content).reason == Reason.CHECKPOINT_CORRUPT


def test_a_file_that_is_shorter_than_when_it_was_listed_is_corrupt(tmp_path):
    content = safetensors({"a": Array("U8", (100,))})
    (tmp_path / "w").write_bytes(content[:-1])

    with FileIO(tmp_path / "w") as stream, pytest.raises(StoreError) as caught:
        tensors.scan(stream, tensors.read_header(stream, len(content), "w"), "w", Progress())
    assert caught.value.reason == Reason.CHECKPOINT_CORRUPT


def test_a_long_tensor_name_is_cut_in_the_message(tmp_path):
    content = safetensors({"x" * 5000: Array("BF16", (1,), b"\x80\x7f")})

    error = refusal(tmp_path / "w", content)
    assert len(error.message) < 400
