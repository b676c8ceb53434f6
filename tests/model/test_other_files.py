"""Model files of other libraries get the class that loads them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.model.loading import answer
from twofold._errors import ModelError
from twofold._model import load, model_ref


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        (".pkl", "pickle.loads("),
        (".joblib", "joblib.load("),
        (".skops", "skops.io.load("),
        (".txt", "lightgbm.Booster(model_file="),
        (".json", "xgboost.Booster(model_file="),
        (".pt", "torch.jit.load("),
        (".PTH", "torch.jit.load("),
        (".bin", ".read_bytes()"),
        ("", ".read_bytes()"),
    ],
)
def test_other_model_files_get_the_class_that_loads_them(suffix: str, words: str, write: Any) -> None:
    file = write(f"fraud{suffix}", "x")
    for call in (load, model_ref):
        with pytest.raises(ModelError) as caught:
            call(file)
        told, _, snippet = caught.value.message.partition("\n\n")
        assert told.startswith(
            f"fraud{suffix} is not a model that twofold loads by itself: it loads .onnx and .py files."
        )
        assert words in snippet
        assert f'twofold.artifact("fraud{suffix}")' in snippet
        compile(snippet, "model.py", "exec")
        class_lines = snippet[snippet.index("@twofold.model") :].strip().splitlines()
        assert len(class_lines) <= 10


def test_a_printed_class_works(write: Any) -> None:
    import pickle

    file = write("fraud.pkl", "")
    file.write_bytes(pickle.dumps(Summing()))
    with pytest.raises(ModelError) as caught:
        load(file)
    model = load(write("model.py", caught.value.message.partition("\n\n")[2]))
    assert model.form == "columns"
    assert answer(model, features=[1, 2, 3, 4]) == 10.0


class Summing:
    def predict(self, features: Any) -> Any:
        return features.sum(axis=1)
