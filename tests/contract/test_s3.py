"""The ``s3`` kind against SeaweedFS and moto; what happened is read by another client (boto3).

The contract of every kind, and what only this one has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from botocore.exceptions import ClientError
from pydantic import SecretStr

from connectors.aws import AwsKeys
from connectors.channel import Channel
from connectors.exchange import HttpRequest, HttpResponse
from connectors.kind import probe_problem
from connectors.registry import kinds
from connectors.s3.connector import S3Connector
from connectors.s3.object import described
from connectors.s3.options import S3Options
from connectors.stamps import Stamp
from connectors.transports import open_transport
from hms_sync.testing import ConnectorContract, Platform
from outbox.model import Action, ErrorClass, Guarantee, Message, Outcome, Rejected
from tests.receivers import moto, s3_client, seaweedfs
from tests.records import TEN_MEGABYTES, Record, applied, open_record
from tests.trials import passed, subject, tried
from tests.wire import LOOPBACK, ends


def keys(secret: str = "testsecret", region: str = "us-east-1") -> Channel:
    return Channel(auth=AwsKeys("test", SecretStr(secret), region), allow_addresses=LOOPBACK)


@dataclass(frozen=True)
class Bucket:
    """What another client sees of it."""

    name: str
    url: str

    @property
    def client(self) -> Any:
        return s3_client(self.url.rpartition("/")[0])

    def get(self, key: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.client.get_object(Bucket="court", Key=key)
        except ClientError:
            return None
        return found | {"Body": found["Body"].read()}

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.client.put_object(Bucket="court", Key=key, Body=body, **more)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket="court", Key=key)

    def names(self) -> set[str]:
        return {each["Key"] for each in self.client.list_objects_v2(Bucket="court").get("Contents", ())}


@pytest.fixture(scope="module", params=["seaweedfs", "moto"])
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with {"seaweedfs": seaweedfs, "moto": moto}[request.param](tmp_path_factory.mktemp(request.param)) as url:
        yield Bucket(request.param, url)


class Objects(Platform):
    """A bucket as the contract sees it; the text is the content of an object."""

    kind = kinds()["s3"]
    channel = keys()
    long_text = TEN_MEGABYTES

    def __init__(self, bucket: Bucket) -> None:
        self.url = bucket.url
        self.options = {"path": "/contract/{record_key}.txt"}
        self.nowhere = f"{bucket.url}-nowhere" if bucket.name == "moto" else None  # SeaweedFS makes the bucket
        self._bucket = bucket

    def upsert(self, key: str, text: str) -> Message:
        return Message(Action.UPSERT, {}, text.encode(), "text/plain")

    def delete(self, key: str) -> Message:
        return Message(Action.DELETE, {})

    def read(self, key: str) -> str | None:
        found = self._bucket.get(f"contract/{key}.txt")
        return None if found is None else str(found["Body"].decode())

    def remove(self, key: str) -> None:
        self._bucket.delete(f"contract/{key}.txt")

    def edit(self, key: str, text: str) -> None:
        self._bucket.put(f"contract/{key}.txt", text.encode())


class TestS3(ConnectorContract):
    @pytest.fixture
    def platform(self, bucket: Bucket) -> Objects:
        return Objects(bucket)


def connector(url: str, **options: str) -> S3Connector:
    return S3Connector(url, S3Options.model_validate({"path": "/rulings/{case}/{record_key}.txt"} | options))


@pytest.fixture
def record(bucket: Bucket) -> Iterator[Record]:
    with open_record(connector(bucket.url), keys()) as record:
        yield record


@pytest.fixture
def polite(bucket: Bucket) -> Iterator[Record]:
    """A record whose connector keeps what third parties edited."""
    with open_record(connector(bucket.url, conflict="theirs"), keys()) as record:
        yield record


def at(record: Record) -> str:
    return f"rulings/A-17/{record.key}.txt"


def held(bucket: Bucket, record: Record) -> bytes | None:
    found = bucket.get(at(record))
    return None if found is None else bytes(found["Body"])


def rejected(outcome: Outcome, error_class: ErrorClass, *, platform: bool = False) -> str:
    assert isinstance(outcome, Rejected), outcome
    assert (outcome.error_class, outcome.platform) == (error_class, platform)
    return outcome.reason


def test_each_write_is_one_request(bucket: Bucket, record: Record) -> None:
    first = applied(record.put(b"first"))
    assert first.external_id == "/" + at(record)
    assert applied(record.put(b"second")).version != first.version
    applied(record.delete())
    applied(record.put(b"third"))
    assert record.wire.sent == ["PUT", "PUT", "DELETE", "PUT"]


def test_both_transports_sign(bucket: Bucket) -> None:
    for transport in ("curl", "requests"):
        with open_record(connector(bucket.url), keys(), transport) as record:
            applied(record.put(b"signed"))
            assert held(bucket, record) == b"signed"


def test_a_content_that_changed_on_the_way_is_refused(bucket: Bucket) -> None:
    """The platform holds the checksum against what it received (moto does not)."""
    stamp = Stamp(UUID(int=1), 1, 1, 0)
    headers = described(Message(Action.UPSERT, {}, b"ours"), stamp)
    request = HttpRequest("PUT", f"{bucket.url}/altered", headers, b"othe")
    transport = open_transport("curl", keys(), 1)
    transport.start("t", request, 5)
    _, answer = ends(transport)
    transport.close()
    assert isinstance(answer, HttpResponse)
    assert answer.status == (200 if bucket.name == "moto" else 400)


def test_type_name_checksum_and_metadata_stand_beside_the_content(bucket: Bucket, record: Record) -> None:
    record.metadata = {"case_no": "A-17", "judge": "Grüße"}
    applied(record.put(b"hi"))
    found = bucket.get(at(record))
    assert found is not None
    assert found["ContentType"] == "text/plain"
    assert found["ContentDisposition"] == "attachment; filename*=UTF-8''r.txt"
    assert found["Metadata"]["case-no"] == "A-17"
    assert found["Metadata"]["judge"] == "=?utf-8?b?R3LDvMOfZQ==?="
    assert found["Metadata"]["hms-sync"].endswith(" 101.101.0")


@pytest.mark.parametrize("key", ["a/b", "ä & <x>?#;", "%2e%2e", '["A1", 2]', "a'b c=(d)+~*"])
def test_any_key_names_one_object_that_can_be_written_twice(bucket: Bucket, key: str) -> None:
    """The address is signed as it is sent."""
    with open_record(connector(bucket.url, path="/odd/{record_key}"), keys()) as record:
        record.key = key
        applied(record.put(b"first"))
        applied(record.put(b"second"))
        assert bucket.names() >= {f"odd/{key}"}
        applied(record.delete())
        assert bucket.names() & {f"odd/{key}"} == set()


def test_an_edit_that_kept_our_mark_is_seen_by_its_version(bucket: Bucket, polite: Record) -> None:
    applied(polite.put(b"first"))
    found = bucket.get(at(polite))
    assert found is not None
    bucket.put(at(polite), b"theirs", Metadata=found["Metadata"])
    rejected(polite.put(b"ours"), ErrorClass.CONFLICT)


def test_what_the_ledger_forgot_is_found_again(bucket: Bucket, polite: Record) -> None:
    applied(polite.put(b"first"))
    polite.remote = None
    applied(polite.put(b"second"))
    assert held(bucket, polite) == b"second"


def test_a_replay_adds_no_version_to_a_versioned_bucket(bucket: Bucket, record: Record) -> None:
    with suppress(ClientError):
        bucket.client.put_bucket_versioning(Bucket="court", VersioningConfiguration={"Status": "Enabled"})
    delivery = record.delivery()
    record.send(delivery, b"once")
    for _ in range(2):
        applied(record.again(delivery, b"once"))
    versions = bucket.client.list_object_versions(Bucket="court", Prefix=at(record))["Versions"]
    assert len(versions) == 1


def test_a_wrong_secret_stops_the_connector(bucket: Bucket) -> None:
    with open_record(connector(bucket.url), keys(secret="wrong")) as record:
        outcome = record.put(b"x")
    if bucket.name == "moto":  # takes every signature
        applied(outcome)
    else:
        assert "refuses our credentials" in rejected(outcome, ErrorClass.CREDENTIALS, platform=True)


def test_the_probe_tells_what_is_wrong(bucket: Bucket) -> None:
    kind = kinds()["s3"]
    assert kind.probe is not None
    tries = [(bucket.url, keys(), ""), (f"{bucket.url}/prefix", keys(), "")]
    tries += [(f"{bucket.url}-nowhere", keys(), "no such resource")]
    if bucket.name == "seaweedfs":
        tries += [(bucket.url, keys("wrong"), "credentials")]
    for url, channel, expected in tries:
        transport = open_transport("curl", channel, 1)
        problem = probe_problem(transport, kind.probe(url, kind.options()), 5) or ""
        transport.close()
        assert expected in problem
        assert bool(expected) == bool(problem)


def test_seaweedfs_carries_its_class_and_moto_all_that_nobody_races_for(bucket: Bucket) -> None:
    """moto lets two creates win in about one of two hundred rounds, so that only a full run refuses it."""
    asked = {1, 2, 3, 4, 5, 6, 7, 9} if bucket.name == "seaweedfs" else {1, 2, 3, 4, 7, 9}
    verdict = tried(subject("s3", f"{bucket.url}/trial"), keys(), rounds=1, only=asked)
    assert passed(verdict) == asked, verdict
    assert verdict.carries is Guarantee.EXACT_CAS
    assert not [name for name in bucket.names() if name.startswith("trial/")]


def test_the_keys_show_nowhere() -> None:
    channel = keys("a very secret secret")
    assert "secret secret" not in repr(channel)
    assert "a very secret secret" in channel.secrets
