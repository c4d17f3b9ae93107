"""Quick compilation for all of these tests, and a model read in full to compare with."""

import pytest

from tests import small
from tests.sample.lm import Forward


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory):
    with small.quick_compilation(tmp_path_factory.mktemp("programs")):
        yield


@pytest.fixture(scope="module")
def forward():
    return Forward()
