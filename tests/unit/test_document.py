"""``output: document``: the content as it is, and what describes it."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.model import Action, FileContent, Json, Operation
from tests.unit.mapping_support import a_change, definition_refused, message
from transformers import TransformError, compile_mapping

PDF = b"%PDF-1.7 \x00\xff"
FIELDS = {"content": "scan", "content_type": "mime", "file_name": "title", "sha256": "digest", "case_no": "case"}
MAPPING = {"output": "document", "fields": FIELDS}


def row(content: bytes = PDF, **other: Json) -> dict[str, Json]:
    digest = "\\x" + sha256(content).hexdigest()
    return {
        "scan": f"\\x{content.hex()}",
        "mime": "application/pdf",
        "title": "R 7",
        "digest": digest,
        "case": 17,
    } | other


def refused(**other: Json) -> str:
    with pytest.raises(TransformError) as caught:
        message(MAPPING, a_change(row(**other)))
    return str(caught.value)


@given(st.binary(max_size=300))
def test_the_body_is_the_bytes_of_the_column(content: bytes) -> None:
    made = message(MAPPING, a_change(row(content)))
    assert made.body == content
    assert made.document["sha256"] == sha256(content).hexdigest()


def test_what_describes_it_goes_beside_it() -> None:
    made = message(MAPPING, a_change(row()))
    assert (made.content_type, made.metadata) == ("application/pdf", {"case_no": "17"})
    assert made.document["file_name"] == "R 7"
    assert made.document["size"] == len(PDF)
    assert "content" not in made.document


@given(st.text(max_size=50).filter(lambda text: "\0" not in text))
def test_text_is_written_as_utf_8_and_never_taken_for_hex(content: str) -> None:
    definition = MAPPING | {"document": {"content": "text"}}
    try:
        expected = content.encode()
    except UnicodeEncodeError:
        with pytest.raises(TransformError, match="is not text that can be written as UTF-8"):
            message(definition, a_change(row(scan=content, digest=None)))
        return
    assert message(definition, a_change(row(scan=content, digest=None))).body == expected


def test_the_checksum_of_the_application_is_held_against_the_content() -> None:
    assert "the content has another one" in refused(digest="00" * 32)
    assert "is not a SHA-256" in refused(digest="\\x00")
    assert message(MAPPING, a_change(row(digest=sha256(PDF).hexdigest().upper()))).body == PDF


@pytest.mark.parametrize("content", [None, 5, "6869", "\\x6", "\\xzz"])
def test_content_that_is_no_bytea_is_refused(content: Json) -> None:
    assert "mappings.m.content: " in refused(scan=content)


def test_a_content_that_capture_left_out_is_never_sent() -> None:
    assert "too large to be captured (900 bytes)" in refused(scan={"$oversized": 900})


def test_metadata_is_one_line_and_what_is_empty_is_left_out() -> None:
    made = message(MAPPING, a_change(row(case="a\r\nX-Evil: 1", title=None, mime=None)))
    assert made.metadata == {"case_no": "a  X-Evil: 1"}
    assert made.content_type == "application/octet-stream"
    assert "file_name" not in made.document
    assert message(MAPPING, a_change(row(case=None))).metadata == {}


@pytest.mark.parametrize("mime", ["pdf", "a/b\r\nX: 1", "a/b; c=\u00e4", "/"])
def test_a_media_type_that_is_none_is_refused(mime: str) -> None:
    assert "is not a media type" in refused(mime=mime)


def test_a_delete_needs_no_content() -> None:
    change = a_change(None, row(scan=None, digest=None), Operation.DELETE)
    made = message(MAPPING, change)
    assert (made.action, made.body, "sha256" in made.document) == (Action.DELETE, b"", False)
    assert made.document["case_no"] == "17"


def test_a_record_that_left_the_filter_is_a_delete_without_body() -> None:
    made = compile_mapping("m", MAPPING)(a_change(row()), action=Action.DELETE)
    assert made is not None
    assert (made.action, made.body) == (Action.DELETE, b"")


FILES = MAPPING | {"document": {"content": "file", "root": "/srv/documents"}}


def test_a_content_can_stay_in_a_file_that_the_row_names() -> None:
    made = message(FILES, a_change(row(scan="2026/r.pdf")))
    assert made.file == FileContent("/srv/documents", "2026/r.pdf", sha256(PDF).hexdigest())
    assert (made.body, made.content_type, made.metadata) == (b"", "application/pdf", {"case_no": "17"})
    assert (made.document["content"], made.document["sha256"]) == ("2026/r.pdf", sha256(PDF).hexdigest())
    assert "size" not in made.document
    assert message(FILES, a_change(row(scan="a", digest=None))).file == FileContent("/srv/documents", "a")
    assert compile_mapping("m", FILES).leaves_files
    assert not compile_mapping("m", MAPPING).leaves_files


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "", "a/", None, 5])
def test_a_name_that_is_none_is_refused_before_anything_is_opened(name: Json) -> None:
    with pytest.raises(TransformError, match=r"mappings\.m\.content: "):
        message(FILES, a_change(row(scan=name)))


def test_a_delete_names_no_file() -> None:
    made = compile_mapping("m", FILES)(a_change(row(scan="a")), action=Action.DELETE)
    assert made is not None
    assert (made.action, made.file) == (Action.DELETE, None)
    function = {"python": "tests.unit.mapping_plugins:names_a_file", "on": {"delete": {"as": "delete"}}}
    made = compile_mapping("m", function)(a_change(row()), action=Action.DELETE)
    assert made is not None
    assert (made.action, made.file) == (Action.DELETE, None)


@pytest.mark.parametrize(
    ("definition", "sentence"),
    [
        ({"output": "document", "fields": {"title": "title"}}, "a document needs content"),
        ({"output": "document", "fields": {"content": "c", "case-no": "c"}}, "cannot name metadata"),
        ({"output": "document", "fields": {"content": "c", "size": "c"}}, "cannot name metadata"),
        ({"output": "document", "document": {"content": "pdf"}, "fields": {"content": "c"}}, "expected one of bytes"),
        (
            {"output": "document", "document": {"content": "file"}, "fields": {"content": "c"}},
            "goes with content: file",
        ),
        ({"output": "document", "document": {"root": "/srv"}, "fields": {"content": "c"}}, "goes with content: file"),
        (
            {"output": "document", "document": {"content": "file", "root": "srv"}, "fields": {"content": "c"}},
            "document.root: expected the absolute path of a folder",
        ),
        (
            {"output": "document", "document": {"content": "file", "root": "/"}, "fields": {"content": "c"}},
            "document.root: expected the absolute path of a folder",
        ),
        ({"document": {}, "fields": {"content": "c"}}, "only for output: document"),
        ({"output": "document", "fields": {"content": "c"}, "schema": {}}, "a JSON Schema is for output: json"),
        (
            {"output": "document", "fields": {"content": "c"}, "on": {"delete": {"body": True}}},
            "a delete has no body",
        ),
    ],
)
def test_definitions_that_cannot_work_are_refused(definition: dict[str, Json], sentence: str) -> None:
    assert sentence in definition_refused(definition)
