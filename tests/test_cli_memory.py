"""Freed memory comes back to the process without the system clearing it again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from torchbas.cli.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**23)  # 64 MiB, more than glibc keeps of itself
before = faults()
for _ in range(4):
    np.ones(2**23)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_a_large_block_that_was_freed_costs_no_page_faults_again():
    faults = {
        word: int(subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, check=True).stdout)
        for word in ("keep", "default")
    }
    assert faults["keep"] < 100 < faults["default"]  # with pages of 2 MiB the default has 128
