-- How large a change is, so that a page ends before it is more than a daemon should hold in memory.

ALTER TABLE outbox.change ADD COLUMN bytes integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN outbox.change.bytes IS 'Of both images as jsonb in memory; 0 for changes written before this was counted.';

CREATE OR REPLACE FUNCTION outbox.write_change(registered outbox.capture, key_of_record text, operation text,
                                               command_id bigint, before jsonb, after jsonb, context jsonb,
                                               connector text, actor text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    mine    xid8;
    written bigint;
BEGIN
    mine := pg_catalog.pg_current_xact_id();
    INSERT INTO outbox.change (command_id, key_hash, schema_version, record_type, record_key, operation,
                               connector, actor, before, after, context, bytes)
    VALUES (command_id,
            (pg_catalog.hashtextextended(registered.record_type || ':' || key_of_record, 0) & 32767)::smallint,
            registered.schema_version, registered.record_type, key_of_record, operation, connector,
            coalesce(actor, nullif(pg_catalog.current_setting('hms.user_id', true), ''), session_user),
            before, after, context,
            coalesce(pg_catalog.pg_column_size(before), 0) + coalesce(pg_catalog.pg_column_size(after), 0))
    RETURNING id INTO written;
    RETURN written;
END
$$;
