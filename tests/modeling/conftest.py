"""Runs a test that takes the argument `variant` once for each line of the table in `variants.py`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the table; the tests are no package

from variants import VARIANTS, Variant

# The laws of every architecture; the other files hold what follows from shared code.
LAWS = (
    "test_reach",
    "test_cache",
    "test_cache_size",
    "test_packed_rows",
    "test_padding",
    "test_attention_implementations",
    "test_saving",
)


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        law = metafunc.module.__name__.rpartition(".")[2] in LAWS
        metafunc.parametrize(
            "variant",
            [
                pytest.param(variant, marks=[] if law or variant.everywhere else [pytest.mark.slow])
                for variant in VARIANTS
            ],
            ids=[variant.name for variant in VARIANTS],
        )


@pytest.fixture(scope="session")
def variants() -> list[Variant]:
    """The whole table at once, for tests that start a process."""
    return VARIANTS
