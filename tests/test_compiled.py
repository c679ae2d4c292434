"""Functions that numba compiles at their first call, and the one line that says so."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

IMPORTS = """
import sys
import torchbas.evaluation.metrics, torchbas.crf.dense_crf, torchbas.wsss.irn.random_walk
assert "numba" not in sys.modules
"""
CALLS = """
import numpy as np
from torchbas.evaluation.metrics import ConfusionMatrix, PixelHistogram
for _ in range(2):
    ConfusionMatrix(3).add(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    PixelHistogram(np.array([0.0, 0.5])).update(np.zeros((2, 2)), np.zeros((2, 2), np.uint8))
"""
SOMEBODY_ELSES = """
from numba import njit
njit(lambda x: x + 1)(1)
"""


def stderr_of(code, folder):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    ).stderr


def test_imports_need_no_numba(tmp_path):
    stderr_of(IMPORTS, tmp_path)


def test_a_process_that_compiles_says_so_once_and_one_that_finds_the_cache_does_not(tmp_path):
    line = "Compiling for this machine, once: this takes up to half a minute.\n"
    assert stderr_of(CALLS, tmp_path) == line
    assert stderr_of(CALLS + SOMEBODY_ELSES, tmp_path) == ""
