"""Scratch objects carry the mark of their number, put there as real objects get theirs."""

from __future__ import annotations

from uuid import UUID, uuid5

from connectors.stamps import Stamp, StampCodec

_NAMES = UUID("0f6c8a1e-3a53-5f5a-9a52-0b1d5cf0a6d4")
_FIRST = 1_000_000_000
"""The stamp of number 0: stamps of ten digits have all the same length."""


def with_number(codec: StampCodec, name: str, number: int, body: bytes) -> bytes:
    """``body`` as the ``number``-th version of the object ``name``; all versions have one length."""
    stamped = codec.put(Stamp(uuid5(_NAMES, f"{name} {number}"), _FIRST + number, 1, 0), body)
    assert stamped is not None  # noqa: S101 - our own object has a place for it
    return stamped


def number_of(codec: StampCodec, body: bytes) -> int | None:
    """Which version ``body`` is; None when it bears no mark of ours."""
    stamp = codec.read(body)
    return None if stamp is None else stamp.change_id - _FIRST
