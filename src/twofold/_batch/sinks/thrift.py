"""Thrift's compact protocol as plain trees: enough to change a Parquet footer and keep what is not known here.

A value is an int (bool included), bytes (binary, or the 8 bytes of a double), a `Struct` or a `Sequence`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["I16", "I64", "LIST", "STRUCT", "Field", "Sequence", "Struct", "read_struct", "write_struct"]

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


@dataclass(slots=True)
class Field:
    """One field of a struct: its id, its type code and its value."""

    id: int
    kind: int
    value: int | bytes | Struct | Sequence


@dataclass(slots=True)
class Struct:
    """Fields in the order they were stored."""

    fields: list[Field] = field(default_factory=list)

    def get(self, field_id: int) -> Field | None:
        for found in self.fields:
            if found.id == field_id:
                return found
        return None

    def number(self, field_id: int) -> int | None:
        """An integer field, or None where it is absent."""
        found = self.get(field_id)
        return found.value if found is not None and isinstance(found.value, int) else None

    def struct(self, field_id: int) -> Struct | None:
        found = self.get(field_id)
        return found.value if found is not None and isinstance(found.value, Struct) else None

    def structs(self, field_id: int) -> list[Struct]:
        """A list of structs; empty where it is absent."""
        found = self.get(field_id)
        if found is None or not isinstance(found.value, Sequence):
            return []
        return [item for item in found.value.items if isinstance(item, Struct)]

    def put(self, field_id: int, kind: int, value: int | bytes | Struct | Sequence) -> None:
        """Set a field, keeping the ids in order."""
        found = self.get(field_id)
        if found is not None:
            found.kind, found.value = kind, value
            return
        at = sum(other.id < field_id for other in self.fields)
        self.fields.insert(at, Field(field_id, kind, value))

    def drop(self, *field_ids: int) -> None:
        self.fields = [kept for kept in self.fields if kept.id not in field_ids]


@dataclass(slots=True)
class Sequence:
    """A list or set of values of one type; a map has its keys and values in turn, and both types."""

    kind: int
    items: list[int | bytes | Struct | Sequence]
    value_kind: int = 0


def read_struct(data: bytes, at: int = 0) -> tuple[Struct, int]:
    """The struct stored at a position, and the position after it. IndexError or ValueError when it is cut off."""
    fields: list[Field] = []
    last = 0
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return Struct(fields), at
        kind, delta = head & 0x0F, head >> 4
        if delta:
            last += delta
        else:
            last, at = _zigzag(data, at)
        if kind in (TRUE, FALSE):
            fields.append(Field(last, kind, int(kind == TRUE)))
        else:
            value, at = _read(data, at, kind)
            fields.append(Field(last, kind, value))


def _read(data: bytes, at: int, kind: int) -> tuple[int | bytes | Struct | Sequence, int]:
    if kind in (I16, I32, I64):
        return _zigzag(data, at)
    if kind == BINARY:
        size, at = _varint(data, at)
        if at + size > len(data):
            raise ValueError("cut off")
        return data[at : at + size], at + size
    if kind == STRUCT:
        return read_struct(data, at)
    if kind in (TRUE, FALSE, I8):  # as list items each takes a byte
        return data[at], at + 1
    if kind == DOUBLE:
        return data[at : at + 8], at + 8
    if kind in (LIST, SET):
        return _read_list(data, at)
    if kind == MAP:
        return _read_map(data, at)
    raise ValueError(f"unknown type code {kind}")


def _read_list(data: bytes, at: int) -> tuple[Sequence, int]:
    head = data[at]
    at += 1
    size, kind = head >> 4, head & 0x0F
    if size == 15:
        size, at = _varint(data, at)
    items = []
    for _ in range(size):
        item, at = _read(data, at, kind)
        items.append(item)
    return Sequence(kind, items), at


def _read_map(data: bytes, at: int) -> tuple[Sequence, int]:
    size, at = _varint(data, at)
    if not size:
        return Sequence(0, []), at
    kind, value_kind = data[at] >> 4, data[at] & 0x0F
    at += 1
    items = []
    for index in range(2 * size):
        item, at = _read(data, at, value_kind if index % 2 else kind)
        items.append(item)
    return Sequence(kind, items, value_kind), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def write_struct(struct: Struct) -> bytes:
    """The struct as stored bytes."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


def _write_struct(out: bytearray, struct: Struct) -> None:
    last = 0
    for item in struct.fields:
        kind = (TRUE if item.value else FALSE) if item.kind in (TRUE, FALSE) else item.kind
        delta = item.id - last
        if 0 < delta < 16:
            out.append(delta << 4 | kind)
        else:
            out.append(kind)
            _write_varint(out, (item.id << 1) ^ (item.id >> 15))
        last = item.id
        if kind not in (TRUE, FALSE):
            _write(out, kind, item.value)
    out.append(0)


def _write(out: bytearray, kind: int, value: int | bytes | Struct | Sequence) -> None:
    if isinstance(value, Struct):
        _write_struct(out, value)
    elif isinstance(value, Sequence):
        _write_sequence(out, kind, value)
    elif isinstance(value, bytes):
        if kind == BINARY:
            _write_varint(out, len(value))
        out += value
    elif kind in (TRUE, FALSE, I8):
        out.append(value & 0xFF)
    else:
        _write_varint(out, (value << 1) ^ (value >> 63))


def _write_sequence(out: bytearray, kind: int, value: Sequence) -> None:
    size = len(value.items)
    if kind == MAP:
        _write_varint(out, size // 2)
        if size:
            out.append(value.kind << 4 | value.value_kind)
        for index, item in enumerate(value.items):
            _write(out, value.value_kind if index % 2 else value.kind, item)
        return
    if size < 15:
        out.append(size << 4 | value.kind)
    else:
        out.append(0xF0 | value.kind)
        _write_varint(out, size)
    for item in value.items:
        _write(out, value.kind, item)


def _write_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
