"""Makes late.skops: a scikit-learn pipeline, fitted on the flights of January to September.

    python train.py FLIGHTS.csv [OUTPUT.skops]

Needs scikit-learn, pandas and skops, which stores a fitted pipeline without pickle: loading one runs no code in it.
"""

import sys
from pathlib import Path

import pandas as pd
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

CATEGORIES = ["carrier", "origin", "dest", "month", "weekday", "hour"]
NUMBERS = ["distance", "built", "seats", "temperature", "wind", "rain", "visibility"]
LATE_MINUTES = 15


def pipeline() -> Pipeline:
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=200), CATEGORIES),
        (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), NUMBERS),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=300, C=0.1))


def main() -> None:
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("late.skops")
    flights = pd.read_csv(sys.argv[1])
    arrived = flights[flights["minutes_late"].notna()]
    late = arrived["minutes_late"] >= LATE_MINUTES
    past = arrived["month"] <= 9
    fitted = pipeline().fit(arrived[past], late[past])
    skops.io.dump(fitted, output)
    auc = roc_auc_score(late[~past], fitted.predict_proba(arrived[~past])[:, 1])
    print(
        f"{output.name}: fitted on {past.sum():,} flights to September; on the {(~past).sum():,} after: AUC {auc:.3f}"
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main()
