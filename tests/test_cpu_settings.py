import os
import platform
import subprocess
import sys

import pytest
from helpers import REPOSITORY


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("given", "expected"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_a_tuned_process_keeps_freed_memory_and_enables_onednn(given, expected):
    """By default glibc maps a buffer of 100 MB anew each time, and the kernel clears it page by page."""
    script = """
import os, resource, sys
from tf_pix2pix.cpu.settings import tune_process
tune_process()
faults = []
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(100_000_000)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(os.environ["TF_ENABLE_ONEDNN_OPTS"], max(faults[1:]), "tensorflow" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | given
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    variable, faults, loaded = done.stdout.split()
    assert (variable, loaded) == (expected, "False")
    assert int(faults) < 1000  # of 24,414 pages
