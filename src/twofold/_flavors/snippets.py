"""The ten-line class that loads a model file which has no flavor; printed when one is given."""

from __future__ import annotations

from pathlib import Path

__all__ = ["snippet_for"]

_TEMPLATE = """\
from typing import Annotated, TypedDict
import numpy as np, {package}, twofold

class Row(TypedDict):
    features: Annotated[np.typing.NDArray[np.float32], twofold.Shape(4)]  # the columns of one row

@twofold.model(row=Row, result=float)
class Model:
    def __init__(self) -> None:
        self.model = {load}
    def predict(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        return {answer}
"""

# suffix -> (package, the expression that loads, the expression that answers the rows of `columns`)
_BY_SUFFIX = {
    ".cbm": ("catboost", "catboost.CatBoost().load_model({path})", 'self.model.predict(columns["features"])'),
    ".joblib": ("joblib", "joblib.load({path})", 'self.model.predict(columns["features"])'),
    ".json": (
        "xgboost",
        'xgboost.Booster(model_file={path}, params={{"nthread": 1}})',
        'self.model.predict(xgboost.DMatrix(columns["features"]))',
    ),
    ".pkl": ("pickle", "pickle.loads({path}.read_bytes())", 'self.model.predict(columns["features"])'),
    ".pt": (
        "torch",
        "torch.jit.load({path}).eval()",
        'self.model(torch.from_numpy(columns["features"])).detach().numpy().ravel()',
    ),
    ".skops": (
        "skops.io",
        "skops.io.load({path}, trusted=[])  # what skops.io.get_untrusted_types names, if you trust it",
        'self.model.predict(columns["features"])',
    ),
    ".txt": (
        "lightgbm",
        "lightgbm.Booster(model_file={path})",
        'self.model.predict(columns["features"], num_threads=1)',
    ),
    "": ("pathlib", "{path}.read_bytes()  # load it here", 'columns["features"].sum(axis=1)  # answer here'),
}
_ALIKE = {".pickle": ".pkl", ".pth": ".pt", ".ts": ".pt", ".ubj": ".json", ".lgb": ".txt", ".skl": ".joblib"}


def snippet_for(file: Path) -> str:
    """A model.py that loads this file, by its suffix."""
    suffix = file.suffix.lower()
    package, load, answer = _BY_SUFFIX.get(_ALIKE.get(suffix, suffix), _BY_SUFFIX[""])
    path = f'twofold.artifact("{file.name}")'
    return _TEMPLATE.format(package=package, load=load.format(path=path), answer=answer)
