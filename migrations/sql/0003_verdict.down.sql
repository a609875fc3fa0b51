-- Takes the verdicts away; what connectors are served under is told by their class alone again.
DROP VIEW outbox.receiver_standing;
DROP TABLE outbox.receiver_verdict;
DROP FUNCTION outbox.guard_verdict();

ALTER TABLE outbox.connector ADD COLUMN verified_guarantee text;
ALTER TABLE outbox.connector ADD COLUMN verified_at timestamptz;
COMMENT ON COLUMN outbox.connector.guarantee IS NULL;

CREATE OR REPLACE FUNCTION outbox.guard_connector() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM outbox.act WHERE id = NEW.act_id AND xid = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'connector % changes only with an act in the same transaction', NEW.name USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER connector_guard ON outbox.connector;
CREATE TRIGGER connector_guard AFTER INSERT OR UPDATE OF paused, mapping_version, guarantee, verified_guarantee ON outbox.connector
    FOR EACH ROW EXECUTE FUNCTION outbox.guard_connector();
ALTER TABLE outbox.connector DROP COLUMN subject;
ALTER TABLE outbox.connector DROP COLUMN verified;
ALTER TABLE outbox.connector DROP COLUMN accepted;
