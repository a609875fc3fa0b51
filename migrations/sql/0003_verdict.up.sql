-- Verdicts: what the probes found out about a receiver. A connector that promises an exact class is served
-- only under a verdict about exactly this receiver with exactly these options (its subject), or a person's reason.

CREATE TABLE outbox.receiver_verdict (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    connector   text        NOT NULL,
    subject     text        NOT NULL,
    declared    text        NOT NULL,
    carries     text        NOT NULL,
    passed      boolean     NOT NULL GENERATED ALWAYS AS (carries = declared) STORED,
    quick       boolean     NOT NULL,
    rounds      integer     NOT NULL,
    fingerprint text        NOT NULL,
    scratch_url text,
    probes      jsonb       NOT NULL,
    actor       text        NOT NULL,
    act_id      bigint      NOT NULL REFERENCES outbox.act,
    CONSTRAINT receiver_verdict_tried_something CHECK (rounds > 0 AND jsonb_array_length(probes) > 0)
);
COMMENT ON TABLE outbox.receiver_verdict IS 'What the probes found out about each receiver, when and by whom; append-only.';
CREATE INDEX receiver_verdict_subject_idx ON outbox.receiver_verdict (connector, subject, id DESC);

CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON outbox.receiver_verdict FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.receiver_verdict FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();

CREATE FUNCTION outbox.guard_verdict() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM outbox.act a
        WHERE a.id = NEW.act_id AND a.xid = pg_current_xact_id() AND a.kind = 'verify_receiver'
          AND a.connector = NEW.connector AND a.actor = NEW.actor
    ) THEN
        RAISE EXCEPTION 'a verdict about % is stored only with its act in the same transaction', NEW.connector
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER verdict_guard AFTER INSERT ON outbox.receiver_verdict FOR EACH ROW EXECUTE FUNCTION outbox.guard_verdict();

-- The newest verdict about each subject; but a few quick probes that pass only confirm what all of them found.
CREATE VIEW outbox.receiver_standing AS
SELECT DISTINCT ON (v.connector, v.subject) v.*
FROM outbox.receiver_verdict v
WHERE NOT v.quick OR NOT v.passed OR coalesce((
    SELECT c.passed FROM outbox.receiver_verdict c
    WHERE c.connector = v.connector AND c.subject = v.subject AND NOT c.quick
    ORDER BY c.id DESC LIMIT 1), false)
ORDER BY v.connector, v.subject, v.id DESC;

-- ---------------------------------------------------------------- what each connector is served under

ALTER TABLE outbox.connector ADD COLUMN subject text NOT NULL DEFAULT '';
ALTER TABLE outbox.connector ADD COLUMN verified text NOT NULL DEFAULT 'none_needed';
ALTER TABLE outbox.connector ADD COLUMN accepted text;
ALTER TABLE outbox.connector ADD CONSTRAINT connector_verified_known CHECK (verified IN ('passed', 'accepted', 'none_needed'));
ALTER TABLE outbox.connector ADD CONSTRAINT connector_accepted_has_reason CHECK ((verified = 'accepted') = (accepted IS NOT NULL));
COMMENT ON COLUMN outbox.connector.guarantee IS 'The class in force: what a failed and accepted verdict says it carries, else the declared one.';
COMMENT ON COLUMN outbox.connector.accepted IS 'The reason why a person accepts the connector without a passing verdict.';

CREATE OR REPLACE FUNCTION outbox.guard_connector() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM outbox.act WHERE id = NEW.act_id AND xid = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'connector % changes only with an act in the same transaction', NEW.name USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.accepted IS NOT NULL
       AND (TG_OP = 'INSERT' OR (NEW.accepted, NEW.subject) IS DISTINCT FROM (OLD.accepted, OLD.subject))
       AND NOT EXISTS (SELECT FROM outbox.act WHERE id = NEW.act_id AND kind = 'accept_unverified' AND reason = NEW.accepted)
    THEN
        RAISE EXCEPTION 'connector % is accepted without a verdict only with an act that says why', NEW.name
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER connector_guard ON outbox.connector;
CREATE TRIGGER connector_guard
    AFTER INSERT OR UPDATE OF paused, mapping_version, guarantee, subject, verified, accepted ON outbox.connector
    FOR EACH ROW EXECUTE FUNCTION outbox.guard_connector();

-- Replaced by the verdicts themselves; nobody ever wrote them.
ALTER TABLE outbox.connector DROP COLUMN verified_guarantee;
ALTER TABLE outbox.connector DROP COLUMN verified_at;

-- ---------------------------------------------------------------- roles

ALTER TABLE outbox.receiver_verdict OWNER TO outbox_owner;
ALTER VIEW outbox.receiver_standing OWNER TO outbox_owner;
ALTER FUNCTION outbox.guard_verdict() OWNER TO outbox_owner;
REVOKE EXECUTE ON FUNCTION outbox.guard_verdict() FROM PUBLIC;
GRANT SELECT ON outbox.receiver_verdict, outbox.receiver_standing TO outbox_daemon, outbox_operator, outbox_auditor;
GRANT INSERT ON outbox.receiver_verdict TO outbox_daemon, outbox_operator;
