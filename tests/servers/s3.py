"""A real S3 server (moto) that keeps everything in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import boto3

from tests.servers.process import ServerProcess

PUT = (
    "import sys; from http.client import HTTPConnection as C; c = C(sys.argv[1], timeout=20); "
    "c.request('PUT', '/' + sys.argv[2]); r = c.getresponse(); print(r.status, r.read()); "
    "c.close(); sys.exit(r.status != 200)"
)


class S3Server(ServerProcess):
    """S3; what it holds is lost when it ends, so `freeze()` is how it goes away for a while."""

    name = "s3"

    def __init__(self, port: int, host: str = "127.0.0.1", *, prefix: Sequence[str] = ()) -> None:
        super().__init__(port, host, prefix)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", self.host, "-p", str(self.port)]

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment of processes that shall use it."""
        return {
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def make_bucket(self, name: str) -> None:
        put = [*self.prefix, sys.executable, "-c", PUT, f"{self.host}:{self.port}", name]
        done = subprocess.run(put, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def get(self, bucket: str, key: str) -> bytes | None:
        """An object as another client reads it; `None` when there is none."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        key_id, secret = (self.environment[name] for name in names)
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            region_name="us-east-1",
        )
        try:
            with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
                return bytes(body.read())
        except client.exceptions.NoSuchKey:
            return None
        finally:
            client.close()

    def url(self, bucket: str, prefix: str = "objects") -> str:
        return f"s3://{bucket}/{prefix}"
