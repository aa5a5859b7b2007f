"""What a bucket refuses for good is told at once, in one line that says what to do, without credentials."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError, RefreshError

from etl_ray import storage
from etl_ray.errors import MissingBucketError, StorageError
from etl_ray.storage import access
from tests.buckets.conftest import Bucket, forget_clients
from tests.buckets.jobs import Job

LOG_IN = {
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file",
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role",
}
FORBIDDEN = {
    "gs": json.dumps({"error": {"code": 403, "message": "robot@x.iam does not have storage.objects.list access"}}),
    "s3": "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
}
RIGHTS = {
    "gs": {"look at": "storage.objects.list and storage.objects.get", "create": "storage.objects.create"},
    "s3": {"look at": "s3:ListBucket and s3:GetObject", "create": "s3:PutObject"},
}
READING = ("GET", "HEAD")


def scheme_of(bucket: Bucket) -> str:
    return bucket.url.partition("://")[0]


def refuse(bucket: Bucket, body: str, status: int, *methods: str) -> None:
    bucket.proxy.body = body.encode()
    bucket.proxy.refuse = lambda _number, method, _target: status if method in methods else None


def told(call: Callable[[str], object], url: str) -> str:
    with pytest.raises(StorageError) as caught:
        call(url)
    return str(caught.value)


def test_a_missing_bucket_is_named(bucket: Bucket) -> None:
    missing = f"{bucket.url}-not"
    calls: dict[str, Callable[[str], object]] = {
        "look at": storage.list_files,
        "write": lambda url: storage.write_bytes(url, b""),
        "create": lambda url: storage.create_new(url, b""),
    }
    for action, call in calls.items():
        with pytest.raises(MissingBucketError) as caught:
            call(f"{missing}/a/x")
        assert str(caught.value) == (
            f"cannot {action} {missing}/a/x: there is no bucket {missing}; create it, or correct the URL"
        )
    assert not storage.exists(f"{missing}/a/x")
    assert storage.list_folders(f"{missing}/a") == []


def test_missing_permissions_are_named(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    scheme, url = scheme_of(bucket), f"{bucket.url}/x"
    refuse(bucket, FORBIDDEN[scheme], 403, *READING)
    looking = told(storage.list_files, url)
    refuse(bucket, FORBIDDEN[scheme], 403, "PUT", "POST")
    creating = told(lambda url: storage.create_new(url, b"1"), url)

    for action, message in (("look at", looking), ("create", creating)):
        assert message.startswith(f"cannot {action} {url}: ")
        assert message.endswith(f"; the credentials lack the permission {RIGHTS[scheme][action]}")
        assert "\n" not in message
    assert len(bucket.proxy.seen) < 12  # no attempt is repeated
    assert [record for record in caplog.records if record.levelno >= logging.WARNING and record.name == "root"] == []


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_credentials_that_amazon_does_not_accept_are_told_apart(bucket: Bucket, code: str) -> None:
    refuse(bucket, f"<Error><Code>{code}</Code><Message>No, not tests-secret.</Message></Error>", 403, *READING, "PUT")
    for call in (storage.list_files, storage.file_info, storage.exists, storage.make_root):
        message = told(call, f"{bucket.url}/x")
        assert message.endswith(f"; the credentials are not accepted, or have expired: {LOG_IN['s3']}")


@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
def test_amazon_without_credentials(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget_clients()

    assert told(storage.list_files, f"{bucket.url}/x") == (
        f"cannot look at {bucket.url}/x: NoCredentialsError: Unable to locate credentials; "
        f"no credentials were found: {LOG_IN['s3']}"
    )
    assert bucket.proxy.seen == []


@pytest.mark.parametrize("bucket", ["gs"], indirect=True)
def test_google_without_credentials(bucket: Bucket) -> None:
    anonymous = "Anonymous caller does not have storage.objects.list access to the Google Cloud Storage bucket."
    refuse(bucket, json.dumps({"error": {"code": 401, "message": anonymous}}), 401, *READING)

    assert told(storage.list_files, f"{bucket.url}/x") == (
        f"cannot look at {bucket.url}/x: HttpError: {anonymous}, 401; no credentials were found: {LOG_IN['gs']}"
    )


@pytest.fixture
def on_google(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients believe that they are to ask Google itself, which none of them does."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    forget_clients()


@pytest.mark.usefixtures("on_google")
def test_where_google_finds_no_credentials_it_is_asked_once_and_public_buckets_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def find_none(**_: object) -> None:
        asked.append(1)
        raise DefaultCredentialsError("Your default credentials were not found. To set them up, see https://x")

    monkeypatch.setattr(google.auth, "default", find_none)

    assert access.google_credentials() == access.google_credentials() == {"token": "anon"}
    assert asked == [1]
    assert access.filesystem("gs://b/x")[1] == "b/x"
    forget_clients()


class Credentials:
    """Credentials that have expired, and that Google does not renew."""

    valid = False
    expiry = None

    def __init__(self) -> None:
        self.n_refreshed = 0

    def refresh(self, _request: object) -> None:
        self.n_refreshed += 1
        raise RefreshError("invalid_grant: Token has been expired or revoked.")


@pytest.mark.usefixtures("on_google")
def test_credentials_that_google_does_not_renew_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = Credentials()
    monkeypatch.setattr(google.auth, "default", lambda **_: (credentials, None))

    assert told(storage.list_files, "gs://b/x") == (
        f"cannot log in to gs://b/x: HttpError: Invalid Credentials, 401; "
        f"the credentials are not accepted, or have expired: {LOG_IN['gs']}"
    )
    assert credentials.n_refreshed == 1
    forget_clients()


@pytest.mark.usefixtures("on_google")
def test_a_key_file_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))

    assert told(storage.list_files, "gs://b/x") == (
        f"cannot log in to gs://b/x: DefaultCredentialsError: File {tmp_path / 'none.json'} was not found.; "
        f"the credentials are not accepted, or have expired: {LOG_IN['gs']}"
    )
    forget_clients()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["INPUT", "OUTPUT"])
def test_a_run_ends_with_one_line(bucket: Bucket, tiny_segments: list[Path], tmp_path: Path, place: str) -> None:
    scheme, on_disk = scheme_of(bucket), str(tiny_segments[0].parent)
    missing = f"{bucket.url}-not/x"
    job = Job(missing, str(tmp_path / "output"), tmp_path) if place == "INPUT" else Job(on_disk, missing, tmp_path)
    answer = job.run()
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        f"etl-ray: error: cannot look at {missing}: there is no bucket {bucket.url}-not; create it, or correct the URL"
    ]

    refuse(bucket, FORBIDDEN[scheme], 403, *(READING if place == "INPUT" else ("PUT", "POST")))
    there = f"{bucket.url}/x"
    job = Job(there, str(tmp_path / "output"), tmp_path) if place == "INPUT" else Job(on_disk, there, tmp_path)
    answer = job.run()
    assert (answer.code, answer.out) == (1, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("etl-ray: error: cannot ")
    assert "; the credentials lack the permission " in line
    assert len(bucket.proxy.seen) < 60
