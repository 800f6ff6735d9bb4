"""Objects in an S3 bucket, with django-storages; byte ranges are read with its boto3 client."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import IOBase
from typing import IO, Any, cast

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from django.core.exceptions import ImproperlyConfigured
from django.core.files import File
from storages.backends.s3 import S3Storage
from urllib3.exceptions import HTTPError

from cronium_admin.logs.storage.base import ObjectMissing, StorageUnavailable

log = logging.getLogger("cronium.archive")
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 3, 10, 2
PART_BYTES = 8 * 1024 * 1024  # bytes per part of an upload, held in memory
_MISSING_CODES = {"404", "NoSuchKey", "416", "InvalidRange"}
_FAILURES = (BotoCoreError, HTTPClientError, Boto3Error, HTTPError)


def _make_client_config(endpoint: str) -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # Other S3 services have no host name per bucket and no checksums. Each object is read back and compared.
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


class S3Backend:
    """`url` is s3://bucket/prefix. Without keys, boto3 uses its own sources: environment, files, instance metadata."""

    def __init__(self, url: str, endpoint: str, region: str, access_key: str, secret_key: str) -> None:
        self._bucket, _, self._prefix = url.removeprefix("s3://").partition("/")
        keys = {"access_key": access_key, "secret_key": secret_key, "security_token": None} if access_key else {}
        with _translate_errors(f"{url} cannot be opened", ImproperlyConfigured, ValueError):
            self._objects = S3Storage(
                bucket_name=self._bucket,
                location=self._prefix,
                endpoint_url=endpoint or None,
                region_name=region or None,
                client_config=_make_client_config(endpoint),
                # In the caller's thread: the content is read from its database connection.
                transfer_config=TransferConfig(
                    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=1, use_threads=False
                ),
                **keys,
            )
            # S3Storage makes a client for each thread; one for all threads is enough, and slow to create.
            self._client: Any = self._objects.connection.meta.client

    def _build_key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def write_object(self, name: str, content: IOBase) -> None:
        with _translate_errors(f"{name} cannot be written"):
            self._objects.save(name, File(cast("IO[bytes]", content), name))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        with _translate_errors(f"{name} cannot be read"):
            byte_range = f"bytes={start}-{start + length - 1}"
            answer = self._client.get_object(Bucket=self._bucket, Key=self._build_key(name), Range=byte_range)
            with answer["Body"] as body:
                return bytes(body.read())

    def fetch_size(self, name: str) -> int:
        with _translate_errors(f"{name} cannot be read"):
            return int(self._client.head_object(Bucket=self._bucket, Key=self._build_key(name))["ContentLength"])

    def delete_object(self, name: str) -> None:
        with _translate_errors(f"{name} cannot be deleted"):
            self._abort_uploads(self._build_key(name))
            self._client.delete_object(Bucket=self._bucket, Key=self._build_key(name))

    def _abort_uploads(self, key: str) -> None:
        # An unfinished multipart upload of a killed process costs money until it is aborted.
        try:
            uploads = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key).get("Uploads", [])
            for upload in uploads:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        except ClientError as error:
            # Listing needs a permission and is not supported by every service. A lifecycle rule is an alternative.
            log.debug("could not list the unfinished uploads of %s: %s", key, error)


@contextmanager
def _translate_errors(problem: str, *other_errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        log.warning("the archive's object %s: %s", problem, error)
        raise (ObjectMissing if code in _MISSING_CODES else StorageUnavailable)() from error
    except (*_FAILURES, *other_errors) as error:
        log.warning("the archive's object %s: %s", problem, error)
        raise StorageUnavailable from error
