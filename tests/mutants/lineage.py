"""Lineage: only the accepted database is worked on, the witness is believed, and a rebase goes beyond what was lost."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

SENTINEL, JUDGE, SQL, REBASE = "cdc/sentinel.py", "outbox/lineage.py", "outbox/sql/lineage.sql", "outbox/rebase.py"
MODEL = "outbox/model.py"
DOOR, NUMBERS = "tests/integration/test_sentinel.py::", "tests/unit/test_lineage.py::test_each_difference_is_named"
ORDER, STAMPS = "tests/integration/test_lineage.py::", "tests/unit/test_stamps.py::"

MUTANTS = (
    Mutant(
        "lineage-at-start",
        "nothing starts on a database that is not the accepted one",
        SENTINEL,
        "self.look(connection)\n        self._no = found.no",
        "self._no = found.no",
        f"{DOOR}test_a_start_on_a_database_that_is_not_the_accepted_one_is_refused",
    ),
    Mutant(
        "lineage-of-lane",
        "a lane proves its own connection before it sends",
        "cdc/keeper.py",
        "berth.sentinel.prove(connection)\n            house",
        "house",
        f"{DOOR}test_a_lane_whose_own_connection_leads_elsewhere_does_not_begin",
    ),
    Mutant(
        "lineage-server",
        "a restored dump on another server is another database",
        JUDGE,
        "if here.system_identifier != accepted.system_identifier:",
        "if False:",
        f"{NUMBERS}[server]",
    ),
    Mutant(
        "lineage-timeline",
        "a promoted standby is not the server that was accepted",
        JUDGE,
        "if here.timeline != accepted.timeline:",
        "if False:",
        f"{NUMBERS}[timeline]",
    ),
    Mutant(
        "lineage-database",
        "the copy of a database does not deliver by accident",
        JUDGE,
        "if here.database != accepted.database:",
        "if False:",
        "tests/integration/test_restore.py::test_the_copy_of_a_database_does_not_deliver_by_accident",
    ),
    Mutant(
        "lineage-xids",
        "transaction ids that ran backwards are a restored backup",
        JUDGE,
        "if found.xids_ran_backwards:",
        "if False:",
        "tests/integration/test_restore.py::test_transaction_ids_that_ran_backwards_are_noticed",
    ),
    Mutant(
        "lineage-anew",
        "who worked before a rebase does not go on after it",
        JUDGE,
        "if expected is not None and found.no != expected:",
        "if False:",
        f"{ORDER}test_a_zombie_of_the_lost_history_has_lost_its_lane",
    ),
    Mutant(
        "witness-at-start",
        "what earlier processes delivered the database must know",
        SENTINEL,
        "self._compare(connection, self.witness.tail())",
        "pass",
        f"{DOOR}test_a_start_is_refused_where_another_process_delivered_what_the_database_does_not_know",
    ),
    Mutant(
        "witness-at-connection",
        "what was settled last each new connection must know",
        SENTINEL,
        "self._compare(connection, self.witness.latest())",
        "pass",
        f"{DOOR}test_a_new_connection_is_refused_where_it_does_not_know_what_was_settled_last",
    ),
    Mutant(
        "witness-by-event",
        "the same id of another event is another delivery",
        SQL,
        " AND a.event_id = w.event_id\n        OFFSET 0)",
        "\n        OFFSET 0)",
        f"{ORDER}test_it_knows_what_it_settled_and_not_the_same_id_of_another_event",
    ),
    Mutant(
        "era-of-changes",
        "after a rebase change ids go on beyond everything that was lost",
        SQL,
        "setval('outbox.change_id_seq', (c.last_value / 4294967296 + 1) * 4294967296 - 1)",
        "setval('outbox.change_id_seq', c.last_value)",
        f"{ORDER}test_numbers_go_on_beyond_everything_that_the_lost_history_can_have_used",
    ),
    Mutant(
        "era-of-epochs",
        "after a rebase epochs go on beyond everything that was lost",
        SQL,
        "setval('outbox.epoch_seq', (e.last_value / 4294967296 + 1) * 4294967296 - 1)",
        "setval('outbox.epoch_seq', e.last_value)",
        f"{ORDER}test_numbers_go_on_beyond_everything_that_the_lost_history_can_have_used",
    ),
    Mutant(
        "era-in-comparison",
        "an equal transaction id of another era is another transaction",
        MODEL,
        "if change.xid == self.xid and change.id >> ERA_BITS == self.change_id >> ERA_BITS:",
        "if change.xid == self.xid:",
        f"{STAMPS}test_a_transaction_id_that_is_drawn_again_after_a_failover_is_another_transaction",
    ),
    Mutant(
        "rebase-frees-lanes",
        "after a rebase nobody holds a lane of the lost history",
        REBASE,
        'self._run("free_lanes")',
        "pass",
        f"{ORDER}test_a_zombie_of_the_lost_history_has_lost_its_lane",
    ),
    Mutant(
        "rebase-doubts",
        "what the witness saw sent is in doubt after a rebase",
        REBASE,
        'self._run("doubt_open", **lineage.sent_columns(later), act_id=act)',
        "del later",
        f"{ORDER}test_a_waiting_delivery_that_was_sent_meanwhile_is_not_sent_again_by_itself",
    ),
    Mutant(
        "rebase-by-name",
        "a rebase makes no second object where nobody knows the first one's name",
        REBASE,
        "guarantee is Guarantee.EXACT_TX\n        or guarantee.replays_harmlessly\n        or named",
        "True",
        f"{ORDER}test_no_second_object_is_made_where_nobody_knows_the_first_ones_name[ONCE_OR_ASK-None-0]",
    ),
    Mutant(
        "rebase-by-owner",
        "only outbox_owner accepts another lineage",
        "migrations/sql/0004_lineage.up.sql",
        "IF NEW.no > 1 AND NOT pg_has_role(current_user, 'outbox_owner', 'USAGE') THEN",
        "IF false THEN",
        f"{ORDER}test_a_daemon_cannot_accept_another_lineage_by_itself",
    ),
    Mutant(
        "lineage-with-act",
        "a lineage is accepted only with an act in the same transaction",
        "migrations/sql/0004_lineage.up.sql",
        "IF NOT EXISTS (SELECT FROM outbox.act WHERE id = NEW.act_id AND xid = pg_current_xact_id()) THEN",
        "IF false THEN",
        f"{ORDER}test_lineage_is_append_only_and_wants_an_act",
    ),
)
