"""A server for all tests of a process, and a bucket of its own for each test."""

import itertools
from pathlib import Path

import pytest

from features.remote import attempts, connections
from tests.features.remote.server import Server

SECRET = "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def _server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(_server, monkeypatch, cache):
    """The server; environment, pauses and caches are set for it."""
    _server.reset()
    for name, value in {
        "AWS_ENDPOINT_URL": _server.url, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "no_proxy": "127.0.0.1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(attempts, "PAUSE", 0.01)
    connections._store.cache_clear()
    yield _server
    connections._store.cache_clear()


class Bucket:
    def __init__(self, client, name: str):
        self._client, self.name, self.url = client, name, f"s3://{name}"

    def put(self, key: str, content: bytes) -> str:
        self._client.put_object(Bucket=self.name, Key=key, Body=content)
        return f"{self.url}/{key}"

    def put_folder(self, folder: Path, prefix: str = "") -> str:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"{self.url}/{prefix}".rstrip("/")

    def keys(self, prefix: str = "") -> list[str]:
        listed = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", [])]

    def get(self, key: str) -> bytes:
        return self._client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def uploads(self) -> list[str]:
        listed = self._client.list_multipart_uploads(Bucket=self.name)
        return [item["Key"] for item in listed.get("Uploads", [])]

    def etag(self, key: str) -> str:
        return self._client.head_object(Bucket=self.name, Key=key)["ETag"].strip('"')


@pytest.fixture
def bucket(server) -> Bucket:
    import boto3

    client = boto3.client("s3")
    name = f"lab-{next(_numbers)}"
    client.create_bucket(Bucket=name)
    server.requests.clear()
    return Bucket(client, name)
