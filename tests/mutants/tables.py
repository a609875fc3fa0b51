"""All mutants, room by room."""

from __future__ import annotations

from tests.mutants import (
    admission,
    capture,
    claims,
    flow,
    house,
    lineage,
    outside,
    receivers,
    renewal,
    sending,
    settling,
    targets,
)

MUTANTS = (
    *claims.MUTANTS,
    *settling.MUTANTS,
    *flow.MUTANTS,
    *sending.MUTANTS,
    *receivers.MUTANTS,
    *renewal.MUTANTS,
    *targets.MUTANTS,
    *outside.MUTANTS,
    *admission.MUTANTS,
    *lineage.MUTANTS,
    *capture.MUTANTS,
    *house.MUTANTS,
)
