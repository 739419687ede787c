"""A place in a bucket where requests are tried; each request is sent once, unrepeated."""

from __future__ import annotations

from http.client import HTTPException
from typing import Any
from urllib.parse import quote

import requests
import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud import storage  # type: ignore[import-untyped]
from google.cloud.storage.exceptions import DataCorruption  # type: ignore[import-untyped]

from segrelay.bucket.gcs import REQUEST_TIMEOUT

ONCE: dict[str, Any] = {"timeout": REQUEST_TIMEOUT, "retry": None}
"""How the client is called: a repeated request may be refused because the first one worked."""

NO_ANSWER = (
    OSError,
    HTTPException,
    urllib3.exceptions.HTTPError,
    DataCorruption,
    auth.GoogleAuthError,
)
"""What is raised when a request got no status; ``requests`` derives its errors from OSError."""


class Ground:
    """Objects below ``root`` of one bucket.

    Parameters
    ----------
    client:
        An authorised client.
    bucket:
        The bucket's name.
    root:
        Prefix of everything that is touched, without a slash at its end.
    """

    def __init__(self, client: storage.Client, bucket: str, root: str) -> None:
        self.client = client
        self.bucket = client.bucket(bucket)
        self.root = root

    def name(self, name: str) -> str:
        """The full name of an object."""
        return f"{self.root}/{name}"

    def blob(self, name: str) -> storage.Blob:
        """An object of this ground, unread."""
        return self.bucket.blob(self.name(name))

    def put(self, name: str, data: bytes = b"x", **conditions: int) -> storage.Blob:
        """Upload an object in one multipart request."""
        blob = self.blob(name)
        blob.upload_from_string(data, **conditions, **ONCE)
        return blob

    def prepare(self) -> None:
        """Put the objects ``a`` and ``b``, which the table's requests are about."""
        self.put("a", b"1")
        self.put("b", b"2")

    @property
    def objects_path(self) -> str:
        """Path of the bucket's objects in the JSON API."""
        return f"/storage/v1/b/{self.bucket.name}/o"

    @property
    def upload_path(self) -> str:
        """Path for uploads in the JSON API."""
        return f"/upload{self.objects_path}"

    def object_path(self, name: str) -> str:
        """Path of one object in the JSON API."""
        return f"{self.objects_path}/{quote(self.name(name), safe='')}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """A request that the client cannot express, signed in as the client is."""
        answer: requests.Response = self.client._http.request(
            method, f"{self.client.api_endpoint}{path}", timeout=REQUEST_TIMEOUT, **options
        )
        return answer

    def clean_up(self) -> int:
        """Delete everything below the root; returns how many objects could not be deleted.

        Raises
        ------
        GoogleAPICallError
            The objects cannot be listed.
        OSError, HTTPException, urllib3 HTTPError, GoogleAuthError
            No answer.
        """
        left = 0
        for blob in list(self.client.list_blobs(self.bucket, prefix=f"{self.root}/", **ONCE)):
            try:
                blob.delete(if_generation_match=blob.generation, **ONCE)
            except api.NotFound:
                continue
            except (api.GoogleAPICallError, *NO_ANSWER):
                left += 1
        return left
