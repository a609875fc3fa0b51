"""Admission: an exact class is served under a verdict about this very receiver, or for a person's reason."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

ADMISSION, LANES, SCHEMA = "cdc/receivers/admission.py", "outbox/lanes.py", "migrations/sql/0003_verdict.up.sql"
LOAD, AGING = "cdc/config/load.py", "cdc/receivers/aging.py"
VERDICTS = "tests/integration/test_verdicts.py::"

MUTANTS = (
    Mutant(
        "no-class-on-trust",
        "an exact class without a verdict is not served",
        ADMISSION,
        "raise NotAdmitted(_refusal(kit, standing))",
        "found = kit",
        f"{VERDICTS}test_an_exact_class_without_a_verdict_is_refused_with_the_command_to_run",
    ),
    Mutant(
        "no-one-call-on-trust",
        "the service asks for the verdict, too",
        "cdc/ondemand.py",
        "kit = admitted(kit, standing_of(connection, kit))",
        "",
        f"{VERDICTS}test_the_service_and_the_command_refuse_before_anything_is_captured",
    ),
    Mutant(
        "verdict-about-url",
        "another url has no verdict",
        LOAD,
        'named = [settings.kind, settings.url.rstrip("/"), options, ',
        "named = [settings.kind, options, ",
        f"{VERDICTS}test_another_url_or_another_option_is_another_subject_and_cosmetics_are_not",
    ),
    Mutant(
        "verdict-about-options",
        "other options have no verdict",
        LOAD,
        'named = [settings.kind, settings.url.rstrip("/"), options, ',
        'named = [settings.kind, settings.url.rstrip("/"), ',
        f"{VERDICTS}test_another_url_or_another_option_is_another_subject_and_cosmetics_are_not",
    ),
    Mutant(
        "verdict-about-promise",
        "a verdict about another promise does not count",
        ADMISSION,
        "standing.declared is not declared",
        "False",
        f"{VERDICTS}test_a_verdict_about_another_promise_does_not_count",
    ),
    Mutant(
        "lowered-class",
        "a failed and accepted verdict lowers the class to what the receiver carries",
        ADMISSION,
        "carries = declared if standing is None else standing.carries",
        "carries = declared",
        f"{VERDICTS}test_the_lowered_class_rules_what_happens_when_no_answer_comes",
    ),
    Mutant(
        "lowered-class-courier",
        "the courier goes by the class in force, not by the declared one",
        "connectors/courier.py",
        "guarantee or connector.guarantee",
        "connector.guarantee",
        "tests/unit/test_connector_courier.py"
        "::test_the_class_in_force_rules_and_not_the_one_that_the_connector_declares",
    ),
    Mutant(
        "verdict-with-act",
        "a verdict is stored only with its act",
        SCHEMA,
        "CREATE TRIGGER verdict_guard",
        "-- ",
        f"{VERDICTS}test_the_act_of_a_verdict_is_about_this_verdict[wrong0]",
    ),
    Mutant(
        "verdict-with-its-own-act",
        "the act of a verdict is of the same transaction",
        SCHEMA,
        " AND a.xid = pg_current_xact_id() AND a.kind",
        " AND a.kind",
        f"{VERDICTS}test_a_verdict_needs_an_act_of_its_own_transaction",
    ),
    Mutant(
        "verdict-append-only",
        "a verdict is not rewritten",
        SCHEMA,
        "CREATE TRIGGER append_only_rows",
        "-- ",
        f"{VERDICTS}test_a_verdict_is_not_rewritten_even_by_a_superuser"
        "[UPDATE outbox.receiver_verdict SET carries = 'EXACT_TX']",
    ),
    Mutant(
        "acceptance-with-act",
        "that a person accepts a receiver without a verdict is an act with his reason",
        SCHEMA,
        "IF NEW.accepted IS NOT NULL\n",
        "IF false\n",
        f"{VERDICTS}test_a_connector_is_not_accepted_unverified_without_an_act_that_says_why",
    ),
    Mutant(
        "quick-clears-nothing",
        "a few quick probes clear nothing that all of them did not",
        SCHEMA,
        "WHERE NOT v.quick OR NOT v.passed OR coalesce((",
        "WHERE true OR coalesce((",
        f"{VERDICTS}test_the_newest_verdict_counts_but_quick_probes_only_confirm_what_all_of_them_found",
    ),
    Mutant(
        "verdict-seen-twice",
        "what stops a connector was seen twice",
        AGING,
        "for _ in range(2):",
        "for _ in range(1):",
        f"{VERDICTS}test_what_stops_a_connector_was_seen_twice",
    ),
)
