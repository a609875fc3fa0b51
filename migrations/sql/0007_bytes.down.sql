-- Changes are written without their size again.

CREATE OR REPLACE FUNCTION outbox.write_change(registered outbox.capture, key_of_record text, operation text, command_id bigint,
                                    before jsonb, after jsonb, context jsonb, connector text, actor text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    mine    xid8;
    written bigint;
BEGIN
    mine := pg_catalog.pg_current_xact_id();
    INSERT INTO outbox.change (command_id, key_hash, schema_version, record_type, record_key, operation,
                               connector, actor, before, after, context)
    VALUES (command_id,
            (pg_catalog.hashtextextended(registered.record_type || ':' || key_of_record, 0) & 32767)::smallint,
            registered.schema_version, registered.record_type, key_of_record, operation, connector,
            coalesce(actor, nullif(pg_catalog.current_setting('hms.user_id', true), ''), session_user),
            before, after, context)
    RETURNING id INTO written;
    RETURN written;
END
$$;

ALTER TABLE outbox.change DROP COLUMN bytes;
