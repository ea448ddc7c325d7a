"""Reads the headers of safetensors files and checks that they are possible. Reads no weights and
imports no torch. `architecture.py` knows which tensors a model needs.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orpo.base.files import IS_POINTER, POINTER, parse_json
from orpo.contract.manifest import open_regular

MAX_HEADER_BYTES = 64 * 2**20
MAX_TENSORS = 1_000_000
MAX_DIMENSIONS = 16
MAX_ELEMENTS = 2**48
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip

Tensors = dict[str, dict[str, Any]]  # name to `dtype`, `shape`, `data_offsets`


def read_header(path: Path) -> Tensors:
    """The tensors of a safetensors file; ValueError if its header is impossible."""
    with open_regular(path) as file:
        begin = file.read(8)
        if POINTER.startswith(begin):
            raise ValueError(IS_POINTER)
        size = int.from_bytes(begin, "little")
        if not 0 < size <= MAX_HEADER_BYTES:
            raise ValueError("its header has an impossible length")
        header = parse_json(file.read(size))
        end = _end(header)
        if os.fstat(file.fileno()).st_size != 8 + size + end:
            raise ValueError("it is shorter or longer than its header says")
    return header


def _end(tensors: Any) -> int:
    """Where the last tensor ends; ValueError unless each begins where the one before it ends."""
    if not isinstance(tensors, dict):
        raise ValueError("its header names no tensors")  # noqa: TRY004  as all that is wrong here
    tensors.pop("__metadata__", None)
    if len(tensors) > MAX_TENSORS:
        raise ValueError(f"it names more than {MAX_TENSORS:,} tensors")
    sizes = [(*_place(name, tensor), name) for name, tensor in tensors.items()]
    at = 0
    for begin, end, name in sorted(sizes):
        if begin != at:
            kind = "overlaps the one before it" if begin < at else "leaves a gap before it"
            raise ValueError(f"the tensor {name[:200]} {kind}")
        at = end
    return at


def _place(name: str, tensor: Any) -> tuple[int, int]:
    match tensor:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            pass
        case _:
            raise ValueError(f"the tensor {name[:200]} has no dtype, shape and offsets")
    if dtype not in BITS:
        raise ValueError(f"the tensor {name[:200]} has an unknown dtype, {dtype[:20]}")
    if not _is_shape(shape):
        raise ValueError(f"the tensor {name[:200]} has an impossible shape")
    bits = math.prod(shape) * BITS[dtype]
    if begin < 0 or bits % 8 or end - begin != bits // 8:
        raise ValueError(f"the offsets of the tensor {name[:200]} do not fit its shape")
    return begin, end


def _is_shape(shape: list[Any]) -> bool:
    # JSON's true is a number in Python.
    numbers = all(type(n) is int and 0 <= n <= MAX_ELEMENTS for n in shape)
    return numbers and len(shape) <= MAX_DIMENSIONS and math.prod(shape) <= MAX_ELEMENTS


def union(headers: Iterable[tuple[str, Tensors]], index: dict[str, str] | None) -> Tensors:
    """All tensors of a model's files by name; ValueError if two files hold the same tensor, or the
    files contradict the index.
    """
    found: Tensors = {}
    places: dict[str, str] = {}
    for file, tensors in headers:
        for name, tensor in tensors.items():
            if name in places:
                raise ValueError(f"{places[name]} and {file} both hold the tensor {name[:200]}")
            found[name], places[name] = tensor, file
    if index is None:
        return found
    for name in sorted(places.keys() | index.keys()):
        if places.get(name) != index.get(name):
            where = f"in {places[name]}" if name in places else "in none of its files"
            listed = f"in {index[name]}" if name in index else "nowhere"
            raise ValueError(f"the tensor {name[:200]} is {where}; the index says {listed}")
    return found
