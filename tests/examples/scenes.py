"""The server of each example, what an integrator sets for it, and somebody else's look at what arrived there."""

from __future__ import annotations

import re
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import requests
from psycopg.conninfo import make_conninfo

from tests.examples.channels import secure_channels
from tests.examples.play import Scene, Stage, Table, contents
from tests.feature_service import TOKEN, feature_service
from tests.fixtures.mariadb import MariaDb
from tests.journals import Folder
from tests.maps import Maps
from tests.receivers import kinto, s3_client, seaweedfs, wsgidav
from tests.servers import Radicale, radicale
from tests.webhooks.receiver import receiving

HOOK_SECRET = "whsec_" + b64encode(bytes(range(32))).decode()
ADDRESS_BOOK = b"""<?xml version="1.0"?><mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">
<set><prop><resourcetype><collection/><C:addressbook/></resourcetype></prop></set></mkcol>"""
DOCUMENT = Table(
    "hms.document",
    "content",
    "convert_to(%(text)s, 'UTF8')",
    {"title": "'A ruling'", "classification": "'public'", "content_type": "'application/pdf'"},
)
RECORDING = Table("hms.recording", "file", others={"case_no": "'A-17'", "title": "'A hearing'"})
SCHEDULE = Table("public.hearing_schedule", "case_number")


Setting: TypeAlias = Callable[[Stage], AbstractContextManager[Scene]]


@contextmanager
def caldav(stage: Stage) -> Iterator[Scene]:
    with radicale(stage.servers) as server:
        environment = {"CALENDAR_URL": server.collection, **_login("CALENDAR", server.user, server.password)}
        times = {"room": "'A101'", "starts_at": "now()", "ends_at": "now() + interval '1 hour'"}
        looks = {"Calendar": lambda: sorted(map(_event, server.entries().values()))}
        yield Scene(environment, Table("public.hearing", others=times), looks, ["Calendar"], "Second CANCELLED")


def _event(text: str) -> str:
    summary = re.findall(r"^SUMMARY:(.*?)\r?$", text, re.MULTILINE)
    return " ".join(summary + re.findall("^STATUS:(CANCELLED)", text, re.MULTILINE))


@contextmanager
def carddav(stage: Stage) -> Iterator[Scene]:
    """The plug-in is found beside us, where pip has put it."""
    site: Path = stage.request.getfixturevalue("carddav_site")
    with radicale(stage.servers) as server:
        book = f"{server.url}/{server.user}/contacts/"
        assert server.request("MKCOL", book, ADDRESS_BOOK).status_code == 201
        environment = {"CARDDAV_URL": book, **_login("CARDDAV", server.user, server.password), "PYTHONPATH": str(site)}
        yield Scene(environment, Table("public.person", "name"), {"AddressBook": lambda: _names(server, book)})


def _names(server: Radicale, book: str) -> list[str]:
    cards = server.entries(book).values()
    return sorted(line[3:] for card in cards for line in card.splitlines() if line.startswith("FN:"))


@contextmanager
def http(stage: Stage) -> Iterator[Scene]:
    login = ("hms", "secret")
    with kinto(stage.servers) as records:
        root, _, _ = records.partition("/buckets/")
        mirror = f"{root}/buckets/court/collections/mirror"
        assert requests.put(mirror, auth=login, timeout=10).status_code == 201

        def titles(url: str) -> list[str]:
            return sorted(each["title"] for each in requests.get(url, auth=login, timeout=10).json()["data"])

        environment = {
            "DOCKET_URL": records.removesuffix("/records"), "MIRROR_URL": f"{root}/", **_login("DOCKET", *login)
        }  # fmt: skip
        looks = {"Docket": lambda: titles(records), "Mirror": lambda: titles(f"{mirror}/records")}
        yield Scene(environment, Table("public.hearing", others={"room": "'A101'", "starts_at": "now()"}), looks)


@contextmanager
def webhook(_stage: Stage) -> Iterator[Scene]:
    """What somebody holds who follows the events, each of which the reference libraries verify and read."""
    with receiving(HOOK_SECRET) as receiver:

        def held() -> list[str]:
            told: dict[str, str] = {}
            for request in list(receiver.seen):
                event = request.event()
                about = event.get_attributes()
                if "probe" in about["subject"]:
                    continue  # of verify-receiver, which also tries what must be refused
                request.verified(HOOK_SECRET)
                if about["type"] == "gov.court.hearing.upsert":
                    told[about["subject"]] = event.get_data()["case"]
                elif about["type"] == "gov.court.hearing.delete":
                    del told[about["subject"]]
            return sorted(told.values())

        environment = {"HOOK_URL": receiver.url, "HOOK_SECRET": HOOK_SECRET}
        yield Scene(environment, SCHEDULE, {"CourtHook": held}, ["CourtHook"])


@contextmanager
def file(stage: Stage) -> Iterator[Scene]:
    journal = Folder(stage.servers)

    def held() -> list[str]:
        told: dict[str, str] = {}
        for line in journal.lines():
            if line["action"] == "upsert":
                told[line["record_key"]] = line["data"]["case"]
            else:
                del told[line["record_key"]]
        return sorted(told.values())

    yield Scene({"ARCHIVE_URL": journal.url}, SCHEDULE, {"Archive": held}, ["Archive"])


@contextmanager
def sql(stage: Stage) -> Iterator[Scene]:
    server: MariaDb = stage.request.getfixturevalue("mariadb")
    shutil.copy(server.folder / "ca.pem", stage.folder / "archive-ca.pem")
    database = server.create()
    try:
        server.query((stage.folder / "platform.sql").read_text(), database=database)
        url = f"mariadb://localhost:{server.port}/{database}"
        more = {"starts_at": "now()", "fee": "12.5", "parties": '\'["A", "B"]\'', "ruling": r"'\x00ff'"}

        def titles() -> list[str]:
            return [title for (title,) in server.query("SELECT title FROM hearing ORDER BY title", database=database)]

        environment = {"ARCHIVE_URL": url, "ARCHIVE_PASSWORD": server.password}
        yield Scene(environment, Table("public.hearing", others=more), {"Archive": titles}, ["Archive"])
    finally:
        server.drop(database)


@contextmanager
def webdav(stage: Stage) -> Iterator[Scene]:
    with wsgidav(stage.servers) as url:
        court = stage.servers / "files" / "court"
        court.mkdir()
        environment = {"ARCHIVE_URL": f"{url}/court", **_login("ARCHIVE", "hms", "secret")}
        looks = {"Archive": lambda: sorted(contents(court, "documents/document-*.pdf"))}
        yield Scene(environment, DOCUMENT, looks)


@contextmanager
def documents(stage: Stage) -> Iterator[Scene]:
    """Each row names a file that holds its own name; only the folder of the files is another one here."""
    files = stage.place("documents")
    for name in ("First", "Second", "Changed"):
        (files / name).write_text(name)
    config = stage.folder / "sync-config.yml"
    config.write_text(config.read_text().replace("/srv/hms/documents", str(files)))
    with wsgidav(stage.servers) as url:
        court = stage.servers / "files" / "court"
        court.mkdir()
        environment = {"ARCHIVE_URL": f"{url}/court", **_login("ARCHIVE", "hms", "secret")}
        yield Scene(environment, RECORDING, {"Archive": lambda: sorted(contents(court, "recordings/recording-*"))})


@contextmanager
def s3(stage: Stage) -> Iterator[Scene]:
    with seaweedfs(stage.servers) as url:
        environment = {"BUCKET_URL": f"{url}/published", "BUCKET_KEY_ID": "test", "BUCKET_SECRET": "testsecret"}
        yield Scene(environment, DOCUMENT, {"Bucket": lambda: sorted(_objects(url))}, ["Bucket"])


def _objects(url: str) -> Iterator[str]:
    endpoint, _, bucket = url.rpartition("/")
    client = s3_client(endpoint)
    for each in client.list_objects_v2(Bucket=bucket, Prefix="published/document/").get("Contents", []):
        with suppress(client.exceptions.NoSuchKey):
            yield client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read().decode()


@contextmanager
def wfs(stage: Stage) -> Iterator[Scene]:
    yield _on_the_map(stage, "wfs", "patrol_area", _areas(25832, "fee"))


@contextmanager
def ogc_features(stage: Stage) -> Iterator[Scene]:
    yield _on_the_map(stage, "ogc_features", "patrol_areas", _areas(4326, "fee"))


def _areas(srid: int, *more: str) -> Table:
    corner = "0 0, 1000 0, 1000 1000, 0 0" if srid == 25832 else "13.4 52.5, 13.5 52.5, 13.5 52.6, 13.4 52.5"
    shape = f"ST_GeomFromText('POLYGON(({corner}))', {srid})"
    return Table("public.patrol_area", "name", others={"shape": shape, **dict.fromkeys(more, "12.5")})


def _on_the_map(stage: Stage, kind: str, layer: str, table: Table) -> Scene:
    """The application's database has PostGIS too, so it is on the server of the map."""
    maps: Maps = stage.request.getfixturevalue("maps")

    def names() -> list[str]:
        return [name for (name,) in maps.rows(f"SELECT name FROM {layer} ORDER BY name")]

    environment = {"MAPS_URL": maps.address(kind), **_login("MAPS", "hms", "secret")}
    return Scene(environment, table, {"CityMap": names}, dsn=_with_postgis(maps))


def _with_postgis(maps: Maps) -> str:
    name = f"office_{uuid4().hex[:12]}"
    maps.rows(f"CREATE DATABASE {name}")
    return make_conninfo(maps.dsn, dbname=name)


@contextmanager
def arcgis(stage: Stage) -> Iterator[Scene]:
    maps: Maps = stage.request.getfixturevalue("maps")
    with feature_service() as layer:
        layer.required = ("name",)

        def names() -> list[str]:
            return sorted(each["attributes"]["name"] for each in list(layer.features.values()))

        environment = {"LAYER_URL": layer.url, "ARCGIS_TOKEN": TOKEN}
        yield Scene(environment, _areas(4326), {"CityMap": names}, dsn=_with_postgis(maps))


def _login(prefix: str, user: str, password: str) -> dict[str, str]:
    return {f"{prefix}_USER": user, f"{prefix}_PASSWORD": password}


SCENES: dict[str, Setting] = {
    "arcgis": arcgis,
    "caldav": caldav,
    "documents": documents,
    "file": file,
    "http": http,
    "ogc_features": ogc_features,
    "plugins/carddav": carddav,
    "s3": s3,
    "secure-channels": secure_channels,
    "sql": sql,
    "webdav": webdav,
    "webhook": webhook,
    "wfs": wfs,
}
