"""What others wrote, before it is kept or shown: without control characters, and without secrets.

A platform gives a secret back in whatever form it likes: in JSON, in an address, in a page, in base64. It is looked for
by plain search, because outcomes are many and their texts short. What is cut ends in an ellipsis, so that the half of a
secret that may stand before it is found, too.
"""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

import simplejson

CUT = "…"
_UNUSUAL = re.compile(r"[^ -~]")
_INSTEAD = "***"
_ESCAPED = "what it says is withheld, because a secret stands in it, escaped more than once"
_BASE64_FROM = 6
"""Of anything shorter the base64 is so short that it would be found everywhere."""
_HALF = 4
"""So many characters at the end of what was cut are taken for the beginning of a secret."""


def printable(text: str, limit: int) -> str:
    """At most ``limit`` characters, then an ellipsis; control characters escaped, for logs and the audit."""
    return _UNUSUAL.sub(_escaped, text[:limit]) + CUT * (len(text) > limit)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else found[0].encode("unicode_escape").decode()


class Defect(Exception):
    """Stands for an error in a log: its words without secrets, and its traceback."""


def defect(error: BaseException, shown: Iterable[str]) -> Defect:
    """What a log may say of ``error``; its causes are left out, because they may say it all again."""
    forms = tuple(shown)
    words = hide(f"{error}{CUT}", forms)  # whoever made it may have cut what it quotes
    bare = words.replace("\\", "")
    if hide(bare, [form.replace("\\", "") for form in forms]) != bare:
        words = _ESCAPED
    return Defect(f"{type(error).__name__}: {words.removesuffix(CUT)}").with_traceback(error.__traceback__)


def hide(text: str, shown: Iterable[str]) -> str:
    """``text`` without what :func:`shown_as` names."""
    if not text:
        return text
    forms = tuple(shown)
    for form in forms:
        text = text.replace(form, _INSTEAD)
    *cut, last = text.split(CUT)
    return CUT.join([*(_without_half(part, forms) for part in cut), last])


def _without_half(part: str, forms: Iterable[str]) -> str:
    for form in forms:
        for size in range(len(form) - 1, _HALF - 1, -1):
            if part.endswith(form[:size]):
                return part[:-size] + _INSTEAD
    return part


@lru_cache(maxsize=64)
def shown_as(secrets: frozenset[str]) -> tuple[str, ...]:
    """Every text that gives one of the secrets away, the longest first."""
    found = {form for secret in secrets if secret for form in _forms(secret)}
    return tuple(sorted(found, key=len, reverse=True))


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield printable(secret, len(secret))
    for encoded in (quote(secret), quote(secret, safe=""), quote(secret, safe="!'()*"), quote_plus(secret)):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    for ascii_only in (True, False):
        document = simplejson.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield document
        yield document.replace("/", "\\/")
    yield html.escape(secret)
    yield html.escape(secret).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    yield html.escape(secret, quote=False)
    for shown in (repr(secret)[1:-1], repr(secret.encode())[2:-1]):
        yield shown.replace("\\'", "'")
        yield shown.replace("\\'", "'").replace("'", "\\'")
    if len(secret) >= _BASE64_FROM:
        yield from _base64(secret.encode())


def _base64(content: bytes) -> Iterator[str]:
    """The characters that this content alone decides, wherever in a longer one it begins."""
    for before in range(3):
        text = b64encode(bytes(before) + content).decode()
        decided = text[(before * 8 + 5) // 6 : (before + len(content)) * 8 // 6]
        yield decided
        yield decided.replace("+", "-").replace("/", "_")
