"""The fixtures of all tests; each file of ``tests/fixtures`` is a plugin."""

pytest_plugins = [
    "tests.fixtures.command_line",
    "tests.fixtures.lanes",
    "tests.fixtures.mariadb",
    "tests.fixtures.postgres",
]
