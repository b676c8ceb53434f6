"""Models that misbehave are caught, each by its name; models that do not are not accused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import twofold
from tests.flavors import graphs
from tests.verify.models import MODELS
from twofold._signature import Signature
from twofold._verify.check import VerifyOptions
from twofold._verify.doors import DOORS
from twofold._verify.report import Verification
from twofold._verify.verify import verify_here

FLOATS = [(float(x),) for x in np.random.default_rng(0).normal(size=40)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("verify") / "misbehaving.py"
    file.write_text(MODELS)
    return file


@pytest.fixture
def load(models: Path) -> Callable[[str], twofold.Model]:
    return lambda name: twofold.load(f"{models}:{name}")


def causes(found: Verification) -> list[tuple[str, tuple[str, ...]]]:
    return [(cause.kind, cause.outputs) for cause in found.checked.causes]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("centred", "neighbours"),
        ("scaled_by_largest", "neighbours"),
        ("drifts", "batch_size"),
        ("running_total", "row_order"),
        ("numbered", "row_order"),
        ("noisy", "randomness"),
        ("counts", "state"),
        ("remembers", "state"),
        ("threaded", "place"),
    ],
)
def test_what_misbehaves_is_named(name, cause, load):
    found = verify_here(load(name), FLOATS, VerifyOptions())
    assert causes(found) == [(cause, ("prediction",))]
    assert not found.same
    assert found.exit_code == 4
    assert found.checked.exact is None


def test_two_outputs_that_misbehave_in_two_ways(load):
    found = verify_here(load("noise_and_state"), FLOATS, VerifyOptions())
    assert causes(found) == [("randomness", ("noise",)), ("state", ("label",))]
    fields = found.to_json()["fields"]
    assert fields["noise"]["differ"] == 40
    assert fields["label"]["flips"] == fields["label"]["differ"] > 0
    assert fields["label"]["largest_row"] is None


def test_a_field_that_a_protocol_changes(load):
    """A client that writes amounts with two digits behind the point."""
    csv = DOORS[-1]

    def careless(signature: Signature, rows: list[tuple[Any, ...]]) -> tuple[dict[str, str], bytes]:
        return csv.write(signature, [(round(amount, 2), weight) for amount, weight in rows])

    rows = [(n / 7, 1 + n / 3) for n in range(40)]
    found = verify_here(load("product"), rows, VerifyOptions(), [*DOORS[:-1], replace(csv, write=careless)])
    (cause,) = found.checked.causes
    assert (cause.kind, cause.field, cause.through) == ("coercion", "amount", "HTTP CSV")
    assert "row 1: 0.14285714285714285 was sent, 0.14 arrived" in cause.shown
    assert [one.name for one in found.checked.passes if one.found.beyond] == ["HTTP CSV"]


def test_a_protocol_that_has_one_word_for_two_values(load):
    """Binary tensors have NaN for a null."""
    rows = [(1.0,), (None,), (float("nan"),), (float("-inf"),), (-0.0,)]
    found = verify_here(load("maybe"), rows, VerifyOptions())
    (cause,) = found.checked.causes
    assert (cause.kind, cause.field, cause.through) == ("coercion", "x", "OIP binary")
    assert cause.outputs == ("missing", "same")
    assert cause.shown == "row 2: nan was sent, None arrived"
    found = verify_here(load("inverse"), [(1.0,), (0.0,), (-1.0,)], VerifyOptions())
    assert (found.same, len(found.checked.differ)) == (True, 0), str(found)


def test_a_tolerance_that_forgives(load):
    found = verify_here(load("drifts"), FLOATS, VerifyOptions(rtol=2e-3))
    assert (found.same, causes(found)) == (True, [])
    assert found.checked.exact is not None
    assert found.checked.exact.rows == 16
    assert len(found.checked.differ) == 40
    assert "differ in their bytes" in str(found)


def test_what_behaves_is_not_accused(load):
    rows = [(n,) for n in range(40)]  # two of them fail, in every way
    found = verify_here(load("parity"), rows, VerifyOptions())
    assert (found.same, causes(found), len(found.checked.differ)) == (True, [], 0)
    assert [one.found.rows for one in found.checked.passes] == [40] * len(found.checked.passes)
    assert [answer.error for answer in found.checked.reference[12:15]] == ["", "bad_row", "model_failed"]
    assert found.checked.exact is not None
    assert found.checked.exact.rows == 1
    assert str(found).endswith("The answers are the same, byte for byte.")


def test_every_kind_of_field_goes_through_every_door(load):
    model = load("wide")
    values = [
        {"at": f"2024-02-29T12:00:{n:02}.{n:06}+02:00", "name": [None, "", 'a "b", c\n', "ü"][n % 4],
         "tags": [["x", ""][n % 2]] * (n % 3), "vector": [n / 3, -0.0, 1e-40], "flag": [None, True, False][n % 3]}
        for n in range(30)
    ]  # fmt: skip
    found = verify_here(model, [model.signature.row(value) for value in values], VerifyOptions())
    assert (found.same, len(found.checked.differ)) == (True, 0), str(found)
    assert [one.name for one in found.checked.passes[-6:]] == [*(door.name for door in DOORS), "batch"]


def test_a_net_whose_sums_depend_on_the_batch(load):
    """In their last bits: that is no accusation. From 4 rows a call on they do not."""
    random = np.random.default_rng(2)
    rows = [(row,) for row in random.normal(size=(70, 64)).astype(np.float32).tolist()]
    found = verify_here(load("dense"), rows, VerifyOptions())
    assert (found.same, causes(found)) == (True, []), str(found)
    seen = found.checked.fields["prediction"]
    assert len(seen.differ) > 10
    assert seen.ulp is not None
    assert seen.ulp > 0
    assert found.exit_code == 0
    exact = found.checked.exact
    assert exact is None or exact.rows >= 4
    strict = verify_here(load("dense"), rows, VerifyOptions(rtol=0, atol=0))
    assert causes(strict) == [("batch_size", ("prediction",))]


def test_trees_and_a_net(tmp_path):
    forest = graphs.forest(tmp_path / "forest.onnx", features=8, trees=40, depth=5)
    net = tmp_path / "net.onnx"
    random = np.random.default_rng(1)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((8, 96), (96, 1))]
    nodes = [
        helper.make_node("MatMul", ["features", "w0"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("MatMul", ["t", "w1"], ["score"]),
    ]
    constants = [graphs.constant(f"w{at}", array) for at, array in enumerate(weights)]
    features, score = (graphs.value(name, shape=("N", size)) for name, size in (("features", 8), ("score", 1)))
    graphs.save(net, nodes, [features], [score], constants)
    rows = [(row,) for row in random.normal(size=(70, 8)).astype(np.float32).tolist()]
    for path in (forest, net):
        found = verify_here(twofold.load(path), rows, VerifyOptions())
        assert (found.same, causes(found)) == (True, []), str(found)
        if path == forest:
            assert found.checked.exact is not None
            assert found.checked.exact.rows == 1


@pytest.mark.parametrize(("setting", "value"), [("rtol", -1.0), ("atol", float("nan")), ("limit_rows", 0)])
def test_settings_without_meaning(setting, value):
    with pytest.raises(twofold.TwofoldError, match=setting):
        VerifyOptions(**{setting: value})
