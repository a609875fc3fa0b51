"""A receiver that does what no server should, and the answers that a sender must survive."""

from tests.hostile.receiver import Behaviour, Hostile, Peer, Received, hostile
from tests.hostile.talk import (
    OK,
    answers,
    answers_then_closes,
    applies_and_closes_on_reuse,
    deaf,
    drips,
    floods,
    gzip_bomb,
    resets,
    silent,
)

__all__ = [
    "OK",
    "Behaviour",
    "Hostile",
    "Peer",
    "Received",
    "answers",
    "answers_then_closes",
    "applies_and_closes_on_reuse",
    "deaf",
    "drips",
    "floods",
    "gzip_bomb",
    "hostile",
    "resets",
    "silent",
]
