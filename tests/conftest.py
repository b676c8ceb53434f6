"""What tests of several rooms share."""

from __future__ import annotations

import pytest

from tests.certificates import Certificates, issued


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issued(tmp_path_factory.mktemp("certificates"))
