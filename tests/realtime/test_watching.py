"""Files that are watched: changed, still being written, touched."""

from __future__ import annotations

import os
from pathlib import Path

from twofold._realtime.watching import Watch, stamp_of


def test_a_change_counts_once_it_is_at_rest(tmp_path: Path) -> None:
    model, weights = tmp_path / "model.py", tmp_path / "weights"
    model.write_text("1")
    weights.write_text("2")
    watch = Watch()
    watch.look_at({str(file): list(stamp_of(str(file)) or ()) for file in (model, weights)})
    assert not watch.changed()
    assert not watch.changed()
    weights.write_text("22")
    assert not watch.changed()
    weights.write_text("222")  # still being written
    assert not watch.changed()
    assert watch.changed()
    watch.begin()
    assert not watch.changed()
    assert not watch.changed()
    model.unlink()
    assert not watch.changed()
    assert watch.changed()


def test_what_changes_while_it_is_loaded_is_seen(tmp_path: Path) -> None:
    model, more = tmp_path / "model.py", tmp_path / "more.py"
    model.write_text("1")
    more.write_text("1")
    watch = Watch()
    watch.look_at({str(model): list(stamp_of(str(model)) or ())})
    watch.begin()
    model.write_text("22")  # after it was read, and before its process said which files it read
    watch.look_at({str(file): list(stamp_of(str(file)) or ()) for file in (model, more)})
    assert not watch.changed()
    assert watch.changed()
    watch.begin()
    os.utime(more, ns=(1, 1))
    assert not watch.changed()
    assert watch.changed()
