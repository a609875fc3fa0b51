"""A config with connectors of all kinds and all ways to show who we are, and the marked secrets in it."""

from __future__ import annotations

import string
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import simplejson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from outbox.model import Json
from tests.canary.nasty import Nasty, Part
from tests.features import PERMIT
from tests.harness.premises import MAPPINGS
from tests.pki import Pki
from tests.servers import free_port

LOOPBACK = ["127.0.0.0/8", "::1/128"]
WHY = "a canary is flown through it"
PUTS: Mapping[str, Json] = {
    "create": {"method": "PUT", "path": "/{id}"},
    "delete": {"method": "DELETE", "path": "/{id}"},
}
POSTS: Mapping[str, Json] = {
    "create": {"method": "POST", "path": "/"},
    "update": {"method": "PUT", "path": "/{external_id}"},
}
REFUSALS: tuple[Part, ...] = (422, 409, 400)
HARD = "\"\\/&=%+<>'~! z"
"""What addresses, forms, JSON and pages write in another way, and a header still carries."""


@dataclass
class Slate:
    """Makes the secrets and puts each where the config refers to it."""

    folder: Path
    planted: dict[str, str] = field(default_factory=dict)
    """By where it stands."""
    environment: dict[str, str] = field(default_factory=dict)
    references: int = 0

    def __post_init__(self) -> None:
        for name in ("secrets", "credentials"):
            (self.folder / name).mkdir(mode=0o700)
        self.environment["CREDENTIALS_DIRECTORY"] = str(self.folder / "credentials")

    def value(self, where: str, ending: str = HARD) -> str:
        """A new secret: its mark and eight letters of its own come first."""
        number = len(self.planted) + 1
        letters = string.ascii_lowercase[number % 18 :][:8]
        return self.take(where, f"cnry{number:02d}{letters}{ending}")

    def take(self, where: str, value: str) -> str:
        assert where not in self.planted
        self.planted[where] = value
        return value

    def refer(self, where: str, value: str | None = None) -> str:
        """A reference to a secret: from the environment, a file and systemd by turns."""
        value = value or self.value(where)
        self.references += 1
        name = f"s{self.references}"
        if self.references % 3 == 0:
            self.environment[name.upper()] = value
            return f"${{{name.upper()}}}"
        kind, folder = ("file", "secrets") if self.references % 3 == 1 else ("cred", "credentials")
        file = self.folder / folder / name
        file.touch(mode=0o600)
        file.write_text(value)
        return f"${{{kind}:{name}}}"


@dataclass
class Estate:
    """The config; ``nasty`` plays the platform of each connector."""

    slate: Slate
    nasty: Nasty
    tls_port: int
    pki: Pki
    connectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    closed: int = field(default_factory=free_port)
    """A port at which nobody listens."""

    def add(self, name: str, *parts: Part, **settings: Any) -> None:
        """A connector whose platform plays ``parts`` by turns."""
        self.nasty.parts[name] = parts or REFUSALS
        retry = {"attempts": 2, "base": "50ms", "max": "50ms"}
        common = {"allow_addresses": LOOPBACK, "deadline": "2s", "retry": retry}
        place = {"kind": "http", "url": f"{self.nasty.url}/{name}"}
        options = {} if "kind" in settings else {"options": dict(PUTS)}
        routes = {"routes": {"hearing": {"mapping": "row"}}}
        self.connectors[name] = {**place, **common, **options, **routes, **settings}

    def bearer(self, name: str) -> dict[str, Json]:
        return {"bearer": self.slate.refer(f"the token of {name}")}

    def basic(self, name: str) -> dict[str, Json]:
        password = self.slate.value(f"the password of {name}", HARD + "é")
        return {"basic": {"username": "hms", "password": self.slate.refer("", password)}}

    def key(self, name: str) -> dict[str, Json]:
        return {"header": {"name": "X-Api-Key", "value": self.slate.refer(f"the key of {name}")}}

    # ------------------------------------------------------------ what there is

    def ways_to_say_who_we_are(self) -> None:
        self.add("Bearer", auth=self.bearer("Bearer"))
        self.add("Basic", auth=self.basic("Basic"), transport="requests")
        self.add("Key", auth=self.key("Key"))
        extra = {"X-Extra": self.slate.refer("a header of all operations")}
        self.add("Header", options={**PUTS, "headers": extra})
        action = {"method": "PUT", "path": "/{id}", "headers": {"X-Action": self.slate.refer("a header of one")}}
        self.add("Action", options={**PUTS, "create": action})

    def ways_to_answer(self) -> None:
        self.add("Redirect", 302, auth=self.bearer("Redirect"))
        self.add("Reason", 500, auth=self.key("Reason"), transport="requests")
        self.add("Garbage", "garbage", auth=self.bearer("Garbage"), transport="requests")
        self.add("Reset", "reset", auth=self.bearer("Reset"))
        self.add("Cut", "cut", auth=self.bearer("Cut"))
        self.add("Busy", 503, auth=self.bearer("Busy"))
        self.add("Refusing", 401, auth=self.basic("Refusing"))
        self.add("Location", 201, auth=self.bearer("Location"), options={**POSTS, "external_id": "location"})
        self.add("Id", "an id", auth=self.key("Id"), options={**POSTS, "external_id": "id"})

    def kinds(self, database: int) -> None:
        exact = {"accept_unverified": WHY}
        stamped = {**PUTS, "conditional": {"stamp": "mark"}}
        self.add("Conditional", 201, auth=self.basic("Conditional"), options=stamped, **exact)
        lookup = {"path": "/?ref={record_key}", "found": "[0].id", "quiet": "1s"}
        asked = {**POSTS, "external_id": "id", "lookup": lookup}
        self.add("Lookup", 500, auth=self.bearer("Lookup"), options=asked)
        batch = {"path": "/batch", "results": "responses"}
        self.add("Batch", auth=self.bearer("Batch"), options={**PUTS, "batch": batch})
        self.add("Board", kind="scheduler", auth=self.bearer("Board"))
        diary = {"routes": {"hearing": {"mapping": "diary"}}}
        self.add("Diary", kind="caldav", auth=self.basic("Diary"), **exact, **diary)
        self.add("Files", kind="webdav", auth=self.basic("Files"))
        self._bucket()
        feature = {"routes": {"hearing": {"mapping": "feature"}}}
        collection = {"collection": "permit", "key": "external_id"}
        self.add("Features", kind="ogc_features", auth=self.key("Features"), options=collection, **feature)
        layer = {"type_name": "permit", "namespace": "http://www.qgis.org/gml", "key": "external_id"}
        self.add("Wfs", kind="wfs", auth=self.basic("Wfs"), options=layer, **feature)
        self.add("Layer", "arcgis", kind="arcgis", auth=self.bearer("Layer"), **feature)
        self._hook()
        table = {"table": "public.hearing", "key": ["id"], "unencrypted": True}
        self.add("Sql", kind="sql", auth=self.basic("Sql"), options=table, **exact)
        self.connectors["Sql"]["url"] = f"postgresql://127.0.0.1:{database}/court"
        self.add("Journal", kind="file", url=f"file://{self.slate.folder}/journal.ndjson", **exact)
        self.add("Crash", kind="crash", auth=self.bearer("Crash"))
        self.add("CrashInBatch", kind="crash_in_batch", auth=self.basic("CrashInBatch"))
        self.add("Unmapped", auth=self.bearer("Unmapped"), routes={"hearing": {"mapping": "failing"}})

    def _bucket(self) -> None:
        secret = self.slate.value("the secret of the bucket's key")
        keys = {"key_id": self.slate.refer("the id of the bucket's key"), "secret": self.slate.refer("", secret)}
        self.add("Bucket", 403, kind="s3", auth={"aws": keys}, accept_unverified=WHY)
        self.nasty.knows["Bucket"] = [secret]

    def _hook(self) -> None:
        """Four secrets that sign; the receiver knows them, and says which signature it wanted."""
        texts = []
        for number in (1, 2):
            content = self.slate.value(f"signing secret {number}", "-of-a-symmetric-kind").encode()
            texts.append("whsec_" + b64encode(content).decode())
        for number in (3, 4):
            seed = self.slate.value(f"signing secret {number}", "-of-the-ed25519-kind")[:32].encode()
            public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            texts.append("whsk_" + b64encode(seed + (public if number == 4 else b"")).decode())
        secrets = [self.slate.refer("", text) for text in texts]
        self.add("Hook", kind="webhook", auth=self.bearer("Hook"), options={"secrets": secrets})
        self.nasty.knows["Hook"] = texts

    def providers(self) -> None:
        tokens = [self.slate.value(f"token {number} of the provider", "-._~+/x==") for number in (1, 2, 3)]
        self.nasty.tokens = iter([*tokens, *[tokens[-1]] * 1000])
        self.nasty.parts |= {"token": ("token",), "notoken": ("no token",)}
        self.add("Oauth", 401, 422, auth=self._oauth("Oauth", "token", "basic"))
        self.add("OauthPost", auth=self._oauth("OauthPost", "token", "post"))
        self.add("OauthRefused", auth=self._oauth("OauthRefused", "notoken", "post"))

    def _oauth(self, name: str, place: str, way: str) -> dict[str, Json]:
        client = {"client_id": "hms", "client_secret": self.slate.refer(f"the client secret of {name}")}
        return {"oauth2": {**client, "token_url": f"{self.nasty.url}/{place}", "client_auth": way}}

    def roads(self) -> None:
        self.nasty.parts["CONNECT"] = (407,)
        self.add("Proxy", proxy=self._proxy("Proxy", self.nasty.port))
        tunnel = self._proxy("Tunnel", self.nasty.port)
        self.add("Tunnel", proxy=tunnel, transport="requests", url=f"https://127.0.0.1:{self.tls_port}/Tunnel")
        self.add("ProxyGone", proxy=self._proxy("ProxyGone", self.closed))
        self.add("Nobody", auth=self.bearer("Nobody"), url=f"http://127.0.0.1:{self.closed}/Nobody")
        over_tls = f"https://localhost:{self.tls_port}"
        ours = {"ca": str(self.pki.ca_file), "cert": str(self.pki.client)}
        self.add("Mutual", auth=self.bearer("Mutual"), tls=ours, url=f"{over_tls}/Mutual")
        lines = self.pki.client.read_text().splitlines()
        self.slate.take("the key of our certificate", lines[1])
        wrong = {**ours, "ca": str(self.pki.other_ca_file)}
        self.add("WrongServer", auth=self.bearer("WrongServer"), tls=wrong, url=f"{over_tls}/WrongServer")
        junk = self.slate.folder / "junk.pem"
        content = self.slate.value("a key that is none")
        junk.write_text(f"-----BEGIN PRIVATE KEY-----\n{content}\n-----END PRIVATE KEY-----\n")
        self.add("Junk", tls={**ours, "key": str(junk)}, url=f"{over_tls}/Junk")

    def _proxy(self, name: str, port: int) -> str:
        password = self.slate.value(f"the password at the proxy of {name}", HARD + "@:#?")
        return f"http://hms:{self.slate.refer('', quote(password, safe=''))}@127.0.0.1:{port}"

    def config(self, dsn: str) -> str:
        """The file; JSON is YAML."""
        failing = {"fields": {"id": "id", "title": {"from": "title", "map": {"never": "this"}}}}
        return simplejson.dumps(
            {
                "version": 1,
                "database": {"dsn": self.slate.refer("", dsn)},
                "capture": {"hearing": {"table": "public.hearing"}},
                "connectors": self.connectors,
                "mappings": {
                    "row": {"fields": {"id": "id", "title": "title"}},
                    "diary": MAPPINGS["for_diary"],
                    "feature": PERMIT,
                    "failing": failing,
                },
                "daemon": {"lease": "8s", "soft_deadline": "200ms", "witness": "state/witness"},
                "web": {"listen": f"127.0.0.1:{free_port()}"},
            },
            indent=1,
        )
