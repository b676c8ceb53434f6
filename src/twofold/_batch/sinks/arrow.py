"""Arrow IPC output, file and stream format: batches as they are, without compression, so that they can be mapped.

The file format allows one dictionary a column. So a part with dictionary columns holds its batches until its end
(a split's rows, no more), and a join looks at all dictionaries first and then copies batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from twofold._batch.formats import Format
from twofold._batch.sinks.base import Joiner, Part

__all__ = ["SINK", "ArrowSink", "stored_schema"]


class ArrowSink:
    @contextmanager
    def part(self, path: Path, schema: pa.Schema, file_format: Format, *, header: bool) -> Iterator[Part]:  # noqa: ARG002
        stored = stored_schema(schema)
        with pa.OSFile(str(path), "wb") as file, _writer(file, stored, file_format) as writer:
            part = _Part(writer, stored)
            yield part
            part.finish()

    @contextmanager
    def joined(self, path: Path, schema: pa.Schema, file_format: Format) -> Iterator[Joiner]:
        joiner = _Joiner()
        yield joiner
        stored = stored_schema(schema)
        dictionaries = {name: _union(name, joiner.parts) for name in _dictionary_columns(stored)}
        for name, values in dictionaries.items():
            at = stored.get_field_index(name)
            kind = pa.dictionary(
                _index_type(stored.field(at).type, len(values)), values.type, stored.field(at).type.ordered
            )
            stored = stored.set(at, stored.field(at).with_type(kind))
        with pa.OSFile(str(path), "wb") as file, _writer(file, stored, file_format) as writer:
            for part in joiner.parts:
                for batch in _batches(part):
                    writer.write_batch(_with_dictionaries(batch, stored, dictionaries))


class _Part:
    def __init__(self, writer: pa.RecordBatchWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._held: list[pa.RecordBatch] | None = [] if _dictionary_columns(schema) else None

    def write(self, batch: pa.RecordBatch) -> None:
        stored = batch if batch.schema.equals(self._schema) else batch.cast(self._schema)
        if self._held is None:
            self._writer.write_batch(stored)
        else:
            self._held.append(stored)

    def finish(self) -> None:
        if self._held:
            for batch in pa.Table.from_batches(self._held, self._schema).unify_dictionaries().to_batches():
                self._writer.write_batch(batch)


class _Joiner:
    """Only remembers the parts: their dictionaries are needed before the first row is written."""

    def __init__(self) -> None:
        self.parts: list[Path] = []

    def add(self, part: Path) -> None:
        self.parts.append(part)


def _writer(file: pa.NativeFile, schema: pa.Schema, file_format: Format) -> pa.RecordBatchWriter:
    if file_format.name == "arrow_stream":
        return pa.ipc.new_stream(file, schema)
    return pa.ipc.new_file(file, schema)


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a part, mapped into memory: only what is looked at is read."""
    with pa.memory_map(str(path)) as file:
        if file.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(file)
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)
        else:
            file.seek(0)
            yield from pa.ipc.open_stream(file)


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_dictionary(field.type)]


def _union(name: str, parts: list[Path]) -> pa.Array:
    """All values of a dictionary column, each once, in the order they first appear."""
    values: pa.Array | None = None
    for part in parts:
        seen: pa.Array | None = None
        for batch in _batches(part):
            dictionary = batch.column(name).dictionary
            if seen is not None and dictionary.equals(seen):
                continue
            seen = dictionary
            values = pc.unique(dictionary if values is None else pa.concat_arrays([values, dictionary]))
    return values if values is not None else pa.array([], pa.null())


def _index_type(kind: pa.DictionaryType, size: int) -> pa.DataType:
    """The column's own index type, or int32 where that is too small for all parts' values together."""
    bits = kind.index_type.bit_width - (not str(kind.index_type).startswith("u"))
    return kind.index_type if size <= 1 << bits else pa.int32()


def _with_dictionaries(batch: pa.RecordBatch, schema: pa.Schema, dictionaries: dict[str, pa.Array]) -> pa.RecordBatch:
    if not dictionaries:
        return batch
    columns = []
    for field, column in zip(schema, batch.columns, strict=True):
        values = dictionaries.get(field.name)
        if values is not None:
            places = pc.index_in(column.dictionary, value_set=values).cast(field.type.index_type)
            indices = places.take(column.indices)
            column = pa.DictionaryArray.from_arrays(indices, values, ordered=field.type.ordered)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Dictionaries inside lists and structs become plain values; those of whole columns stay."""
    return pa.schema(
        [
            field if pa.types.is_dictionary(field.type) else field.with_type(_without_dictionaries(field.type))
            for field in schema
        ],
        metadata=schema.metadata,
    )


def _without_dictionaries(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_dictionary(kind):
        return kind.value_type
    if types.is_struct(kind):
        return pa.struct([field.with_type(_without_dictionaries(field.type)) for field in kind])
    if types.is_list(kind) or types.is_large_list(kind):
        item = kind.value_field.with_type(_without_dictionaries(kind.value_type))
        return pa.large_list(item) if types.is_large_list(kind) else pa.list_(item)
    if types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_without_dictionaries(kind.value_type)), kind.list_size)
    return kind


SINK = ArrowSink()
