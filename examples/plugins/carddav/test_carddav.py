"""The contract of connectors, at a Radicale that this test starts. Run it with pytest."""

import socket
import subprocess
import sys
import time

import pytest
import requests
from hms_sync_carddav import FORMAT, KIND
from pydantic import SecretStr

from hms_sync.connector import Action, Basic, Channel, Message
from hms_sync.testing import LOOPBACK, ConnectorContract, Platform

MAKE = """<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">
<set><prop><resourcetype><collection/><C:addressbook/></resourcetype></prop></set></mkcol>"""


class AddressBook(Platform):
    kind = KIND
    channel = Channel(auth=Basic("me", SecretStr("any")), allow_addresses=LOOPBACK)
    long_text = "x" * 10_000

    def __init__(self, url):
        self.url = url

    def upsert(self, key, text):
        document = {"uid": key, "name": text}
        return Message(
            Action.UPSERT, document, FORMAT.compile(None, "", ()).encode(document, None), FORMAT.content_type
        )

    def delete(self, key):
        return Message(Action.DELETE, {"uid": key})

    def read(self, key):
        answer = call("GET", self.address(key))
        if answer.status_code == 404:
            return None
        lines = answer.content.decode().replace("\r\n ", "").splitlines()
        return next(line[3:] for line in lines if line.startswith("FN:"))

    def remove(self, key):
        call("DELETE", self.address(key))

    def edit(self, key, text):
        call("PUT", self.address(key), self.upsert(key, text).body)

    def address(self, key):
        return f"{self.url}contract-{key}.vcf"


def call(method, url, body=None):
    return requests.request(
        method, url, data=body, headers={"Content-Type": "text/vcard"}, auth=("me", "any"), timeout=10
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ["--hosts", address, "--auth-type", "none", "--storage-filesystem-folder"]
    command = [sys.executable, "-m", "radicale", "--config", "", *options, str(tmp_path_factory.mktemp("radicale"))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        yield made(f"http://{address}/me/book/", server)
        server.terminate()


def made(url, server):
    """The address book, as soon as the server is there to make it."""
    while server.poll() is None:
        try:
            assert call("MKCOL", url, MAKE).status_code == 201
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return url
    raise AssertionError("Radicale did not start")


class TestCardDav(ConnectorContract):
    @pytest.fixture
    def platform(self, url):
        return AddressBook(url)
