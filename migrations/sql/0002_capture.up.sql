-- Capture: the trigger functions that write the log, the reads on demand, and the rights they need.
--
-- All functions belong to outbox_capture. Those that others may reach are SECURITY DEFINER with a pinned
-- search_path (pg_temp last, every name qualified: else a temporary table of the application could stand in
-- for the log) and with pinned settings, so that a row looks the same whoever wrote it.
-- Capture never fails the application: what cannot be encoded becomes a marker, a table that is not
-- registered is ignored.

-- The triggers and reads must see every row, also where the application hides rows by policy.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'outbox_capture' AND NOT rolbypassrls) THEN
        ALTER ROLE outbox_capture BYPASSRLS;
    END IF;
EXCEPTION WHEN internal_error THEN
    NULL; -- "tuple concurrently updated": another database of this cluster migrated at the same moment
END
$$;
GRANT SELECT ON outbox.change TO outbox_capture;

-- As regclass the registration follows its table through dump and restore, where oids change.
ALTER TABLE outbox.capture ALTER COLUMN relid TYPE regclass;
-- Columns that no image holds: excluded ones, and virtual generated ones, which a trigger cannot see.
ALTER TABLE outbox.capture ADD COLUMN omitted text[] NOT NULL DEFAULT '{}';

-- ---------------------------------------------------------------- the encoder

-- One column at a time, smallest first, as far as the cap allows; the others become markers.
CREATE FUNCTION outbox.encode_large_row(source anyelement, registered outbox.capture, max_bytes integer) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    image jsonb := '{}';
    value jsonb;
    total bigint := 0;
    name  text;
    size  bigint;
    names text[] := '{}';
    sizes bigint[] := '{}';
BEGIN
    FOR name IN
        SELECT a.attname
        FROM pg_catalog.pg_type y JOIN pg_catalog.pg_attribute a ON a.attrelid = y.typrelid
        WHERE y.oid = pg_catalog.pg_typeof(source) AND a.attnum > 0 AND NOT a.attisdropped
          AND (registered.columns IS NULL OR a.attname = ANY (registered.columns)) AND a.attname <> ALL (registered.omitted)
    LOOP
        BEGIN -- octet_length knows the full size of a compressed text or bytea without reading it
            EXECUTE pg_catalog.format('SELECT pg_catalog.octet_length(($1).%I)', name) INTO size USING source;
        EXCEPTION WHEN OTHERS THEN
            EXECUTE pg_catalog.format('SELECT pg_catalog.pg_column_size(($1).%I)', name) INTO size USING source;
        END;
        names := names || name;
        sizes := sizes || CASE WHEN name = ANY (registered.key_columns) THEN -1 ELSE coalesce(size, 0) END;
    END LOOP;
    FOR name, size IN SELECT u.n, u.s FROM ROWS FROM (pg_catalog.unnest(names), pg_catalog.unnest(sizes)) AS u (n, s) ORDER BY u.s, u.n LOOP
        value := pg_catalog.jsonb_build_object('$oversized', size);
        IF total + size <= max_bytes THEN
            BEGIN
                EXECUTE pg_catalog.format('SELECT pg_catalog.to_jsonb(($1).%I)', name) INTO value USING source;
                value := coalesce(value, 'null');
                IF total + pg_catalog.pg_column_size(value) > max_bytes AND size >= 0 THEN
                    value := pg_catalog.jsonb_build_object('$oversized', pg_catalog.pg_column_size(value));
                END IF;
            EXCEPTION
                WHEN program_limit_exceeded OR out_of_memory OR internal_error THEN
                    value := pg_catalog.jsonb_build_object('$oversized', size);
                WHEN OTHERS THEN
                    value := pg_catalog.jsonb_build_object('$unencodable', SQLERRM);
            END;
        END IF;
        total := total + pg_catalog.pg_column_size(value);
        image := image || pg_catalog.jsonb_build_object(name, value);
    END LOOP;
    RETURN image;
END
$$;

-- The one encoder of rows: triggers, reads and deliveries all call it. Small rows take the first branch; its
-- bound keeps the jsonb far below the server's limit however well the row was compressed.
CREATE FUNCTION outbox.encode_row(source anyelement, registered outbox.capture, max_bytes integer) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    image jsonb;
BEGIN
    IF pg_catalog.pg_column_size(source) <= 16384 THEN
        BEGIN
            image := pg_catalog.to_jsonb(source) - registered.omitted;
            IF registered.columns IS NOT NULL THEN
                image := (SELECT pg_catalog.jsonb_object_agg(e.key, e.value)
                          FROM pg_catalog.jsonb_each(image) AS e WHERE e.key = ANY (registered.columns));
            END IF;
            IF pg_catalog.pg_column_size(image) <= max_bytes THEN
                RETURN image;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL; -- a value that has no jsonb, for example json with an escaped zero character
        END;
    END IF;
    RETURN outbox.encode_large_row(source, registered, max_bytes);
END
$$;

-- The key as text: the value of a single column as jsonb writes it, else the jsonb array of the values.
-- A very long key is shortened to a digest, because it must fit into the index of the log.
CREATE FUNCTION outbox.record_key(image jsonb, key_columns text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    key text;
BEGIN
    IF pg_catalog.cardinality(key_columns) = 1 THEN
        key := coalesce(image ->> key_columns[1], '');
    ELSE
        key := (SELECT pg_catalog.jsonb_agg(image -> c.name ORDER BY c.place)
                FROM pg_catalog.unnest(key_columns) WITH ORDINALITY AS c (name, place))::text;
    END IF;
    IF pg_catalog.octet_length(key) > 1000 THEN
        key := pg_catalog."left"(key, 100) || '#' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(key, 'UTF8')), 'hex');
    END IF;
    RETURN key;
END
$$;

-- True when this transaction made the row version (its subtransactions have later xids). Another
-- transaction with a later xid may be taken for ours: that costs a look at the log, never an error.
CREATE FUNCTION outbox.made_here(version xid) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.age(version) <= pg_catalog.age(pg_catalog.pg_current_xact_id()::xid)
$$;

-- Whether this row version is still the row. On a new partition the capture may not read yet: then it is taken to be.
CREATE FUNCTION outbox.is_visible(relation oid, version tid) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    found_it boolean;
BEGIN
    EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM ONLY %s WHERE ctid = $1)', relation::regclass)
    INTO found_it USING version;
    RETURN found_it;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN true;
END
$$;

-- The id of the command that runs now: a row is written for its cmin, and taken back.
CREATE FUNCTION outbox.running_command() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    probe   bigint;
    command bigint;
BEGIN
    INSERT INTO outbox.change (key_hash, record_type, record_key, operation) VALUES (0, '', '', 'read') RETURNING id INTO probe;
    SELECT c.cmin::text::bigint INTO command FROM outbox.change AS c WHERE c.id = probe;
    RAISE EXCEPTION 'taken back' USING ERRCODE = 'HMS00';
EXCEPTION WHEN SQLSTATE 'HMS00' THEN
    RETURN command;
END
$$;

-- Whether the application's table holds the record now.
CREATE FUNCTION outbox.is_present(registered outbox.capture, image jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    found_it boolean;
BEGIN
    EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %s AS t WHERE %s)', registered.relid, outbox.key_condition(registered, '$1'))
    INTO found_it
    USING (SELECT pg_catalog.jsonb_agg(image -> k.name ORDER BY k.place)
           FROM pg_catalog.unnest(registered.key_columns) WITH ORDINALITY AS k (name, place));
    RETURN found_it;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$$;

-- The command id of a change that the row versions cannot tell, because this transaction made both of them
-- (a version that was replaced, for good or in a rolled back subtransaction, shows a combined command id).
-- The changes of a record in one transaction are a chain. A change that is captured late, after its successor,
-- belongs where the chain is broken, before the change that starts from its result; a timely one is the last.
CREATE FUNCTION outbox.place_in_transaction(registered outbox.capture, key_of_record text, was jsonb, becomes jsonb, replaced boolean)
RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    last record;
    gap  record;
BEGIN
    SELECT c.command_id, c.after, c.id INTO last FROM outbox.change AS c
    WHERE c.xid = pg_catalog.pg_current_xact_id() AND c.record_type = registered.record_type AND c.record_key = key_of_record
    ORDER BY c.command_id DESC, c.id DESC LIMIT 1;
    IF last.id IS NULL THEN
        RETURN outbox.running_command();
    END IF;

    SELECT s.command_id, s.id, s.left_id IS NOT NULL AND s.left_after IS NOT DISTINCT FROM was AS fits INTO gap
    FROM (SELECT c.id, c.command_id, c.before,
                 pg_catalog.lag(c.id) OVER chain AS left_id, pg_catalog.lag(c.after) OVER chain AS left_after
          FROM outbox.change AS c
          WHERE c.xid = pg_catalog.pg_current_xact_id() AND c.record_type = registered.record_type AND c.record_key = key_of_record
          WINDOW chain AS (ORDER BY c.command_id, c.id)) AS s
    WHERE s.before IS NOT DISTINCT FROM becomes AND (s.left_id IS NULL OR s.left_after IS DISTINCT FROM s.before)
    ORDER BY fits DESC, s.command_id DESC, s.id DESC LIMIT 1;

    IF gap.id IS NOT NULL AND (gap.fits OR becomes IS NOT NULL AND replaced) THEN
        RETURN gap.command_id - 1;
    ELSIF last.after IS NOT DISTINCT FROM was THEN
        RETURN last.command_id + 1;
    ELSIF gap.id IS NOT NULL AND becomes IS NULL AND outbox.is_present(registered, was) THEN
        RETURN gap.command_id - 1;
    END IF;
    RETURN outbox.running_command();
END
$$;

-- ---------------------------------------------------------------- the writer

-- Who and whence: settings that the application may set, and the session.
CREATE FUNCTION outbox.origin() RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'application_name', nullif(pg_catalog.current_setting('application_name'), ''),
        'user', session_user,
        'role', nullif(pg_catalog.current_setting('role'), 'none'),
        'reason', nullif(pg_catalog."left"(pg_catalog.current_setting('hms.reason', true), 1000), ''),
        'traceparent', nullif(pg_catalog."left"(pg_catalog.current_setting('hms.traceparent', true), 200), '')))
$$;

-- The only statement that writes the log. The transaction has its xid before the id is drawn: a reader that
-- sees a higher id must find this transaction among the running ones.
CREATE FUNCTION outbox.write_change(registered outbox.capture, key_of_record text, operation text, command_id bigint,
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

-- ---------------------------------------------------------------- the triggers

-- The registration of a partition's root. Nothing where there is none: a table that was detached, or forged.
CREATE FUNCTION outbox.registration_elsewhere(relation oid, definition text) RETURNS outbox.capture
LANGUAGE plpgsql STABLE AS $$
DECLARE
    registered outbox.capture;
BEGIN
    SELECT * INTO registered FROM outbox.capture AS c WHERE c.relid = pg_catalog.pg_partition_root(relation);
    -- A transaction whose snapshot is older than the registration already runs its trigger.
    IF NOT FOUND AND definition IS NOT NULL AND pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
        registered := pg_catalog.jsonb_populate_record(NULL::outbox.capture, definition::jsonb);
        registered.relid := relation;
    END IF;
    RETURN registered;
END
$$;

CREATE FUNCTION outbox.matches(source anyelement, filter text) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    verdict boolean;
BEGIN
    EXECUTE 'SELECT (' || filter || ') FROM (SELECT ($1).*) AS row' INTO verdict USING source;
    RETURN coalesce(verdict, false);
EXCEPTION WHEN OTHERS THEN
    RETURN true; -- a condition that fails on a row must not fail the application: captured, the route decides
END
$$;

CREATE FUNCTION outbox.capture_row() RETURNS trigger
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

    IF TG_OP <> 'INSERT' AND (registered.filter IS NULL OR outbox.matches(OLD, registered.filter)) THEN
        before := outbox.encode_row(OLD, registered, registered.max_bytes);
        old_key := outbox.record_key(before, registered.key_columns);
    END IF;
    IF TG_OP <> 'DELETE' AND (registered.filter IS NULL OR outbox.matches(NEW, registered.filter)) THEN
        after := outbox.encode_row(NEW, registered, registered.max_bytes);
        new_key := outbox.record_key(after, registered.key_columns);
    END IF;
    IF before IS NULL AND after IS NULL THEN
        RETURN NULL;
    END IF;
    -- Only columns that nobody captures have changed. Two markers look alike while their values differ.
    IF (registered.columns IS NOT NULL OR registered.omitted <> '{}')
       AND before::text = after::text AND pg_catalog.strpos(after::text, '"$oversized"') = 0 THEN
        RETURN NULL;
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

-- Before TRUNCATE of one table or partition (each has its own trigger): one change for each record.
CREATE FUNCTION outbox.capture_truncate() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
DECLARE
    registered outbox.capture;
BEGIN
    SELECT * INTO registered FROM outbox.capture AS c WHERE c.relid = TG_RELID;
    IF NOT FOUND THEN
        registered := outbox.registration_elsewhere(TG_RELID, TG_ARGV[0]);
    END IF;
    IF registered.relid IS NULL OR TG_OP <> 'TRUNCATE' THEN
        RETURN NULL;
    END IF;
    IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        -- TRUNCATE removes them all the same, and nothing in SQL shows them to this transaction.
        RAISE WARNING 'rows of % that were committed after the snapshot of this transaction are truncated without a change',
            TG_RELID::regclass USING HINT = 'Truncate captured tables in READ COMMITTED.';
    END IF;
    EXECUTE pg_catalog.format($query$
        SELECT count(outbox.write_change($1, outbox.record_key(s.image, ($1).key_columns), 'truncate', $3, s.image, NULL, $2, NULL, NULL))
        FROM (SELECT outbox.encode_row(t.*, $1, ($1).max_bytes) AS image
              FROM ONLY %s AS t WHERE ($1).filter IS NULL OR outbox.matches(t.*, ($1).filter)
              OFFSET 0) AS s
        $query$, TG_RELID::regclass)
    USING registered, outbox.origin(), outbox.running_command();
    RETURN NULL;
END
$$;

-- ---------------------------------------------------------------- reads

-- The condition that finds the record of a jsonb key: "$1 ->> n" cast to the column's type without its
-- length (a cast to varchar(3) would cut the key and find another record).
CREATE FUNCTION outbox.key_condition(registered outbox.capture, parts text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT pg_catalog.string_agg(pg_catalog.format('t.%I = (%s ->> %s)::%s', a.attname, parts, k.place - 1,
                                                   pg_catalog.format_type(a.atttypid, -1)), ' AND ' ORDER BY k.place)
    FROM pg_catalog.unnest(registered.key_columns) WITH ORDINALITY AS k (name, place)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = registered.relid AND a.attname = k.name AND NOT a.attisdropped
$$;

-- A key as its jsonb array: from a record key's text, or from the value (or values) themselves.
CREATE FUNCTION outbox.key_parts(registered outbox.capture, key jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN pg_catalog.jsonb_typeof(key) = 'array' THEN key
                WHEN pg_catalog.cardinality(registered.key_columns) = 1 THEN pg_catalog.jsonb_build_array(key)
                ELSE (key #>> '{}')::jsonb END
$$;

-- Writes a read change, addressed to one connector, for each record of "keys" (a jsonb array of record keys or
-- key values) that exists and passes the filter; the rows stay locked FOR SHARE until the transaction ends,
-- so that the next change of the record has a higher id. One row for each record found.
CREATE FUNCTION outbox.capture_read(type_of_record text, keys jsonb, connector text, actor text, context jsonb DEFAULT '{}')
RETURNS TABLE (change_id bigint, record_key text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
DECLARE
    registered outbox.capture;
    image jsonb;
BEGIN
    SELECT * INTO registered FROM outbox.capture AS c WHERE c.record_type = type_of_record;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'record type % is not captured', type_of_record USING ERRCODE = 'undefined_object';
    END IF;
    PERFORM pg_catalog.pg_current_xact_id();
    FOR image IN EXECUTE pg_catalog.format($query$
        SELECT s.image
        FROM pg_catalog.jsonb_array_elements($2) AS k (key)
        CROSS JOIN LATERAL (SELECT outbox.key_parts($1, k.key) AS parts OFFSET 0) AS p
        CROSS JOIN LATERAL (
            SELECT outbox.encode_row(t.*, $1, ($1).max_bytes) AS image FROM %s AS t
            WHERE %s AND (($1).filter IS NULL OR outbox.matches(t.*, ($1).filter)) FOR SHARE OF t) AS s
        $query$, registered.relid, outbox.key_condition(registered, 'p.parts'))
        USING registered, keys
    LOOP
        record_key := outbox.record_key(image, registered.key_columns);
        change_id := outbox.write_change(registered, record_key, 'read', 0, NULL, image,
                                         outbox.origin() || context, connector, actor);
        RETURN NEXT;
    END LOOP;
EXCEPTION WHEN data_exception THEN
    IF pg_catalog.jsonb_array_length(keys) > 1 THEN
        RAISE;
    END IF; -- a key that the column's type cannot hold names no record
END
$$;

-- The keys that follow "after" (a key's jsonb array, null: from the first) in key order: the next chunk of a backfill.
CREATE FUNCTION outbox.next_keys(type_of_record text, after jsonb, how_many integer) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
DECLARE
    registered outbox.capture;
    key_list   text;
    value_list text;
    json_list  text;
BEGIN
    SELECT * INTO registered FROM outbox.capture AS c WHERE c.record_type = type_of_record;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'record type % is not captured', type_of_record USING ERRCODE = 'undefined_object';
    END IF;
    SELECT pg_catalog.string_agg(pg_catalog.format('t.%I', a.attname), ', ' ORDER BY k.place),
           pg_catalog.string_agg(pg_catalog.format('($1 ->> %s)::%s', k.place - 1, pg_catalog.format_type(a.atttypid, -1)),
                                 ', ' ORDER BY k.place),
           pg_catalog.string_agg(pg_catalog.format('pg_catalog.to_jsonb(t.%I)', a.attname), ', ' ORDER BY k.place)
    INTO key_list, value_list, json_list
    FROM pg_catalog.unnest(registered.key_columns) WITH ORDINALITY AS k (name, place)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = registered.relid AND a.attname = k.name AND NOT a.attisdropped;
    RETURN QUERY EXECUTE pg_catalog.format('SELECT pg_catalog.jsonb_build_array(%s) FROM %s AS t %s ORDER BY %s LIMIT $2',
        json_list, registered.relid,
        CASE WHEN after IS NOT NULL THEN pg_catalog.format('WHERE (%s) > (%s)', key_list, value_list) ELSE '' END, key_list)
    USING after, how_many;
END
$$;

-- The present row of a record, with the values that the cap left out of the log; null when it is gone.
CREATE FUNCTION outbox.current_values(type_of_record text, key_of_record text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
DECLARE
    registered outbox.capture;
    image jsonb;
BEGIN
    SELECT * INTO registered FROM outbox.capture AS c WHERE c.record_type = type_of_record;
    IF FOUND THEN -- the cap here is what one jsonb can hold
        EXECUTE pg_catalog.format('SELECT outbox.encode_row(t.*, $1, 250000000) FROM %s AS t WHERE %s',
                                  registered.relid, outbox.key_condition(registered, '$2'))
        INTO image USING registered, outbox.key_parts(registered, pg_catalog.to_jsonb(key_of_record));
    END IF;
    RETURN image;
END
$$;

-- ---------------------------------------------------------------- rights, and what was shipped

-- Where no superuser migrates, the new owner of a function must be allowed to create one.
GRANT CREATE ON SCHEMA outbox TO outbox_capture;
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS name, pg_catalog.md5(p.prosrc || coalesce(p.proconfig::text, '') || p.prosecdef) AS digest
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'outbox'::regnamespace
          AND p.proname IN ('encode_large_row', 'encode_row', 'record_key', 'made_here', 'is_visible', 'is_present', 'running_command', 'place_in_transaction', 'origin',
                            'write_change', 'registration_elsewhere', 'matches', 'capture_row', 'capture_truncate',
                            'key_condition', 'key_parts', 'capture_read', 'next_keys', 'current_values')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO outbox_capture', f.name);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
        -- The doctor compares the function with this digest.
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', f.name, 'capture ' || f.digest);
    END LOOP;
END
$$;
REVOKE CREATE ON SCHEMA outbox FROM outbox_capture;
-- EXECUTE on a trigger function is asked for once, at CREATE TRIGGER: whoever applies the capture needs it.
GRANT EXECUTE ON FUNCTION outbox.capture_row(), outbox.capture_truncate() TO outbox_owner;
GRANT EXECUTE ON FUNCTION outbox.capture_read(text, jsonb, text, text, jsonb), outbox.next_keys(text, jsonb, integer)
    TO outbox_daemon, outbox_operator;
GRANT EXECUTE ON FUNCTION outbox.current_values(text, text) TO outbox_daemon, outbox_operator;
