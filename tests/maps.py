"""QGIS Server on PostGIS, both from Debian: tables of PostGIS served as OGC API Features and as WFS, for everybody.

PostGIS runs in a PostgreSQL of its own; QGIS Server is a FastCGI program behind nginx, as it is installed in offices.
(Its development server ``qgis_mapserver`` never answers a body with an umlaut.)
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.fixtures.debian import cannot_run, require_program
from tests.fixtures.server import start_embedded
from tests.servers import free_port, running

_PROGRAM = Path("/usr/lib/cgi-bin/qgis_mapserv.fcgi")
_POSTGIS = Path("/usr/share/postgresql/15/extension/postgis.control")
_POSTGRESQL = "/usr/lib/postgresql/15/bin"
TABLES = """
CREATE EXTENSION postgis;
CREATE TABLE area (fid serial PRIMARY KEY, external_id text UNIQUE, title text NOT NULL, fee numeric(12,2),
                   starts timestamptz, day date, open boolean, geom geometry(Polygon, 25832));
CREATE TABLE permit (fid serial PRIMARY KEY, external_id text, title text NOT NULL, geom geometry(Point, 4326));
CREATE TABLE effect (external_id text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    INSERT INTO effect VALUES (coalesce(NEW.external_id, OLD.external_id));
    RETURN NULL;
END$$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON area FOR EACH ROW EXECUTE FUNCTION watch();
"""
_EXAMPLES = Path(__file__).parents[1] / "examples"
# A project written by hand is not accepted, so QGIS itself makes it.
_PROJECT = """
import sys
from qgis.core import QgsApplication, QgsCoordinateReferenceSystem, QgsDataSourceUri, QgsProject, QgsVectorLayer
path, host, port, database, user, password, *layers = sys.argv[1:]
application = QgsApplication([], False)
application.initQgis()
project = QgsProject.instance()
for name, srid in (each.split(":") for each in layers):
    uri = QgsDataSourceUri()
    uri.setConnection(host, port, database, user, password)
    uri.setDataSource("public", name, "geom", "", "fid")
    uri.setSrid(srid)
    layer = QgsVectorLayer(uri.uri(False), name, "postgres")
    assert layer.isValid(), name
    project.addMapLayer(layer)
layers = list(project.mapLayers())
project.setCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
project.writeEntry("WFSLayers", "/", layers)
for operation in ("Insert", "Update", "Delete"):
    project.writeEntry("WFSTLayers", operation, layers)
assert project.write(path)
application.exitQgis()
"""
_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}
http {{ access_log off; client_max_body_size 64m;
client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/fastcgi;
proxy_temp_path {folder}/proxy; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
server {{ listen 127.0.0.1:{port}; location / {{ fastcgi_pass unix:{socket};
fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
fastcgi_param REQUEST_URI $request_uri; fastcgi_param SERVER_PROTOCOL $server_protocol;
fastcgi_param SERVER_NAME $server_name; fastcgi_param SERVER_PORT $server_port; }} }} }}
"""


@dataclass(frozen=True)
class Maps:
    """A running QGIS Server; ``rows`` is somebody else's look into PostGIS."""

    url: str
    dsn: str

    def address(self, kind: str) -> str:
        return f"{self.url}/{'ows' if kind == 'wfs' else 'wfs3'}"

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            done = connection.execute(statement, parameters or None)
            return done.fetchall() if done.description else []


@contextmanager
def qgis(folder: Path) -> Iterator[Maps]:
    """Run both; what is not installed is said loudly."""
    nginx = require_program("nginx", "nginx")
    python = require_program("python3", "python3-qgis")
    if not _PROGRAM.exists():
        cannot_run("QGIS Server is not installed (Debian: apt-get install qgis-server qgis-providers python3-qgis)")
    if not _POSTGIS.exists():
        cannot_run("PostGIS is not installed (Debian: apt-get install postgresql-15-postgis-3)")
    with ExitStack() as stack:
        database = start_embedded(_POSTGRESQL)
        stack.callback(database.stop)
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            connection.execute(TABLES)
            for kind in ("wfs", "ogc_features"):
                connection.execute((_EXAMPLES / kind / "platform.sql").read_text())
        project = _project(folder, database.dsn, "/usr/bin/python3" if Path("/usr/bin/python3").exists() else python)
        stack.enter_context(_fastcgi(folder, project))
        port = free_port()
        (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, socket=folder / "qgis.sock"))
        command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        stack.enter_context(running(command, port, folder / "nginx.log"))
        yield Maps(f"http://127.0.0.1:{port}", database.dsn)


def _project(folder: Path, dsn: str, python: str) -> Path:
    """A QGIS project with all tables, which may be written to."""
    path, server = folder / "project.qgs", conninfo_to_dict(dsn)
    places = [str(server[name]) for name in ("host", "port", "dbname", "user", "password")]
    command = [python, "-c", _PROJECT, str(path), *places, *_layers(dsn)]
    done = subprocess.run(command, env=_environment(folder), capture_output=True, text=True, check=False, timeout=120)
    assert path.exists(), done.stderr
    return path


def _layers(dsn: str) -> list[str]:
    """Each table with a geometry, and its reference system."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT f_table_name, srid FROM geometry_columns").fetchall()
    return [f"{name}:{srid}" for name, srid in found]


def _environment(folder: Path) -> dict[str, str]:
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
    }


@contextmanager
def _fastcgi(folder: Path, project: Path) -> Iterator[None]:
    """QGIS Server takes its connections from the listening socket that it finds as its standard input."""
    environment = _environment(folder) | {"QGIS_PROJECT_FILE": str(project), "QGIS_SERVER_LOG_STDERR": "1"}
    with socket.socket(socket.AF_UNIX) as listener, (folder / "qgis.log").open("wb") as log:
        listener.bind(str(folder / "qgis.sock"))
        listener.listen(64)
        with subprocess.Popen([_PROGRAM], stdin=listener.fileno(), stdout=log, stderr=log, env=environment) as process:
            try:
                yield
            finally:
                process.terminate()
