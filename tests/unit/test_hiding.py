"""A secret is found in every form that somebody gives it back in, also where a cut has left half of it."""

from __future__ import annotations

import html
import logging
import re
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest
import simplejson

from connectors.answers import answer, classify, redacted
from connectors.exchange import HttpResponse
from connectors.hiding import defect, hide, printable, shown_as
from outbox.model import Applied

SECRET = "t0p\"s\\3/cr&=%+<>' é\tz"
SHOWN = shown_as(frozenset({SECRET}))
LONG = "t0ps3cret-t0ps3cret-t0ps3cret"
FORMS = {
    "as it is": SECRET,
    "for a log": printable(SECRET, 99),
    "address": quote(SECRET, safe=""),
    "address in small letters": re.sub(r"%..", lambda match: match[0].lower(), quote(SECRET, safe="")),
    "path": quote(SECRET),
    "form": quote_plus(SECRET),
    "JavaScript": quote(SECRET, safe="!'()*"),
    "JSON": simplejson.dumps(SECRET),
    "JSON with umlauts": simplejson.dumps(SECRET, ensure_ascii=False),
    "JSON of PHP": simplejson.dumps(SECRET).replace("/", "\\/"),
    "Python": repr(SECRET),
    "Python between other quotes": repr(SECRET).replace("\\'", "'"),
    "bytes of Python": repr(SECRET.encode()),
    "page": html.escape(SECRET),
    "page of Go": html.escape(SECRET).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "base64": b64encode(SECRET.encode()).decode(),
    "base64 behind a user": b64encode(f"hms:{SECRET}".encode()).decode(),
    "base64 behind another user, in an address": urlsafe_b64encode(f"clerk:{SECRET} and more".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_hidden_in_every_form(form: str) -> None:
    hidden = hide(f"you sent <{FORMS[form]}>", SHOWN)
    assert "***" in hidden
    assert len(hidden) < len(FORMS[form])


@pytest.mark.parametrize("kept", range(1, 40))
def test_a_cut_leaves_no_half_of_a_secret(kept: int) -> None:
    assert "t0ps" not in hide(printable(f"you sent {LONG}", kept), [LONG])


def test_an_answer_that_broke_off_inside_of_a_secret_shows_no_half_of_it() -> None:
    response = HttpResponse(500, {}, b"you sent t0ps3cret-t0ps", complete=False)
    assert redacted(classify(response), [LONG]).answer.excerpt == "you sent ***…"


def test_where_the_rest_of_an_answer_is_not_looked_at_no_half_is_left() -> None:
    response = HttpResponse(500, {}, LONG.encode() * 1000)
    assert "t0ps" not in redacted(classify(response), [LONG]).answer.excerpt


def test_a_redirect_to_a_long_address_shows_no_half_of_a_secret() -> None:
    for length in range(150, 210):
        response = HttpResponse(302, {"location": f"https://{'x' * length}?token={LONG}"})
        assert "t0ps" not in repr(redacted(classify(response), [LONG]))


def test_an_id_or_a_version_with_a_secret_in_it_is_none() -> None:
    outcome = Applied(answer(HttpResponse(201)), "order-t0ps3cret", '"t0ps3cret"')
    assert redacted(outcome, ["t0ps3cret"]) == Applied(outcome.answer)
    assert redacted(outcome, ["order"]) == outcome, "a short word stands there by chance"


def test_a_defect_in_a_log_shows_its_place_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    words = "t0ps3cret"
    try:
        try:
            raise KeyError(words)
        except KeyError as cause:
            raise ValueError(f"cannot read {words}") from cause
    except ValueError as error:
        logging.getLogger("connectors").exception("failed", exc_info=defect(error, [words]))
    assert "ValueError: cannot read ***" in caplog.text
    assert "test_hiding.py" in caplog.text
    assert words not in caplog.text.replace('words = "t0ps3cret"', "")


def test_a_secret_that_is_escaped_twice_withholds_the_words_of_a_defect() -> None:
    words = simplejson.dumps(f"you sent {SECRET}").encode()
    told = str(defect(ValueError(f"cannot read {words!r}"), SHOWN))
    assert told == "ValueError: what it says is withheld, because a secret stands in it, escaped more than once"
