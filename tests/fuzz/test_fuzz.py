"""A fixed number of mutations of real shapes against every boundary at which strangers' bytes come in.

The same cases each time. ``O2TRIO_FUZZ=50`` tries fifty times as many, ``benchmarks/soak_fuzz.py`` new ones.
"""

from __future__ import annotations

import os

import pytest

from tests.fuzz._checks import CHECKS

_TIMES = int(os.environ.get("O2TRIO_FUZZ", "1"))


@pytest.mark.parametrize("name", CHECKS)
def test_is_survived(name: str) -> None:
    check = CHECKS[name]
    check.search(_TIMES * check.examples)
