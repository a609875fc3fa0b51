"""The house around it: config, logs, and a daemon that does not start on broken ground."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MISTAKES = "tests/unit/test_config_mistakes.py::test_a_mistake_is_told_with_line_path_and_cure"
REFUSED = "tests/unit/test_config_document.py::test_what_is_refused_is_named_with_line_and_path"

MUTANTS = (
    Mutant(
        "encoding-of-the-session",
        "our sessions speak UTF-8 whatever the environment, the role or the dsn say",
        "outbox/db.py",
        "make_conninfo(dsn, client_encoding=_ENCODING, **",
        "make_conninfo(dsn, **",
        "tests/integration/test_database_fit.py::test_a_session_that_would_speak_another_encoding_reads_and_writes_utf_8",
    ),
    Mutant(
        "duplicate-keys",
        "a key that stands twice in the config is refused",
        "cdc/config/document.py",
        "if event.value in top.node:",
        "if False:",
        REFUSED,
    ),
    Mutant(
        "no-aliases",
        "anchors and aliases of YAML are refused",
        "cdc/config/document.py",
        'if getattr(event, "anchor", None) is not None:',
        "if False:",
        REFUSED,
    ),
    Mutant(
        "unknown-keys",
        "a key that nobody knows is refused",
        "cdc/config/models.py",
        'model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)',
        'model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)',
        f"{MISTAKES}[unknown key]",
    ),
    Mutant(
        "require",
        "a connector that carries less than the config requires does not start",
        "cdc/config/platforms.py",
        "if connector.require is not None and not carried.at_least(connector.require):",
        "if False:",
        f"{MISTAKES}[require stronger]",
    ),
    Mutant(
        "doctor-at-start",
        "the daemon does not start where a condition of order is broken",
        "cdc/daemon.py",
        "if broken:\n",
        "if False:\n",
        "tests/integration/test_daemon.py::test_a_condition_of_order_that_is_broken_is_refused_with_its_cure",
    ),
    Mutant(
        "secret-fields-masked",
        "a field of a log that is named like a secret is masked",
        "cdc/watch/logs.py",
        "if _SECRET.search(name):",
        "if False:",
        "tests/unit/test_metrics.py::test_a_field_named_like_a_secret_is_masked[password]",
    ),
    Mutant(
        "dsn-not-told",
        "an unusable connection string is not repeated with its password",
        "outbox/db.py",
        "except (psycopg.Error, ValueError):",
        "except (psycopg.DataError, LookupError):",
        "tests/integration/test_fencing.py::test_an_unusable_connection_string_is_not_repeated",
    ),
)
