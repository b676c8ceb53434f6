"""Fields of JSON records as Arrow columns of a schema that the scan found (`json_types.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from twofold._batch.formats import JSON_MARK
from twofold._signature.misfit import JsonNumber

__all__ = ["record_columns"]


def record_columns(records: Sequence[dict[str, Any]], schema: pa.Schema, names: Sequence[str]) -> dict[str, pa.Array]:
    """Fields of records as Arrow arrays of the schema's types; a missing field is a null."""
    return {name: _column([record.get(name) for record in records], schema.field(name)) for name in names}


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    if JSON_MARK in (field.metadata or {}):
        texts = [None if value is None else msgspec.json.encode(value, enc_hook=_raw) for value in values]
        return pa.array(texts, pa.binary()).cast(pa.string())
    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([_plain(value, field.type) for value in values], field.type)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(str(value).encode())


def _plain(value: Any, kind: pa.DataType) -> Any:
    """A value without the numbers and words that pyarrow does not know."""
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return float(value.text) if isinstance(value, JsonNumber) else float(value)
    if pa.types.is_list(kind):
        return [_plain(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: _plain(value.get(field.name), field.type) for field in kind}
    return value
