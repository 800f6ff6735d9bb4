"""An S3 service for tests: moto's stand-in server, in a separate process on loopback.

It implements the protocol over HTTP, with multipart uploads, ranges and errors. Amazon's service and others were not
tested.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from botocore.config import Config

START = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
BUCKET = "cronium-logs"
KEYS = {"aws_access_key_id": "for-tests", "aws_secret_access_key": "for-tests-only"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """`endpoint` is its URL; it has one bucket, BUCKET. It can be stopped, and started again without objects."""

    def __init__(self) -> None:
        self._port = free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
            **KEYS,
        )

    def start(self) -> None:
        command = [sys.executable, "-c", START, str(self._port)]
        # A proxy of the environment must not carry requests to loopback.
        env = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self._process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    break
            time.sleep(0.1)
        self.client.create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def keys(self) -> list[str]:
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def uploads(self) -> list[str]:
        """The unfinished multipart uploads."""
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def empty(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket=BUCKET, Key=key)


@contextmanager
def service() -> Iterator[Service]:
    made = Service()
    try:
        made.start()
        yield made
    finally:
        made.stop()
