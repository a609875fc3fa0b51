"""The ledger: everything that knows the schema `outbox`."""
