"""What is said to a Web Feature Service and what it answers, as XML; answers are read without entities and DTDs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from xml.etree.ElementTree import Element, ParseError, SubElement, register_namespace, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from connectors.exchange import HttpResponse
from connectors.features.feature import Feature, Found
from connectors.wfs.gml import GML, local_name, read_shape, write_geometry
from connectors.wfs.options import WfsOptions
from outbox.model import Json

VERSION = "1.1.0"
_WFS = "http://www.opengis.net/wfs"
_OGC = "http://www.opengis.net/ogc"
_XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
for _prefix, _uri in (("wfs", _WFS), ("ogc", _OGC), ("gml", GML)):
    register_namespace(_prefix, _uri)


class Unwritable(Exception):
    """A value has no form in XML; the sentence names the property."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a transaction came to."""

    done: int
    message: str


# ---------------------------------------------------------------- requests


def insert(options: WfsOptions, feature: Feature) -> bytes:
    transaction, action = _transaction("Insert")
    space = f"{{{options.namespace}}}"
    element = SubElement(action, space + options.type_name)
    for name, value in feature.properties.items():
        if value is not None:
            SubElement(element, space + name).text = _text(name, value)
    if feature.geometry is not None:
        place = SubElement(element, space + options.geometry)
        write_geometry(place, feature.geometry, options.srs_name, swapped=options.axes == "yx")
    return _bytes(transaction)


def update(options: WfsOptions, feature: Feature, external_id: str) -> bytes:
    transaction, action = _transaction("Update")
    action.set("typeName", options.type_name)
    for name, value in feature.properties.items():
        _property(action, name, _text(name, value))
    place = _property(action, options.geometry, None if feature.geometry is None else "")
    if feature.geometry is not None and place is not None:
        write_geometry(place, feature.geometry, options.srs_name, swapped=options.axes == "yx")
    action.append(_named(external_id))
    return _bytes(transaction)


def delete(options: WfsOptions, external_id: str) -> bytes:
    transaction, action = _transaction("Delete")
    action.set("typeName", options.type_name)
    action.append(_named(external_id))
    return _bytes(transaction)


def equals(name: str, value: str) -> str:
    """The filter for one value of one property."""
    wanted = Element(f"{{{_OGC}}}Filter")
    comparison = SubElement(wanted, f"{{{_OGC}}}PropertyIsEqualTo")
    SubElement(comparison, f"{{{_OGC}}}PropertyName").text = name
    SubElement(comparison, f"{{{_OGC}}}Literal").text = _text(name, value)
    return tostring(wanted, encoding="unicode")


def _transaction(action: str) -> tuple[Element, Element]:
    element = Element(f"{{{_WFS}}}Transaction", {"service": "WFS", "version": VERSION})
    return element, SubElement(element, f"{{{_WFS}}}{action}")


def _property(action: Element, name: str, text: str | None) -> Element | None:
    """One changed property; without a value it becomes null."""
    changed = SubElement(action, f"{{{_WFS}}}Property")
    SubElement(changed, f"{{{_WFS}}}Name").text = name
    if text is None:
        return None
    value = SubElement(changed, f"{{{_WFS}}}Value")
    value.text = text
    return value


def _named(external_id: str) -> Element:
    wanted = Element(f"{{{_OGC}}}Filter")
    SubElement(wanted, f"{{{_OGC}}}FeatureId", {"fid": external_id})
    return wanted


def _text(name: str, value: Json) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict | list):
        raise Unwritable(f"its {name} is an object or a list; a property of a feature is one value")
    if isinstance(value, str) and _NOT_XML.search(value):
        raise Unwritable(f"its {name} holds a control character, which XML cannot carry")
    return None if value is None else str(value)


def _bytes(element: Element) -> bytes:
    return bytes(tostring(element, encoding="utf-8", xml_declaration=True))


# ---------------------------------------------------------------- answers


def document_of(response: HttpResponse) -> Element | None:
    """The root of a whole answer; None where it is no XML, or XML with a DTD."""
    if not response.complete:
        return None
    try:
        root: Element = fromstring(response.body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return root


def complaint(root: Element) -> str | None:
    """What an exception report says; None where the answer is none."""
    if not local_name(root).endswith("ExceptionReport"):
        return None
    return " ".join(" ".join(text.split()) for text in root.itertext() if text.strip())


def summary(root: Element) -> Summary | None:
    """What a transaction's answer says; None where it is another answer."""
    if local_name(root) != "TransactionResponse":
        return None
    names = ("totalInserted", "totalUpdated", "totalDeleted")
    totals = [int(each.text or 0) for each in root.iter() if local_name(each) in names]
    messages = [(each.text or "").strip() for each in root.iter() if local_name(each) == "Message"]
    return Summary(sum(totals), "; ".join(messages))


def features(root: Element, options: WfsOptions) -> Iterator[Found]:
    """The features of an answer, as the platform holds them."""
    for element in root.iter(f"{{{options.namespace}}}{options.type_name}"):
        external_id = element.get(f"{{{GML}}}id") or element.get("fid")
        if external_id is None:
            continue
        read = {local_name(child): child for child in element}
        place = read.pop(options.geometry, None)
        shape = [] if place is None else read_shape(place, swapped=options.axes == "yx")
        yield Found(external_id, {name: _value(child) for name, child in read.items()}, shape)


def _value(element: Element) -> str | None:
    return None if element.get(_XSI_NIL) in ("true", "1") else element.text or ""


def declared(root: Element) -> frozenset[str]:
    """The names of all elements that a description of a feature type declares."""
    return frozenset(name for each in root.iter() if local_name(each) == "element" and (name := each.get("name")))
