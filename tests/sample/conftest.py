"""A model read in full to compare with."""

import pytest

from tests.sample.lm import Forward


@pytest.fixture(scope="module")
def forward():
    return Forward()
