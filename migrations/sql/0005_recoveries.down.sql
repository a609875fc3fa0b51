DROP INDEX outbox.delivery_suspect_idx;
ALTER TABLE outbox.delivery DROP COLUMN deaths;
ALTER TABLE outbox.lane DROP COLUMN recoveries;
