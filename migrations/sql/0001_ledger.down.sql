-- Takes the ledger away. Roles stay: they belong to the cluster, not to this database.
DROP SCHEMA outbox CASCADE;
