"""Batch: named columns with `n_rows` rows, in whichever of three forms is asked for."""

from twofold._columns.batch import Batch

__all__ = ["Batch"]
