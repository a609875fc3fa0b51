"""All mutants, room by room."""

from __future__ import annotations

from tests.mutants import capture, claims, house, receivers, sending, settling

MUTANTS = (
    *claims.MUTANTS,
    *settling.MUTANTS,
    *sending.MUTANTS,
    *receivers.MUTANTS,
    *capture.MUTANTS,
    *house.MUTANTS,
)
