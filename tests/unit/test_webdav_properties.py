"""The XML of file servers: what is asked, and answers that are no answers."""

from __future__ import annotations

import pytest

from connectors.webdav.properties import ETAG, STAMP, ask, change, read

ANSWER = b"""<?xml version="1.0"?><D:multistatus xmlns:D="DAV:" xmlns:o="urn:x-hms-sync"><D:response><D:href>/f</D:href>
<D:propstat><D:prop><D:getetag>"1-2"</D:getetag></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><o:stamp/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>
</D:response></D:multistatus>"""
LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>
<multistatus xmlns="DAV:"><response><propstat><prop><getetag>&b;</getetag></prop>
<status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"""


def test_what_is_there_and_what_is_not_are_told_apart() -> None:
    properties = read(ANSWER)
    assert properties is not None
    assert (properties.found, properties.refused) == ({ETAG: '"1-2"'}, {STAMP: 404})


@pytest.mark.parametrize("body", [b"", b"<a", b"{}", LAUGHS, b"\xff\xfe", ANSWER[:-10], b"<a>" * 100_000])
def test_an_answer_that_is_none_says_nothing(body: bytes) -> None:
    assert read(body) is None


def test_a_status_that_is_none_is_no_success() -> None:
    properties = read(ANSWER.replace(b"HTTP/1.1 200 OK", b"fine"))
    assert properties is not None
    assert properties.found == {}


def test_values_are_written_so_that_they_are_read_again() -> None:
    written = change({STAMP: "a <b> & ä", ETAG: ""})
    assert b"a &lt;b&gt; &amp; \xc3\xa4" in written
    assert STAMP.partition("}")[2].encode() in ask(STAMP)
