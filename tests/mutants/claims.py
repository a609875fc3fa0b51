"""Claiming: whose lane it is, which rows a claim names, what an heir takes up, what may be sent when."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LEDGER, PAGER, WORKER = "outbox/sql/ledger.sql", "cdc/lane/pager.py", "cdc/lane/worker.py"
LANE, EDGES = "tests/integration/test_lane.py::", "tests/integration/test_protocol_edges.py::"
FENCING = "tests/integration/test_fencing.py::"

MUTANTS = (
    Mutant(
        "owner-at-claim",
        "a lane is taken only when nobody holds it, or his lease is over",
        "outbox/sql/lanes.sql",
        "      AND (owner IS NULL OR leased_until <= clock_timestamp())\n    ORDER BY random()",
        "    ORDER BY random()",
        f"{FENCING}test_a_lane_in_good_hands_is_not_taken",
    ),
    Mutant(
        "epoch-at-write",
        "nothing is written under an old epoch",
        LEDGER,
        "AND owner = %(owner)s AND epoch = %(epoch)s\n  AND leased_until > clock_timestamp()\nFOR UPDATE",
        "AND owner = %(owner)s\n  AND leased_until > clock_timestamp()\nFOR UPDATE",
        f"{FENCING}test_an_old_epoch_writes_nothing_though_the_owner_is_the_same",
    ),
    Mutant(
        "lease-at-write",
        "nothing is written when the lease is over",
        LEDGER,
        "  AND leased_until > clock_timestamp()\nFOR UPDATE",
        "FOR UPDATE",
        f"{FENCING}test_a_lease_that_is_over_writes_nothing_though_nobody_took_the_lane",
    ),
    Mutant(
        "owner-at-write",
        "a worker whose lane was taken over changes no state",
        LEDGER,
        "AND owner = %(owner)s AND epoch = %(epoch)s\n  AND leased_until > clock_timestamp()\nFOR UPDATE",
        "AND leased_until > clock_timestamp()\nFOR UPDATE",
        f"{LANE}test_a_worker_without_its_lease_can_write_nothing",
    ),
    Mutant(
        "lease-over-stays-over",
        "a lease that is over is not extended",
        "outbox/sql/lanes.sql",
        "AND owner = %(owner)s AND epoch = %(epoch)s\n  AND leased_until > clock_timestamp()\nRETURNING connector",
        "AND owner = %(owner)s AND epoch = %(epoch)s\nRETURNING connector",
        f"{FENCING}test_a_lease_that_is_over_is_not_extended",
    ),
    Mutant(
        "durable-claim",
        "the claim's commit reaches the disk before the first byte leaves",
        "outbox/db.py",
        '"synchronous_commit": "on"',
        '"application_name": "hms"',
        f"{FENCING}test_a_claim_is_committed_to_the_disk_also_where_the_database_is_set_up_not_to",
    ),
    Mutant(
        "claim-before-send",
        "the claim of a page is in the ledger before its rows are sent",
        PAGER,
        "self._ledger.open_page(page_no, claim)",
        "del page_no",
        f"{LANE}test_the_heir_takes_up_only_what_has_no_place_yet",
    ),
    Mutant(
        "snapshot-condition",
        "a transaction at or above xmax of the snapshot is looked for later",
        LEDGER,
        "OR would walk the whole log behind the position.\n    (\n        SELECT c.id\n        FROM outbox.change c\n"
        "        WHERE c.xid",
        "OR would walk the whole log behind the position.\n    (\n        SELECT c.id\n        FROM outbox.change c\n"
        "        WHERE false AND c.xid",
        f"{LANE}test_a_transaction_newer_than_the_snapshot_is_found_too",
    ),
    Mutant(
        "straggler-scan",
        "a transaction that was open at the snapshot is looked for later",
        LEDGER,
        "WHERE pg_visible_in_snapshot(then_open.xid, pg_current_snapshot())  -- else",
        "WHERE false  -- else",
        f"{LANE}test_a_late_commit_below_the_position_is_found",
    ),
    Mutant(
        "straggler-wake-up",
        "a lane that knows of open transactions asks whether one has ended",
        PAGER,
        "return self.others_open and self._ledger.has_ended(self._token)",
        "return False",
        f"{LANE}test_a_late_commit_below_the_position_is_found",
    ),
    Mutant(
        "late-only-itself",
        "an open transaction delays only its own changes (here: news wait for the oldest one)",
        LEDGER,
        "WHERE c.id > %(position)s AND c.id <= (SELECT upto FROM scanned)",
        "WHERE c.id > %(position)s AND c.id <= (SELECT upto FROM scanned)"
        " AND c.xid < pg_snapshot_xmin(pg_current_snapshot())",
        f"{LANE}test_a_late_commit_below_the_position_is_found",
    ),
    Mutant(
        "lost-wake-up",
        "a look that found nothing counts only after an xid of our own was drawn",
        WORKER,
        "self._ledger.pass_running_transactions()",
        "pass",
        f"{LANE}test_the_newest_transaction_of_all_is_waited_for",
    ),
    Mutant(
        "claim-names-its-rows",
        "an heir reads the claim's rows and none that were committed later",
        LEDGER,
        "WHERE pg_visible_in_snapshot(c.xid, %(claim_seen)s::pg_snapshot)",
        "WHERE true",
        f"{EDGES}test_the_heir_of_a_claim_leaves_what_was_committed_later_to_the_next_page",
    ),
    Mutant(
        "recovery-minus-settled",
        "an heir does not take up what is settled",
        LEDGER,
        "a.change_id = c.id AND a.generation = 0",
        "a.change_id = -1 AND a.generation = 0",
        f"{LANE}test_the_heir_takes_up_only_what_has_no_place_yet",
    ),
    Mutant(
        "recovery-minus-open",
        "an heir does not take up what has a delivery of its own",
        LEDGER,
        "d.change_id = c.id OFFSET 0)",
        "d.change_id = -1 OFFSET 0)",
        f"{LANE}test_the_heir_takes_up_only_what_has_no_place_yet",
    ),
    Mutant(
        "heir-in-doubt",
        "what a dead owner had in its claim was perhaps sent",
        PAGER,
        "doubt=True, first_failed_at=claim.claimed_at",
        "first_failed_at=claim.claimed_at",
        f"{EDGES}test_a_replay_that_meets_its_record_in_a_dead_owners_claim_waits_for_it",
    ),
    Mutant(
        "heir-behind-intent",
        "behind a change whose intent was written nothing of its record was sent, and nothing passes it",
        LEDGER,
        "AND d.state = 'unknown' AND d.change_id < c.id",
        "AND d.state = 'unknown' AND d.change_id > c.id",
        "tests/integration/test_chaos_findings.py"
        "::test_after_a_take_over_nothing_passes_a_change_of_its_record_that_is_in_doubt[VERIFY]",
    ),
    Mutant(
        "lease-before-send",
        "each send proves the lease anew, also the second one of a page",
        WORKER,
        "self._sender.start(intended, self._prove_lease)",
        "self._sender.start(intended, lambda: None)",
        "tests/integration/test_chaos_findings.py"
        "::test_a_worker_that_was_stopped_between_two_sends_starts_no_second_one",
    ),
    Mutant(
        "deadline-inside-lease",
        "a send starts only when the lease outlives its deadline",
        "cdc/lane/policy.py",
        "return self.deadline_seconds + SEND_MARGIN_SECONDS",
        "return SEND_MARGIN_SECONDS",
        "tests/unit/test_lease.py::test_no_send_may_outlive_the_lease[10.0]",
    ),
    Mutant(
        "bounded-transaction",
        "a worker stopped inside a transaction does not keep its lane locked",
        WORKER,
        "self._ledger.bound_transactions(self._policy.lease_seconds)",
        "pass",
        f"{LANE}test_a_worker_stopped_inside_a_transaction_does_not_keep_its_lane",
    ),
    Mutant(
        "boottime-clock",
        "leases and deadlines run on while the machine sleeps",
        "connectors/clock.py",
        'getattr(time, "CLOCK_BOOTTIME", None)',
        "None",
        "tests/unit/test_lease.py::test_the_clock_is_the_one_that_runs_during_suspend",
    ),
    Mutant(
        "frozen-mapping",
        "a resend is mapped by the version that the claim pinned",
        "outbox/ledger.py",
        "return [self._row(row, claim.mapping_version) for row in rows]",
        'return [self._row(row, "m2") for row in rows]',
        f"{FENCING}test_a_claim_is_resent_under_the_mapping_that_it_was_sent_under",
    ),
    Mutant(
        "drain-claims-nothing",
        "a worker that ends takes no further page",
        "cdc/lane/settler.py",
        "turn = self._pager.turn() if turning and self._pager.ends_after(placed) else None",
        "turn = self._pager.turn() if self._pager.ends_after(placed) else None",
        f"{EDGES}test_draining_claims_no_further_page",
    ),
)
