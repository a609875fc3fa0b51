"""The stand-in's rules: what it takes, what it refuses, and that it counts effects, not requests."""

from __future__ import annotations

from typing import Any

import pytest

from cdc.demo.register import DOCUMENTS, HEARINGS, Call, Register
from cdc.demo.scheduler_api import BadRequest, call_of
from cdc.demo.scheduler_page import render
from outbox.model import Json

HEARING = {
    "id": 7,
    "case_number": "CV-2026-00007",
    "title": "A v. B",
    "starts_at": "2026-12-07T09:00:00+01:00",
    "ends_at": "2026-12-07T10:00:00+01:00",
    "room": "A101",
    "status": "confirmed",
}


@pytest.fixture
def register() -> Register:
    return Register()


def post(register: Register, document: Json = HEARING, key: str | None = None) -> int:
    return register.answer(Call("POST", HEARINGS, None, document, key)).status


def put(register: Register, object_id: str, document: Json, key: str | None = None) -> int:
    return register.answer(Call("PUT", HEARINGS, object_id, document, key)).status


def test_a_hearing_is_created_changed_and_deleted(register: Register) -> None:
    assert post(register) == 201
    assert put(register, "7", {**HEARING, "room": "B001"}) == 200
    assert register.objects(HEARINGS) == [{**HEARING, "room": "B001"}]
    assert register.answer(Call("DELETE", HEARINGS, "7")).status == 204
    assert register.objects(HEARINGS) == []


def test_what_is_missing_cannot_be_changed_or_deleted(register: Register) -> None:
    assert put(register, "7", HEARING) == 404
    assert register.answer(Call("DELETE", HEARINGS, "7")).status == 404
    assert register.answer(Call("GET", HEARINGS, "7")).status == 404


def test_the_same_id_under_another_key_is_a_conflict(register: Register) -> None:
    assert post(register, key="one") == 201
    assert post(register, key="two") == 409
    assert post(register) == 409


def test_the_same_key_gets_the_first_answer_and_has_one_effect(register: Register) -> None:
    first = register.answer(Call("POST", HEARINGS, None, HEARING, "one"))
    again = register.answer(Call("POST", HEARINGS, None, HEARING, "one"))
    assert (again.status, again.document, again.applied) == (201, first.document, False)
    assert register.receipts()["by_key"] == {"one": 1}


def test_a_late_repeat_does_not_bring_a_deleted_hearing_back(register: Register) -> None:
    post(register, key="one")
    register.answer(Call("DELETE", HEARINGS, "7", None, "two"))
    assert post(register, key="one") == 201
    assert register.objects(HEARINGS) == []


def test_a_key_cannot_create_two_hearings(register: Register) -> None:
    assert post(register, key="one") == 201
    assert post(register, {**HEARING, "id": 8}, key="one") == 422


@pytest.mark.parametrize("field", ["id", "title", "room", "status"])
def test_a_missing_field_is_named(register: Register, field: str) -> None:
    reply = register.answer(Call("POST", HEARINGS, None, {**HEARING, field: None}))
    assert reply.status == 422
    assert reply.document["detail"] == f"missing: {field}"


def test_body_and_address_must_name_the_same_object(register: Register) -> None:
    post(register)
    assert put(register, "7", {**HEARING, "id": 8}) == 422


def test_only_effects_are_counted(register: Register) -> None:
    post(register, key="one")
    post(register, key="two")
    put(register, "7", HEARING, key="three")
    put(register, "7", HEARING, key="three")
    receipts = register.receipts()
    assert receipts["by_key"] == {"one": 1, "two": 0, "three": 2}
    assert receipts["by_object"] == {"hearings/7": 3}
    assert (receipts["received"], receipts["applied"]) == (4, 3)


def test_documents_are_made_by_put(register: Register) -> None:
    document = {"id": "d1", "title": "Annex", "sha256": "00", "content_type": "text/plain", "size_bytes": 3}
    answers = [register.answer(Call("PUT", DOCUMENTS, "d1", document)).status for _ in range(2)]
    assert answers == [201, 200]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/rooms", 404), ("GET", "/hearings/1/2", 404), ("POST", "/hearings/1", 405), ("PUT", "/hearings", 405)],
)
def test_wrong_addresses_and_methods_are_refused(method: str, path: str, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        call_of(method, path, None, None)
    assert refused.value.reply.status == status


def test_ids_may_hold_escaped_characters() -> None:
    assert call_of("GET", "/hearings/a%2Fb%20c", None, None).object_id == "a/b c"


def test_the_page_escapes_what_it_shows() -> None:
    hostile: dict[str, Any] = {**HEARING, "title": "<script>alert(1)</script>", "status": '"><b>'}
    page = render([hostile], applied=1)
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
