-- The ledger: log, lanes, pages, open deliveries, audit. No extension needed; PostgreSQL 15 or newer.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['outbox_owner', 'outbox_capture', 'outbox_daemon', 'outbox_operator', 'outbox_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this cluster migrated at the same moment
            END;
        END IF;
    END LOOP;
    -- A role that may create roles is not yet one of them, and could not hand its objects over.
    FOREACH name IN ARRAY ARRAY['outbox_owner', 'outbox_capture'] LOOP
        IF NOT pg_has_role(name, 'USAGE') THEN
            EXECUTE format('GRANT %I TO %I', name, current_user);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA outbox;
REVOKE ALL ON SCHEMA outbox FROM PUBLIC;

-- ---------------------------------------------------------------- the log

-- CACHE 1 is a condition of order: with a larger cache ids of one record run against commit order.
CREATE SEQUENCE outbox.change_id_seq AS bigint CACHE 1;

CREATE TABLE outbox.change (
    id             bigint      NOT NULL DEFAULT nextval('outbox.change_id_seq'),
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
    command_id     bigint      NOT NULL DEFAULT 0,
    key_hash       smallint    NOT NULL,
    schema_version integer     NOT NULL DEFAULT 1,
    event_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    captured_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    record_type    text        NOT NULL,
    record_key     text        NOT NULL,
    operation      text        NOT NULL,
    connector      text,
    actor          text,
    before         jsonb,
    after          jsonb,
    context        jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT change_pkey PRIMARY KEY (id),
    CONSTRAINT change_operation_known CHECK (operation IN ('insert', 'update', 'delete', 'truncate', 'read')),
    CONSTRAINT change_key_hash_range CHECK (key_hash >= 0)
) PARTITION BY RANGE (id);
COMMENT ON TABLE outbox.change IS 'Append-only log of captured changes; leaves by dropping partitions.';
CREATE INDEX change_xid_idx ON outbox.change (xid, id);
CREATE INDEX change_record_idx ON outbox.change (record_type, record_key, id);
-- A missing partition can never fail the application.
CREATE TABLE outbox.change_default PARTITION OF outbox.change DEFAULT;
ALTER SEQUENCE outbox.change_id_seq OWNED BY outbox.change.id;

CREATE TABLE outbox.capture (
    relid          oid     NOT NULL PRIMARY KEY,
    record_type    text    NOT NULL UNIQUE,
    table_name     text    NOT NULL,
    key_columns    text[]  NOT NULL,
    columns        text[],
    filter         text,
    max_bytes      integer NOT NULL DEFAULT 16777216,
    schema_version integer NOT NULL DEFAULT 1,
    definition_hash text   NOT NULL DEFAULT '',
    applied_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT capture_has_key CHECK (cardinality(key_columns) > 0),
    CONSTRAINT capture_max_bytes_range CHECK (max_bytes BETWEEN 1024 AND 104857600)
);
COMMENT ON TABLE outbox.capture IS 'The registered tables; columns null means all of them.';

-- ---------------------------------------------------------------- acts, connectors, workers, mappings

CREATE TABLE outbox.act (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid       xid8        NOT NULL DEFAULT pg_current_xact_id(),
    kind      text        NOT NULL,
    connector text,
    actor     text        NOT NULL,
    reason    text        NOT NULL,
    detail    jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT act_has_reason CHECK (reason <> ''),
    CONSTRAINT act_has_actor CHECK (actor <> '')
);
COMMENT ON TABLE outbox.act IS 'What persons and the daemon did on purpose; append-only.';

CREATE TABLE outbox.mapping (
    version    text        NOT NULL,
    connector  text        NOT NULL,
    definition jsonb       NOT NULL,
    first_used timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (connector, version)
);

CREATE TABLE outbox.connector (
    name                text        PRIMARY KEY,
    kind                text        NOT NULL,
    guarantee           text        NOT NULL,
    mapping_version     text        NOT NULL,
    paused              boolean     NOT NULL DEFAULT false,
    paused_reason       text,
    verified_guarantee  text,
    verified_at         timestamptz,
    breaker             jsonb       NOT NULL DEFAULT '{}',
    act_id              bigint      NOT NULL REFERENCES outbox.act,
    updated_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT connector_pause_has_reason CHECK (paused = (paused_reason IS NOT NULL))
);

CREATE TABLE outbox.worker (
    id           uuid        PRIMARY KEY,
    host         text        NOT NULL,
    pid          integer     NOT NULL,
    version      text        NOT NULL,
    connectors   text[]      NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- ---------------------------------------------------------------- lanes and pages

-- The epoch is the fencing token: drawn anew at each acquisition, never reused.
CREATE SEQUENCE outbox.epoch_seq AS bigint CACHE 1;
CREATE SEQUENCE outbox.fence_seq AS bigint CACHE 1;

CREATE TABLE outbox.lane (
    connector    text        NOT NULL,
    lane         smallint    NOT NULL,
    lanes        smallint    NOT NULL,
    owner        uuid,
    epoch        bigint      NOT NULL DEFAULT 0,
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (connector, lane),
    CONSTRAINT lane_in_range CHECK (lanes >= 1 AND lane >= 0 AND lane < lanes)
) WITH (fillfactor = 50);

-- Append-only, one row per claim; the highest page_no is the lane's state. A row without a claim ends a page.
CREATE TABLE outbox.page (
    connector       text        NOT NULL,
    lane            smallint    NOT NULL,
    page_no         bigint      NOT NULL,
    epoch           bigint      NOT NULL,
    position        bigint      NOT NULL,
    seen            pg_snapshot NOT NULL,
    claim_to        bigint,
    claim_seen      pg_snapshot,
    mapping_version text,
    claimed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (connector, lane, page_no),
    FOREIGN KEY (connector, lane) REFERENCES outbox.lane,
    CONSTRAINT page_claim_is_whole CHECK (
        (claim_to IS NULL AND claim_seen IS NULL AND mapping_version IS NULL)
        OR (claim_to >= position AND claim_seen IS NOT NULL AND mapping_version IS NOT NULL)
    )
);

-- ---------------------------------------------------------------- open deliveries

CREATE TABLE outbox.delivery (
    connector         text        NOT NULL,
    change_id         bigint      NOT NULL,
    generation        integer     NOT NULL DEFAULT 0,
    attempts          integer     NOT NULL DEFAULT 0,
    lane              smallint    NOT NULL,
    doubt             boolean     NOT NULL DEFAULT false,
    state             text        NOT NULL,
    due_at            timestamptz,
    fence             bigint,
    event_id          uuid        NOT NULL,
    operation         text        NOT NULL,
    record_type       text        NOT NULL,
    record_key        text        NOT NULL,
    mapping_version   text        NOT NULL,
    guarantee         text        NOT NULL,
    error_class       text,
    error_fingerprint text,
    last_error        text,
    last_answer       jsonb,
    request_hash      text,
    first_failed_at   timestamptz,
    entered_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    act_id            bigint      REFERENCES outbox.act,
    PRIMARY KEY (connector, change_id),
    CONSTRAINT delivery_state_known CHECK (state IN ('waiting', 'in_flight', 'held', 'unknown', 'dead')),
    CONSTRAINT delivery_in_flight_has_fence CHECK ((state = 'in_flight') = (fence IS NOT NULL)),
    CONSTRAINT delivery_waiting_has_due CHECK (state <> 'waiting' OR due_at IS NOT NULL),
    CONSTRAINT delivery_error_is_capped CHECK (length(last_error) <= 2000)
) WITH (fillfactor = 70);
COMMENT ON TABLE outbox.delivery IS 'Open work outside its page: everything that is not plain success.';
CREATE UNIQUE INDEX delivery_one_in_flight ON outbox.delivery (connector, record_type, record_key) WHERE state = 'in_flight';
CREATE INDEX delivery_due_idx ON outbox.delivery (connector, lane, due_at) WHERE state IN ('waiting', 'unknown');
CREATE INDEX delivery_record_idx ON outbox.delivery (connector, record_type, record_key, change_id);
-- Counts and the oldest of each state, for metrics and lists, at a price that does not grow with the dead letters.
CREATE INDEX delivery_state_idx ON outbox.delivery (state, connector, change_id);
CREATE INDEX delivery_fingerprint_idx ON outbox.delivery (connector, error_fingerprint) WHERE state = 'dead';

CREATE TABLE outbox.delivery_transition (
    old_state text NOT NULL,
    new_state text NOT NULL,
    PRIMARY KEY (old_state, new_state)
);
COMMENT ON TABLE outbox.delivery_transition IS 'The allowed transitions of a delivery ('''': enters or leaves the table).';
INSERT INTO outbox.delivery_transition (old_state, new_state) VALUES
    ('', 'waiting'), ('', 'in_flight'), ('', 'held'), ('', 'unknown'), ('', 'dead'),
    ('waiting', 'in_flight'), ('waiting', 'held'), ('waiting', 'dead'), ('waiting', ''),
    ('in_flight', 'waiting'), ('in_flight', 'held'), ('in_flight', 'unknown'), ('in_flight', 'dead'), ('in_flight', ''),
    ('held', 'waiting'), ('held', 'dead'), ('held', ''),
    ('unknown', 'in_flight'), ('unknown', 'waiting'), ('unknown', 'dead'), ('unknown', ''),
    ('dead', 'waiting'), ('dead', 'held'), ('dead', '');

CREATE TABLE outbox.remote_object (
    connector    text        NOT NULL,
    record_type  text        NOT NULL,
    record_key   text        NOT NULL,
    external_id  text,
    version      text,
    absent       boolean     NOT NULL DEFAULT false,
    change_id    bigint      NOT NULL,
    xid          xid8        NOT NULL,
    command_id   bigint      NOT NULL,
    content_hash text,
    applied_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (connector, record_type, record_key)
) WITH (fillfactor = 70);

-- ---------------------------------------------------------------- the audit

CREATE SEQUENCE outbox.audit_id_seq AS bigint;

CREATE TABLE outbox.audit (
    id              bigint      NOT NULL DEFAULT nextval('outbox.audit_id_seq'),
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid             xid8        NOT NULL DEFAULT pg_current_xact_id(),
    change_id       bigint      NOT NULL,
    event_id        uuid        NOT NULL,
    generation      integer     NOT NULL,
    attempt         integer     NOT NULL,
    connector       text        NOT NULL,
    record_type     text        NOT NULL,
    record_key      text        NOT NULL,
    operation       text        NOT NULL,
    outcome         text        NOT NULL,
    guarantee       text        NOT NULL,
    mapping_version text        NOT NULL,
    worker          text        NOT NULL DEFAULT current_setting('application_name'),
    db_user         text        NOT NULL DEFAULT session_user,
    actor           text,
    request_hash    text,
    answer          jsonb,
    act_id          bigint      REFERENCES outbox.act,
    CONSTRAINT audit_outcome_known CHECK (outcome IN (
        'applied', 'filtered', 'superseded', 'dropped', 'replayed',
        'waiting', 'in_flight', 'held', 'unknown', 'dead')),
    CONSTRAINT audit_person_has_act CHECK (outcome NOT IN ('dropped', 'replayed') OR act_id IS NOT NULL)
) PARTITION BY RANGE (change_id);
COMMENT ON TABLE outbox.audit IS 'Who sent what, when and why; append-only.';
CREATE TABLE outbox.audit_default PARTITION OF outbox.audit DEFAULT;
ALTER SEQUENCE outbox.audit_id_seq OWNED BY outbox.audit.id;
-- The exactly-once ledger: a change settles once per connector and generation.
CREATE UNIQUE INDEX audit_settles_once ON outbox.audit (connector, change_id, generation)
    WHERE outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed');
CREATE INDEX audit_record_idx ON outbox.audit (record_type, record_key, id);
CREATE INDEX audit_at_idx ON outbox.audit (at);

-- The seed's shape of an audit trail.
CREATE VIEW outbox.audit_log AS
SELECT a.at,
       coalesce(a.actor, a.db_user) AS user_id,
       'sync.' || a.outcome AS action,
       jsonb_build_object(
           'connector', a.connector, 'record_type', a.record_type, 'record_key', a.record_key,
           'operation', a.operation, 'change_id', a.change_id, 'event_id', a.event_id,
           'generation', a.generation, 'attempt', a.attempt, 'guarantee', a.guarantee,
           'mapping_version', a.mapping_version, 'worker', a.worker, 'answer', a.answer, 'act_id', a.act_id
       ) AS metadata
FROM outbox.audit a;

-- ---------------------------------------------------------------- guards

CREATE FUNCTION outbox.refuse_rewrite() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on outbox.% is refused: it is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON outbox.audit FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.audit FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.audit_default FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON outbox.act FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.act FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_rows BEFORE UPDATE ON outbox.change FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite();

-- Every transition of a delivery is checked against the table of transitions and audited in its own
-- transaction; a delivery leaves only when the same transaction has written its settling audit entry.
CREATE FUNCTION outbox.guard_delivery() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was     text := CASE WHEN TG_OP = 'INSERT' THEN '' ELSE OLD.state END;
    becomes text := CASE WHEN TG_OP = 'DELETE' THEN '' ELSE NEW.state END;
BEGIN
    IF TG_OP = 'UPDATE' AND was = becomes THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM outbox.delivery_transition t WHERE t.old_state = was AND t.new_state = becomes) THEN
        RAISE EXCEPTION 'delivery of change % to %: transition from % to % is not allowed',
            coalesce(NEW.change_id, OLD.change_id), coalesce(NEW.connector, OLD.connector), was, becomes
            USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (
            SELECT FROM outbox.audit a
            WHERE a.connector = OLD.connector AND a.change_id = OLD.change_id AND a.generation = OLD.generation
              AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed')
              AND a.xid = pg_current_xact_id()
        ) THEN
            RAISE EXCEPTION 'delivery of change % to % cannot leave without an audit entry in the same transaction',
                OLD.change_id, OLD.connector USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END IF;
    INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key, operation,
                              outcome, guarantee, mapping_version, db_user, actor, request_hash, answer, act_id)
    SELECT NEW.change_id, NEW.event_id, NEW.generation, NEW.attempts, NEW.connector, NEW.record_type, NEW.record_key, NEW.operation,
           NEW.state, NEW.guarantee, NEW.mapping_version, session_user, a.actor, NEW.request_hash,
           CASE WHEN NEW.last_error IS NOT NULL
                THEN jsonb_build_object('error_class', NEW.error_class, 'error', NEW.last_error) || coalesce(NEW.last_answer, '{}') END,
           NEW.act_id
    FROM (SELECT (SELECT c.actor FROM outbox.change c WHERE c.id = NEW.change_id) AS actor) a;
    RETURN NULL;
END
$$;
CREATE TRIGGER delivery_guard AFTER INSERT OR UPDATE OF state OR DELETE ON outbox.delivery
    FOR EACH ROW EXECUTE FUNCTION outbox.guard_delivery();
CREATE TRIGGER delivery_no_truncate BEFORE TRUNCATE ON outbox.delivery
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();

-- A connector is paused, resumed or reconfigured only together with an act of the same transaction.
CREATE FUNCTION outbox.guard_connector() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM outbox.act WHERE id = NEW.act_id AND xid = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'connector % changes only with an act in the same transaction', NEW.name USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER connector_guard AFTER INSERT OR UPDATE OF paused, mapping_version, guarantee, verified_guarantee ON outbox.connector
    FOR EACH ROW EXECUTE FUNCTION outbox.guard_connector();

-- ---------------------------------------------------------------- roles

ALTER SCHEMA outbox OWNER TO outbox_owner;
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT format('ALTER TABLE %s OWNER TO outbox_owner', c.oid::regclass) AS sql
             FROM pg_catalog.pg_class c WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    LOOP EXECUTE r.sql; END LOOP;
    FOR r IN SELECT format('ALTER SEQUENCE %s OWNER TO outbox_owner', c.oid::regclass) AS sql
             FROM pg_catalog.pg_class c WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind = 'S'
               AND c.relname IN ('epoch_seq', 'fence_seq')
    LOOP EXECUTE r.sql; END LOOP;
    FOR r IN SELECT format('ALTER FUNCTION %s OWNER TO outbox_owner', p.oid::regprocedure) AS sql
             FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'outbox'::regnamespace
    LOOP EXECUTE r.sql; END LOOP;
END
$$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA outbox FROM PUBLIC;

GRANT USAGE ON SCHEMA outbox TO outbox_capture, outbox_daemon, outbox_operator, outbox_auditor;
GRANT INSERT ON outbox.change TO outbox_capture;
GRANT USAGE ON SEQUENCE outbox.change_id_seq TO outbox_capture;
GRANT SELECT ON outbox.capture TO outbox_capture;

GRANT SELECT ON ALL TABLES IN SCHEMA outbox TO outbox_daemon, outbox_operator, outbox_auditor;
GRANT SELECT ON SEQUENCE outbox.change_id_seq TO outbox_daemon, outbox_operator, outbox_auditor;
GRANT USAGE ON SEQUENCE outbox.epoch_seq, outbox.fence_seq, outbox.audit_id_seq TO outbox_daemon;
GRANT USAGE ON SEQUENCE outbox.audit_id_seq TO outbox_operator;
GRANT INSERT ON outbox.audit, outbox.act, outbox.mapping, outbox.page, outbox.lane, outbox.connector TO outbox_daemon;
GRANT INSERT, UPDATE, DELETE ON outbox.delivery, outbox.remote_object, outbox.worker TO outbox_daemon;
GRANT UPDATE ON outbox.lane, outbox.connector TO outbox_daemon;
GRANT DELETE ON outbox.page TO outbox_daemon;
GRANT INSERT ON outbox.audit, outbox.act TO outbox_operator;
GRANT INSERT, UPDATE, DELETE ON outbox.delivery TO outbox_operator;
GRANT UPDATE ON outbox.connector TO outbox_operator;
GRANT UPDATE (leased_until) ON outbox.lane TO outbox_operator;
