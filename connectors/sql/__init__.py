"""The ``sql`` kind: a table of another database; effect and ledger in one transaction of that database."""
