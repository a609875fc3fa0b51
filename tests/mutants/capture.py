"""Capture and schema: order by triggers, rights, and a history that nobody rewrites."""

from __future__ import annotations

from tests.mutants.mutant import Edit, Mutant

SCHEMA, CAPTURE = "migrations/sql/0001_ledger.up.sql", "migrations/sql/0002_capture.up.sql"
STEPS = "outbox/capture_steps.py"
SEMANTICS, GUARD = "tests/integration/test_capture_semantics.py::", "tests/integration/test_capture_guard.py::"
TABLES, DOCTOR = "tests/integration/test_schema.py::", "tests/integration/test_doctor.py::"

MUTANTS = (
    Mutant(
        "cache-1",
        "ids are drawn one by one, so that they follow commit order",
        SCHEMA,
        "CREATE SEQUENCE outbox.change_id_seq AS bigint CACHE 1",
        "CREATE SEQUENCE outbox.change_id_seq AS bigint CACHE 20",
        f"{DOCTOR}test_a_fresh_capture_is_healthy_and_every_condition_is_reported",
    ),
    Mutant(
        "after-row",
        "capture fires after the row is written, under its lock",
        STEPS,
        "AFTER INSERT OR DELETE ON {table}",
        "BEFORE INSERT OR DELETE ON {table}",
        f"{DOCTOR}test_a_fresh_capture_is_healthy_and_every_condition_is_reported",
    ),
    Mutant(
        "first-by-name",
        "our trigger fires before those of the application",
        STEPS,
        'ROW, UPDATE, TRUNCATE = "!outbox_row", "!outbox_update"',
        'ROW, UPDATE, TRUNCATE = "~outbox_row", "~outbox_update"',
        f"{DOCTOR}test_a_trigger_of_the_application_after_ours_is_noted_and_harmless",
    ),
    Mutant(
        "enable-always",
        "rows of a replica session are captured",
        STEPS,
        "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
        "ALTER TABLE {table} ENABLE TRIGGER {name}",
        f"{SEMANTICS}test_rows_of_a_replica_session_are_captured",
    ),
    Mutant(
        "truncate-captured",
        "TRUNCATE is a delete of each record",
        STEPS,
        'if relation.kind == "r" and present.get(',
        'if relation.kind == "-" and present.get(',
        f"{SEMANTICS}test_truncate_is_one_change_for_each_record",
    ),
    Mutant(
        "key-update-split",
        "a changed key is a delete of the old record and an insert of the new one",
        CAPTURE,
        "IF old_key <> new_key THEN",
        "IF false THEN",
        f"{SEMANTICS}test_a_key_update_is_a_delete_and_an_insert_that_name_each_other",
    ),
    Mutant(
        "only-real-changes",
        "an update that changes nothing is no change",
        STEPS,
        "WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)",
        "WHEN (true)",
        f"{SEMANTICS}test_an_update_that_changes_nothing_is_not_captured",
    ),
    Mutant(
        "application-first",
        "a filter that fails on a row does not fail the application",
        CAPTURE,
        "EXCEPTION WHEN OTHERS THEN\n    RETURN true;",
        "EXCEPTION WHEN no_data_found THEN\n    RETURN true;",
        f"{SEMANTICS}test_a_filter_that_fails_on_a_row_captures_it_and_does_not_fail_the_application",
    ),
    Mutant(
        "size-cap",
        "a row larger than the cap is captured without its largest values",
        CAPTURE,
        "IF total + size <= max_bytes THEN",
        "IF true THEN",
        f"{GUARD}test_a_row_larger_than_the_cap_keeps_its_smallest_values",
    ),
    Mutant(
        "xid-before-id",
        "a reader that sees an id finds its transaction among the running ones",
        CAPTURE,
        "PERFORM pg_catalog.pg_current_xact_id();",
        "",
        "tests/integration/test_capture_read.py::test_the_transaction_of_a_read_has_its_xid_before_the_id_is_drawn",
        (Edit(CAPTURE, "    mine := pg_catalog.pg_current_xact_id();\n", ""),),
    ),
    Mutant(
        "execute-revoked",
        "the application cannot hang our trigger on a table of its own and forge changes",
        CAPTURE,
        "EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);",
        "",
        f"{GUARD}test_a_forged_trigger_of_the_application_is_refused",
    ),
    Mutant(
        "pinned-search-path",
        "no operator or table of the application stands in for one of ours",
        CAPTURE,
        "CREATE FUNCTION outbox.capture_row() RETURNS trigger\nLANGUAGE plpgsql VOLATILE SECURITY DEFINER\n"
        "SET search_path = pg_catalog, pg_temp",
        "CREATE FUNCTION outbox.capture_row() RETURNS trigger\nLANGUAGE plpgsql VOLATILE SECURITY DEFINER",
        "tests/integration/test_migrations.py::test_the_security_definers_fix_their_search_path",
    ),
    Mutant(
        "append-only-rows",
        "an audit entry is not rewritten",
        SCHEMA,
        "CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON outbox.audit",
        "CREATE TRIGGER append_only_rows BEFORE DELETE ON outbox.audit",
        f"{TABLES}test_history_is_not_rewritten_even_by_a_superuser[UPDATE outbox.audit SET outcome = 'dead']",
    ),
    Mutant(
        "append-only-table",
        "the audit is not truncated",
        SCHEMA,
        "CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.audit FOR EACH STATEMENT"
        " EXECUTE FUNCTION outbox.refuse_rewrite();\n"
        "CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.audit_default FOR EACH STATEMENT"
        " EXECUTE FUNCTION outbox.refuse_rewrite();",
        "",
        f"{TABLES}test_history_is_not_rewritten_even_by_a_superuser[TRUNCATE outbox.audit]",
    ),
    Mutant(
        "state-with-audit",
        "each change of a delivery's state writes its audit entry in the same transaction",
        SCHEMA,
        "WHERE c.id = NEW.change_id) AS actor) a;",
        "WHERE c.id = NEW.change_id) AS actor) a WHERE false;",
        f"{TABLES}test_every_change_of_state_is_audited_by_the_database_itself",
    ),
    Mutant(
        "leaves-with-audit",
        "a delivery leaves only with its settling entry",
        SCHEMA,
        "IF TG_OP = 'DELETE' THEN\n        IF NOT EXISTS (",
        "IF TG_OP = 'DELETE' THEN\n        IF false AND NOT EXISTS (",
        f"{TABLES}test_a_delivery_does_not_leave_without_an_audit_entry",
    ),
    Mutant(
        "audit-of-this-transaction",
        "the settling entry is of the same transaction",
        SCHEMA,
        "              AND a.xid = pg_current_xact_id()\n",
        "",
        f"{TABLES}test_an_audit_entry_of_another_transaction_does_not_let_it_leave",
    ),
    Mutant(
        "transitions",
        "what is held is not sent",
        SCHEMA,
        "    ('held', 'waiting'),",
        "    ('held', 'in_flight'), ('held', 'waiting'),",
        f"{TABLES}test_what_is_parked_is_not_sent_and_what_was_not_sent_is_not_unknown[impossible0]",
    ),
    Mutant(
        "transition-table",
        "a transition that is not in the table is refused",
        SCHEMA,
        "IF NOT EXISTS (SELECT FROM outbox.delivery_transition t",
        "IF false AND NOT EXISTS (SELECT FROM outbox.delivery_transition t",
        f"{TABLES}test_exactly_the_listed_transitions_are_possible",
    ),
    Mutant(
        "act-of-this-transaction",
        "a connector is paused, resumed or changed only with an act",
        "migrations/sql/0003_verdict.up.sql",
        "IF NOT EXISTS (SELECT FROM outbox.act WHERE id = NEW.act_id AND xid = pg_current_xact_id()) THEN",
        "IF false THEN",
        f"{TABLES}test_a_connector_changes_only_with_an_act_in_the_same_transaction",
    ),
)
