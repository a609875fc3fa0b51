-- A captured row costs the application less, and is written as before: the ordinary row is encoded where the trigger
-- runs. Microseconds in comments are of one updated row of six columns in a statement of many, which cost 48
-- before (docs/performance.md).

CREATE OR REPLACE FUNCTION outbox.capture_row() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
DECLARE
    registered outbox.capture;
    before  jsonb;
    after   jsonb;
    old_key text;
    new_key text;
    command bigint;
    replaced boolean;
    context jsonb;
    written bigint;
BEGIN
    -- Mounted wrongly (the doctor says so) or on a table that is not registered: no change, no harm.
    SELECT * INTO registered FROM outbox.capture AS c WHERE c.relid = TG_RELID;
    IF NOT FOUND THEN
        registered := outbox.registration_elsewhere(TG_RELID, TG_ARGV[0]);
    END IF;
    IF registered.relid IS NULL OR TG_WHEN <> 'AFTER' OR TG_LEVEL <> 'ROW' THEN
        RETURN coalesce(NEW, OLD);
    END IF;

    -- The ordinary row, whole and small, as the first branch of outbox.encode_row would have it. Here it is spared two
    -- calls that take the registration, and for an update one of two subtransactions: 4 microseconds.
    IF registered.columns IS NULL AND pg_catalog.cardinality(registered.omitted) = 0 AND registered.filter IS NULL
       AND coalesce(pg_catalog.pg_column_size(OLD) <= 16384, true) -- one after the other: each is unpacked for it
       AND coalesce(pg_catalog.pg_column_size(NEW) <= 16384, true) THEN
        BEGIN
            before := pg_catalog.to_jsonb(OLD);
            after := pg_catalog.to_jsonb(NEW);
        EXCEPTION WHEN OTHERS THEN
            before := NULL; -- a value that has no jsonb: the encoder finds it
            after := NULL;
        END;
    END IF;

    IF (before IS NULL AND after IS NULL)
       OR greatest(pg_catalog.pg_column_size(before), pg_catalog.pg_column_size(after)) > registered.max_bytes THEN
        before := NULL;
        after := NULL;
        IF TG_OP <> 'INSERT' AND (registered.filter IS NULL OR outbox.matches(OLD, registered.filter)) THEN
            before := outbox.encode_row(OLD, registered, registered.max_bytes);
        END IF;
        IF TG_OP <> 'DELETE' AND (registered.filter IS NULL OR outbox.matches(NEW, registered.filter)) THEN
            after := outbox.encode_row(NEW, registered, registered.max_bytes);
        END IF;
        IF before IS NULL AND after IS NULL THEN
            RETURN NULL;
        END IF;
        -- Only columns that nobody captures have changed. Two markers look alike while their values differ.
        IF (registered.columns IS NOT NULL OR registered.omitted <> '{}')
           AND before::text = after::text AND pg_catalog.strpos(after::text, '"$oversized"') = 0 THEN
            RETURN NULL;
        END IF;
    END IF;
    IF before IS NOT NULL THEN
        old_key := outbox.record_key(before, registered.key_columns);
    END IF;
    IF after IS NOT NULL THEN
        new_key := outbox.record_key(after, registered.key_columns);
    END IF;

    -- The command that made the change, as far as a row version tells it: one that nobody replaced or locked
    -- by its cmin, one of an earlier transaction by its cmax. Else it has to be worked out.
    IF TG_OP <> 'DELETE' AND NEW.xmax = '0'::xid THEN
        command := NEW.cmin;
    ELSIF TG_OP <> 'INSERT' AND NOT outbox.made_here(OLD.xmin) THEN
        command := OLD.cmax;
    ELSE
        replaced := TG_OP <> 'DELETE' AND NOT outbox.is_visible(TG_RELID, NEW.ctid);
    END IF;

    context := outbox.origin();
    IF old_key <> new_key THEN
        written := outbox.write_change(registered, old_key, 'delete',
            coalesce(command, outbox.place_in_transaction(registered, old_key, before, NULL, replaced)),
            before, NULL, context || pg_catalog.jsonb_build_object('moved_to', new_key), NULL, NULL);
        written := outbox.write_change(registered, new_key, 'insert',
            coalesce(command, outbox.place_in_transaction(registered, new_key, NULL, after, replaced)),
            NULL, after, context || pg_catalog.jsonb_build_object('moved_from', old_key), NULL, NULL);
    ELSE
        written := outbox.write_change(registered, coalesce(new_key, old_key),
            CASE WHEN before IS NULL THEN 'insert' WHEN after IS NULL THEN 'delete' ELSE 'update' END,
            coalesce(command, outbox.place_in_transaction(registered, coalesce(new_key, old_key), before, after, replaced)),
            before, after, context, NULL, NULL);
    END IF;
    RETURN NULL;
END
$$;

-- Only the functions of the capture write the log, and the operations are words in their text. The server parsed both
-- conditions anew for each captured row, because each is a statement of its own: 7 microseconds.
ALTER TABLE outbox.change DROP CONSTRAINT change_operation_known, DROP CONSTRAINT change_key_hash_range;
