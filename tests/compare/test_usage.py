"""CPU time and memory of a process tree."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from twofold._compare.usage import MEASURED, PeakMemory, tree, tree_cpu_s

pytestmark = pytest.mark.xfail(not MEASURED, reason="no /proc on this system", run=False)

# burns CPU in a grandchild, then keeps 60 MB
PARENT = """
import subprocess, sys
child = "import time\\nend = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"
subprocess.run([sys.executable, "-c", child])
held = b"x" * 60_000_000
print("done", flush=True)
sys.stdin.read()
"""


def test_a_tree_is_counted_with_its_ended_children() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with PeakMemory(process.pid, interval_s=0.02) as peak:
            assert process.stdout.readline() == b"done\n"
            time.sleep(0.2)
        cpu_s = tree_cpu_s(process.pid)
        alive = tree(process.pid)
        process.stdin.close()
    assert alive == [process.pid]
    assert cpu_s is not None
    assert 0.3 <= cpu_s < 3.0
    assert peak.mb is not None
    assert 60 < peak.mb < 200


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree_cpu_s(process.pid) == 0.0
    with PeakMemory(process.pid) as peak:
        time.sleep(0.05)
    assert peak.mb == 0.0
