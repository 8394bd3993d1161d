"""A folder of files that several processes read and write: on a disk, or in object storage (`s3://`, `gs://`).

TensorStore does the work. Each file is written as a whole: a reader sees the old one, the new one or none.
Credentials are those of the storage's own tools (for S3 `AWS_ACCESS_KEY_ID`, `AWS_PROFILE` and the files in `~/.aws`;
for Google Cloud `GOOGLE_APPLICATION_CREDENTIALS`). `AWS_ENDPOINT_URL` names another server that speaks S3.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import tensorstore

from cellflax.errors import OutputError, UserError

# TensorStore's own are 32 tries over a quarter of an hour, also where a bucket does not exist.
_RETRIES = {"max_retries": 6, "initial_delay": "500ms", "max_delay": "8s"}
_REMOTE = re.compile(r"(s3|gs)://[^/]+/?(.*)")


def is_remote(name: str) -> bool:
    """Whether a name is that of a place in object storage."""
    return _REMOTE.fullmatch(name) is not None


class Place:
    """A folder, which need not exist yet.

    Attributes:
        name: its path or URL, without a slash at the end.

    Args:
        name: a path, or a URL of object storage.

    Raises:
        UserError: for a URL that names no place there.
    """

    def __init__(self, name: str | Path):
        self.name = str(name).rstrip("/")
        if "://" in self.name and not is_remote(self.name):
            raise UserError(f"{name}: no place that can be used; give a folder, s3://BUCKET/PATH or gs://BUCKET/PATH")

    @property
    def local(self) -> Path | None:
        """The folder on a disk; None in object storage."""
        return None if is_remote(self.name) else Path(self.name)

    @property
    def address(self) -> str:
        """The whole path, or the URL."""
        return self.name if self.local is None else str(self.local.absolute())

    @property
    def stem(self) -> str:
        """Last part of the name, without `.zarr`."""
        return re.sub(r"(\.ome)?\.zarr$", "", self.name.rsplit("/", 1)[-1], flags=re.IGNORECASE)

    def child(self, name: str) -> "Place":
        """A folder below this one."""
        return Place(f"{self.name}/{name}")

    def spec(self) -> dict[str, Any]:
        """TensorStore's description of the place."""
        if self.local is not None:
            return {"driver": "file", "path": f"{self.local.absolute()}/"}
        spec = tensorstore.KvStore.Spec(f"{self.name}/").to_json()
        spec["s3_request_retries" if spec["driver"] == "s3" else "gcs_request_retries"] = _RETRIES
        if spec["driver"] == "s3" and "AWS_ACCESS_KEY_ID" in os.environ:  # else it complains of missing files first
            spec["aws_credentials"] = {"type": "environment"}
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if spec["driver"] == "s3" and endpoint:
            spec["endpoint"] = endpoint
            spec["aws_region"] = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return spec

    def read(self, key: str) -> bytes | None:
        """The content of a file; None if there is none.

        Raises:
            UserError: if it cannot be read.
        """
        try:
            found = self._store().read(key).result()
        except (ValueError, OSError) as error:
            raise UserError(f"{self.name}/{key}: cannot be read ({reason(error)})") from error
        return bytes(found.value) if found.state == "value" else None

    def write(self, key: str, content: bytes) -> None:
        """Write a file, in place of an older one.

        Raises:
            OutputError: if it cannot be written.
        """
        try:
            self._store().write(key, content).result()
        except (ValueError, OSError) as error:
            raise OutputError(f"{self.name}/{key}: cannot be written ({reason(error)})") from error

    def keys(self) -> set[str]:
        """Names of all files in and below it.

        Raises:
            UserError: if they cannot be listed.
        """
        try:
            return {key.decode() for key in self._store().list().result()}
        except (ValueError, OSError) as error:
            raise UserError(f"{self.name}: cannot be listed ({reason(error)})") from error

    def remove_file(self, key: str) -> None:
        """Remove a file, if there is one.

        Raises:
            OutputError: if it cannot be removed.
        """
        try:
            self._store().write(key, None).result()
        except (ValueError, OSError) as error:
            raise OutputError(f"{self.name}/{key}: cannot be removed ({reason(error)})") from error

    def remove(self) -> None:
        """Remove all files in and below it.

        Raises:
            OutputError: if they cannot be removed.
        """
        try:
            if self.local is None:
                self._store().delete_range(tensorstore.KvStore.KeyRange()).result()
            elif self.local.exists():
                shutil.rmtree(self.local)
        except (ValueError, OSError) as error:
            raise OutputError(f"{self.name}: cannot be removed ({reason(error)})") from error

    def _store(self) -> tensorstore.KvStore:
        return tensorstore.KvStore.open(self.spec()).result()


def reason(error: Exception) -> str:
    """What TensorStore says of an error, without what it repeats of the request."""
    return re.split(r" \[(?:tensorstore_spec|source locations|http_)", str(error).splitlines()[0])[0][:200]
