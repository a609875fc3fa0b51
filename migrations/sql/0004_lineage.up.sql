-- Lineage: which server, timeline and database was accepted last, and what had been delivered that it does not know.

CREATE TABLE outbox.lineage (
    no                bigint      PRIMARY KEY,
    ledger            uuid        NOT NULL,
    system_identifier bigint      NOT NULL,
    timeline          integer     NOT NULL,
    database          oid         NOT NULL,
    next_xid          xid8        NOT NULL,
    change_id         bigint      NOT NULL,
    epoch             bigint      NOT NULL,
    fence             bigint      NOT NULL,
    accepted_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    act_id            bigint      NOT NULL REFERENCES outbox.act,
    CONSTRAINT lineage_begins_with_one CHECK (no >= 1)
);
COMMENT ON TABLE outbox.lineage IS
    'Where the ledger lived when it was accepted, with its high-water marks; the newest row is in force. Append-only.';

CREATE TABLE outbox.lost_delivery (
    event_id    uuid        NOT NULL,
    connector   text        NOT NULL,
    generation  integer     NOT NULL,
    change_id   bigint      NOT NULL,
    record_type text        NOT NULL,
    record_key  text        NOT NULL,
    sent_at     timestamptz NOT NULL,
    applied     boolean     NOT NULL,
    in_log      boolean     NOT NULL,
    external_id text,
    act_id      bigint      NOT NULL REFERENCES outbox.act,
    PRIMARY KEY (event_id, connector, generation)
);
COMMENT ON TABLE outbox.lost_delivery IS
    'Deliveries that a witness remembered and this database did not, as listed by a rebase. Append-only.';

-- The first row is written with the first registration; any other one is a person's order, with the owner's rights.
CREATE FUNCTION outbox.guard_lineage() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM outbox.act WHERE id = NEW.act_id AND xid = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'a lineage is accepted only with an act in the same transaction' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.no > 1 AND NOT pg_has_role(current_user, 'outbox_owner', 'USAGE') THEN
        RAISE EXCEPTION 'only outbox_owner accepts another lineage' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER lineage_guard BEFORE INSERT ON outbox.lineage FOR EACH ROW EXECUTE FUNCTION outbox.guard_lineage();
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON outbox.lineage FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.lineage FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON outbox.lost_delivery
    FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.lost_delivery
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();

-- The log stays append-only, with one exception: in the transaction of a rebase, transaction ids of another server's
-- numbering are replaced.
CREATE FUNCTION outbox.guard_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (to_jsonb(NEW) - 'xid' - 'command_id') = (to_jsonb(OLD) - 'xid' - 'command_id') AND EXISTS (
        SELECT FROM outbox.lineage l JOIN outbox.act a ON a.id = l.act_id
        WHERE l.no = (SELECT max(no) FROM outbox.lineage) AND l.no > 1 AND a.xid = pg_current_xact_id()
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% on outbox.% is refused: it is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
DROP TRIGGER append_only_rows ON outbox.change;
CREATE TRIGGER append_only_rows BEFORE UPDATE ON outbox.change FOR EACH ROW EXECUTE FUNCTION outbox.guard_change();

-- Writes a delete change, addressed to one connector, for a record that the table does not hold: a platform may still
-- show what only a lost history knew. The image is the last one of the log, or the key alone. Null where the key
-- cannot be told from its text. The caller has locked the log against writers and has found no such row.
CREATE FUNCTION outbox.capture_absence(type_of_record text, key_of_record text, connector text, actor text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
DECLARE
    registered outbox.capture;
    image jsonb;
    pairs text;
BEGIN
    SELECT * INTO registered FROM outbox.capture AS c WHERE c.record_type = type_of_record;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT coalesce(c.after, c.before) INTO image FROM outbox.change AS c
    WHERE c.record_type = type_of_record AND c.record_key = key_of_record AND coalesce(c.after, c.before) IS NOT NULL
    ORDER BY c.id DESC LIMIT 1;
    IF image IS NULL THEN
        SELECT pg_catalog.string_agg(pg_catalog.format('%L, ($1 ->> %s)::%s', a.attname, k.place - 1,
                                                       pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY k.place)
        INTO pairs
        FROM pg_catalog.unnest(registered.key_columns) WITH ORDINALITY AS k (name, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = registered.relid AND a.attname = k.name AND NOT a.attisdropped;
        EXECUTE pg_catalog.format('SELECT pg_catalog.jsonb_build_object(%s)', pairs) INTO image
        USING outbox.key_parts(registered, pg_catalog.to_jsonb(key_of_record));
    END IF;
    IF outbox.record_key(image, registered.key_columns) IS DISTINCT FROM key_of_record THEN
        RETURN NULL;
    END IF;
    -- Nobody can look up a key that was shortened to a digest: the caller has not found it, and it may be there.
    IF key_of_record ~ '#[0-9a-f]{64}$' AND outbox.is_present(registered, image) THEN
        RETURN NULL;
    END IF;
    RETURN outbox.write_change(registered, key_of_record, 'delete', 0, image, NULL, outbox.origin(), connector, actor);
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

DO $$
DECLARE
    f record;
BEGIN
    EXECUTE 'GRANT CREATE ON SCHEMA outbox TO outbox_capture';
    FOR f IN
        SELECT p.oid::regprocedure AS name, pg_catalog.md5(p.prosrc || coalesce(p.proconfig::text, '') || p.prosecdef) AS digest
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'outbox'::regnamespace AND p.proname = 'capture_absence'
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO outbox_capture', f.name);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f.name);
        EXECUTE format('COMMENT ON FUNCTION %s IS %L', f.name, 'capture ' || f.digest);
    END LOOP;
    EXECUTE 'REVOKE CREATE ON SCHEMA outbox FROM outbox_capture';
END
$$;

ALTER TABLE outbox.lineage OWNER TO outbox_owner;
ALTER TABLE outbox.lost_delivery OWNER TO outbox_owner;
ALTER FUNCTION outbox.guard_lineage() OWNER TO outbox_owner;
ALTER FUNCTION outbox.guard_change() OWNER TO outbox_owner;
REVOKE EXECUTE ON FUNCTION outbox.guard_lineage(), outbox.guard_change() FROM PUBLIC;
GRANT SELECT ON outbox.lineage, outbox.lost_delivery TO outbox_daemon, outbox_operator, outbox_auditor;
GRANT SELECT ON SEQUENCE outbox.epoch_seq, outbox.fence_seq TO outbox_daemon, outbox_operator, outbox_auditor;
GRANT INSERT ON outbox.lineage TO outbox_daemon;
GRANT EXECUTE ON FUNCTION outbox.capture_read(text, jsonb, text, text, jsonb), outbox.capture_absence(text, text, text, text)
    TO outbox_owner;
