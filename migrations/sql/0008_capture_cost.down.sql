-- The log has its conditions again.

ALTER TABLE outbox.change
    ADD CONSTRAINT change_operation_known CHECK (operation IN ('insert', 'update', 'delete', 'truncate', 'read')),
    ADD CONSTRAINT change_key_hash_range CHECK (key_hash >= 0);
