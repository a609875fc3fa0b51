"""The schema `outbox`, as plain SQL applied by alembic."""
