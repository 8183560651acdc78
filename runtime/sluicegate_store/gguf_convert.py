"""A GGUF file as the safetensors folder that engines serve: same input, same bytes, on every machine.

Only what is known to come out right is converted; anything else is refused with UnsupportedFormat. Values are
dequantised by the `gguf` package and stored as bfloat16 (float16 or float32 where all matrices already are).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from sluicegate_store.disk import require_room
from sluicegate_store.errors import Reason, StoreError, shorten
from sluicegate_store.gguf_llama import LlamaShape, llama_config, llama_tensor
from sluicegate_store.gguf_metadata import GgufMetadata
from sluicegate_store.gguf_tokenizer import generation_config, tokenizer_config, tokenizer_json
from sluicegate_store.progress import Progress

ROWS_BYTES = 16 << 20
_TYPE = gguf.GGMLQuantizationType
# what the `gguf` package raises on damaged files: it checks little and trips over what follows
_DAMAGE = (ValueError, IndexError, KeyError, OverflowError, TypeError)


class _Reader(gguf.GGUFReader):  # type: ignore[misc]  # the package is untyped
    """The package's reader on a plain array: it slices for each token, and slicing a memmap costs thrice."""

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """The mapped file."""
        return self._plain

    @data.setter
    def data(self, mapped: npt.NDArray[np.uint8]) -> None:
        self._plain = np.asarray(mapped)


@dataclass(frozen=True)
class _Output:
    """One tensor to write: its source, the row order, and its place after the header."""

    name: str
    source: Any
    rows: npt.NDArray[np.int64]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Target:
    """The dtype written: its safetensors and torch names, and the function from float32."""

    safetensors: str
    torch: str
    bytes: int
    cast: Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]


def convert(path: Path, name: str, into: Path, progress: Progress) -> None:
    """Write config.json, generation_config.json, tokenizer.json, tokenizer_config.json and model.safetensors.

    `name` is what messages call the file. Raises CheckpointCorrupt, UnsupportedFormat or InsufficientDisk.
    """
    try:
        reader = _Reader(path)
        metadata = GgufMetadata({key: field.contents() for key, field in reader.fields.items()})
    except _DAMAGE as error:
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT, f"{shorten(name)} is not a whole GGUF file; copy it again"
        ) from error
    shape = LlamaShape.of(metadata)
    target = _target(reader.tensors)
    outputs = sorted((_output(tensor, shape) for tensor in reader.tensors), key=lambda output: output.name)
    shape.require_all(output.name for output in outputs)
    vocabularies = {o.name: o.shape[0] for o in outputs if o.name in (shape.EMBEDDING, shape.OUTPUT)}
    rows, tied = vocabularies[shape.EMBEDDING], shape.OUTPUT not in vocabularies
    if len(set(vocabularies.values())) > 1:
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT, "embedding and output have not the same tokens; export the model again"
        )
    _write_json(into / "config.json", llama_config(shape, metadata, rows, target.torch, tied))
    _write_json(into / "generation_config.json", generation_config(metadata))
    _write_json(into / "tokenizer.json", tokenizer_json(metadata))
    _write_json(into / "tokenizer_config.json", tokenizer_config(metadata, shape.context_length))
    _write_tensors(into / "model.safetensors", outputs, target, progress)


def _output(tensor: Any, shape: LlamaShape) -> _Output:
    wanted = llama_tensor(tensor.name, shape)
    # GGUF counts dimensions from the fastest; one-dimensional data has one "row" a value
    dimensions = tuple(int(length) for length in reversed(tensor.shape))
    if not wanted.fits(dimensions):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT,
            f"{shorten(tensor.name)} has the shape {dimensions}, which the GGUF metadata's sizes do not "
            "give; export the model again",
        )
    rows = np.arange(dimensions[0])
    if wanted.heads:
        rows = _interleaved_rows(dimensions[0], wanted.heads, tensor.name)
    return _Output(wanted.name, tensor, rows, dimensions)


def _interleaved_rows(count: int, heads: int, name: str) -> npt.NDArray[np.int64]:
    """Undo llama.cpp's order of rotary pairs: it interleaves the halves of a head, transformers does not."""
    if count % (2 * heads):
        raise StoreError(
            Reason.CHECKPOINT_CORRUPT, f"{shorten(name)} has {count} rows, which {heads} heads do not divide"
        )
    return np.arange(count).reshape(heads, count // heads // 2, 2).swapaxes(1, 2).reshape(count)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(
        json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _write_tensors(path: Path, outputs: list[_Output], target: _Target, progress: Progress) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for output in outputs:
        end = position + int(np.prod(output.shape)) * target.bytes
        header[output.name] = {
            "dtype": target.safetensors,
            "shape": output.shape,
            "data_offsets": [position, end],
        }
        position = end
    raw = json.dumps(header, separators=(",", ":")).encode()
    # readers map the file: values must start at a multiple of their size
    raw += b" " * (-len(raw) % 8)
    require_room(path.parent, position + len(raw), "converting the GGUF file")
    progress.begin("Converting", position)
    with path.open("xb") as out:
        out.write(len(raw).to_bytes(8, "little") + raw)
        for output in outputs:
            for values in _values(output):
                progress.advance(out.write(target.cast(values).tobytes()))


def _values(output: _Output) -> Iterator[npt.NDArray[np.float32]]:
    """The tensor's rows in output order as float32, a bounded number at a time."""
    data = output.source.data
    step = max(1, ROWS_BYTES // max(1, 4 * int(np.prod(output.shape[1:], dtype=np.int64))))
    for start in range(0, len(output.rows), step):
        rows = np.ascontiguousarray(data[output.rows[start : start + step]])
        try:
            yield gguf.dequantize(rows, output.source.tensor_type)
        except (NotImplementedError, ValueError) as error:
            raise StoreError(
                Reason.UNSUPPORTED_FORMAT,
                f"tensor {shorten(output.source.name)!r} is stored as {output.source.tensor_type.name}, "
                "which cannot be dequantised; choose another quantisation",
            ) from error


def _target(tensors: list[Any]) -> _Target:
    kinds = {tensor.tensor_type for tensor in tensors if len(tensor.shape) > 1}
    if kinds == {_TYPE.F32}:
        return _Target("F32", "float32", 4, lambda values: values.astype("<f4"))
    if kinds == {_TYPE.F16}:
        return _Target("F16", "float16", 2, lambda values: values.astype("<f2"))
    return _Target("BF16", "bfloat16", 2, to_bfloat16)


def to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bit patterns of the nearest bfloat16, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    # the carry of the rounding would turn some NaN into infinity or zero
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype("<u2")
