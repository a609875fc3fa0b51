"""The XML of WebDAV that we need: our mark and what describes a file as properties of it, asked for and set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

OURS, METADATA = "urn:x-hms-sync", "urn:x-hms-sync:metadata"
STAMP = f"{{{OURS}}}stamp"
ETAG = "{DAV:}getetag"
_STATUS = re.compile(r"HTTP/[0-9.]+ ([0-9]{3})\b")


@dataclass(frozen=True, slots=True)
class Properties:
    """What a multi-status answer about one resource says: the properties that are there or were set, and the others."""

    found: Mapping[str, str]
    refused: Mapping[str, int]


def ask(*names: str) -> bytes:
    """The body of a PROPFIND for properties, each by its ``{namespace}name``."""
    root = Element("{DAV:}propfind")
    prop = SubElement(root, "{DAV:}prop")
    for name in names:
        SubElement(prop, name)
    return _written(root)


def change(values: Mapping[str, str]) -> bytes:
    """The body of a PROPPATCH that sets properties."""
    root = Element("{DAV:}propertyupdate")
    prop = SubElement(SubElement(root, "{DAV:}set"), "{DAV:}prop")
    for name, value in values.items():
        SubElement(prop, name).text = value
    return _written(root)


def _written(root: Element) -> bytes:
    written: bytes = tostring(root, "utf-8", xml_declaration=True)
    return written


def read(body: bytes) -> Properties | None:
    """The answer to either; None where it is none."""
    try:
        root = fromstring(body)
    except (ParseError, DefusedXmlException, ValueError):
        return None
    found: dict[str, str] = {}
    refused: dict[str, int] = {}
    for group in root.iterfind("{DAV:}response/{DAV:}propstat"):
        status = _STATUS.match(group.findtext("{DAV:}status", ""))
        for each in group.iterfind("{DAV:}prop/*"):
            if status is not None and status[1].startswith("2"):
                found[each.tag] = (each.text or "").strip()
            else:
                refused[each.tag] = int(status[1]) if status else 0
    return Properties(found, refused)
