-- What all daemons share about one connector: its breaker, the bucket of its rate, the window of its fuse.

CREATE TABLE outbox.flow (
    connector     text        PRIMARY KEY REFERENCES outbox.connector,
    rate          float8,
    burst         float8,
    max_in_flight integer,
    tokens        float8      NOT NULL DEFAULT 0,
    filled_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    trips         integer     NOT NULL DEFAULT 0,
    opened_at     timestamptz,
    open_until    timestamptz,
    why           text,
    probe_epoch   bigint,
    probe_until   timestamptz,
    recent        jsonb       NOT NULL DEFAULT '[]',
    CONSTRAINT flow_rate_has_burst CHECK ((rate IS NULL AND burst IS NULL) OR (rate > 0 AND burst >= 1)),
    CONSTRAINT flow_open_is_whole CHECK (
        trips >= 0 AND (trips > 0) = (open_until IS NOT NULL) AND (trips > 0) = (opened_at IS NOT NULL)
        AND (trips > 0) = (why IS NOT NULL)
    ),
    CONSTRAINT flow_probe_is_whole CHECK ((probe_epoch IS NULL) = (probe_until IS NULL) AND (probe_epoch IS NULL OR trips > 0)),
    CONSTRAINT flow_why_is_capped CHECK (length(why) <= 2000)
) WITH (fillfactor = 50);
COMMENT ON TABLE outbox.flow IS 'Breaker, rate and fuse of each connector, as all daemons share them; times are the database''s.';
COMMENT ON COLUMN outbox.flow.trips IS 'How often in a row the breaker has opened; 0: it is closed.';
COMMENT ON COLUMN outbox.flow.probe_epoch IS 'The epoch of the lane that tries the platform for all, until probe_until at the latest.';
COMMENT ON COLUMN outbox.flow.recent IS 'Of each record that ended lately its hash and the fingerprint of its failure ('''': applied), oldest first.';

-- The same as a person reads it, with the tokens as they are now.
CREATE VIEW outbox.flow_standing AS
SELECT f.connector,
       CASE WHEN f.trips = 0 THEN 'closed' WHEN f.open_until > clock_timestamp() THEN 'open' ELSE 'half_open' END AS breaker,
       f.opened_at, f.open_until, f.why,
       CASE WHEN f.probe_until > clock_timestamp() THEN f.probe_epoch END AS probe_epoch,
       f.rate, f.burst, f.max_in_flight,
       least(f.burst, f.tokens + f.rate * greatest(0, extract(epoch FROM clock_timestamp() - f.filled_at)::float8)) AS tokens
FROM outbox.flow f;

-- Nobody ever wrote it.
ALTER TABLE outbox.connector DROP COLUMN breaker;

-- ---------------------------------------------------------------- roles

ALTER TABLE outbox.flow OWNER TO outbox_owner;
ALTER VIEW outbox.flow_standing OWNER TO outbox_owner;
GRANT SELECT ON outbox.flow, outbox.flow_standing TO outbox_daemon, outbox_operator, outbox_auditor;
GRANT INSERT, UPDATE ON outbox.flow TO outbox_daemon;
GRANT UPDATE (trips, opened_at, open_until, why, probe_epoch, probe_until, recent) ON outbox.flow TO outbox_operator;
