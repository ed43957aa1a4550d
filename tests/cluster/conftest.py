"""An S3 for the tests of one file, to which this process writes as a worker does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.servers import S3, reached


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    server = S3(tmp_path_factory.mktemp("s3") / "server")
    server.start()
    try:
        with reached(server):
            yield server
    finally:
        server.stop()
