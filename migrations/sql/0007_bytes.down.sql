-- Changes are written without their size again.

ALTER TABLE outbox.change DROP COLUMN bytes;
