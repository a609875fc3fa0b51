-- Ownership of lanes: registration, leases by the database's clock, heartbeats, acts of the daemon.

-- note_act
-- Writes down what was done on purpose, by whom and why.
INSERT INTO outbox.act (kind, connector, actor, reason, detail)
VALUES (%(kind)s, %(connector)s, %(actor)s, %(reason)s, %(detail)s)
RETURNING id;

-- known_connector
-- The registered facts of a connector.
SELECT kind, guarantee, mapping_version, paused, subject, verified, accepted
FROM outbox.connector WHERE name = %(connector)s;

-- register_connector
-- A connector as configured now; changes only together with an act.
INSERT INTO outbox.connector (name, kind, guarantee, mapping_version, subject, verified, accepted, act_id)
VALUES (%(connector)s, %(kind)s, %(guarantee)s, %(mapping_version)s, %(subject)s, %(verified)s, %(accepted)s, %(act_id)s)
ON CONFLICT (name) DO UPDATE
SET kind = excluded.kind, guarantee = excluded.guarantee, mapping_version = excluded.mapping_version,
    subject = excluded.subject, verified = excluded.verified, accepted = excluded.accepted,
    act_id = excluded.act_id, updated_at = clock_timestamp();

-- register_mapping
-- Keeps every version of routes and mappings that was ever used.
INSERT INTO outbox.mapping (connector, version, definition)
VALUES (%(connector)s, %(version)s, %(definition)s)
ON CONFLICT DO NOTHING;

-- register_lane
-- A lane new to the outbox, with its first page row: from the beginning of the log, or from now on.
WITH made AS (
    INSERT INTO outbox.lane (connector, lane, lanes) VALUES (%(connector)s, %(lane)s, %(lanes)s)
    ON CONFLICT DO NOTHING
    RETURNING connector, lane
)
INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen)
SELECT connector, lane, 0, 0, CASE WHEN %(from_now)s THEN (SELECT coalesce(max(id), 0) FROM outbox.change) ELSE 0 END,
       pg_current_snapshot()
FROM made;

-- lane_count
-- How many lanes the outbox has for a connector.
SELECT coalesce(max(lanes), 0)::int AS lanes FROM outbox.lane WHERE connector = %(connector)s;

-- acquire
-- One free lane of our connectors, under a new epoch; lanes of dead owners are taken over when their lease is over.
-- An owner who lost his lanes and still gives signs of life has not died.
WITH free AS (
    SELECT connector, lane, owner, epoch AS last_epoch,
           owner IS NOT NULL AND NOT EXISTS (
               SELECT FROM outbox.worker w
               WHERE w.id = owner AND w.heartbeat_at > clock_timestamp() - %(lease)s / 2 * interval '1 second') AS after_death
    FROM outbox.lane
    WHERE connector = ANY (%(connectors)s) AND (%(only_lane)s::int IS NULL OR lane = %(only_lane)s::int)
      AND (owner IS NULL OR leased_until <= clock_timestamp())
    ORDER BY random()
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE outbox.lane l
SET owner = %(owner)s, epoch = nextval('outbox.epoch_seq'), leased_until = clock_timestamp() + %(lease)s * interval '1 second',
    recoveries = l.recoveries + free.after_death::int
FROM free
WHERE l.connector = free.connector AND l.lane = free.lane
RETURNING l.connector, l.lane, l.lanes, l.epoch, l.recoveries, free.after_death, free.owner AS previous_owner,
          free.last_epoch;

-- extend
-- A new lease on a lane we hold; no row means it is lost.
UPDATE outbox.lane
SET leased_until = clock_timestamp() + %(lease)s * interval '1 second'
WHERE connector = %(connector)s AND lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s
  AND leased_until > clock_timestamp()
RETURNING connector;

-- owner_now
-- Who holds a lane now, under which epoch.
SELECT owner, epoch FROM outbox.lane WHERE connector = %(connector)s AND lane = %(lane)s;

-- bound_transactions
-- A worker that is stopped inside a transaction keeps its lane's row locked no longer than its lease.
SELECT set_config('idle_in_transaction_session_timeout', %(milliseconds)s::text, false);

-- release
-- Gives a lane back at once; harmless when it is not ours any more.
UPDATE outbox.lane
SET owner = NULL, leased_until = '-infinity'
WHERE connector = %(connector)s AND lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s;

-- heartbeat
-- Tells the other workers that this one lives, and for which connectors.
INSERT INTO outbox.worker (id, host, pid, version, connectors)
VALUES (%(owner)s, %(host)s, %(pid)s, %(version)s, %(connectors)s)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp(), connectors = excluded.connectors;

-- leave
-- A worker that stops takes its heartbeat with it, so that its share is free at once.
DELETE FROM outbox.worker WHERE id = %(owner)s;

-- fair_share
-- Of each lane of these connectors the part that falls to one of the live workers that serve it; the sum rounded up.
-- The live ones are looked up once: after a night of restarts there are thousands of dead ones.
WITH live AS MATERIALIZED (
    SELECT connectors FROM outbox.worker WHERE heartbeat_at > clock_timestamp() - %(lease)s * interval '1 second'
)
SELECT coalesce(ceil(sum(1.0 / greatest(1, (
    SELECT count(*) FROM live w WHERE l.connector = ANY (w.connectors)
)))), 0)::int AS lanes
FROM outbox.lane l
WHERE l.connector = ANY (%(connectors)s);

-- pause_connector
-- The daemon stops a connector whose platform refuses us as a whole; only a person starts it again.
UPDATE outbox.connector
SET paused = true, paused_reason = %(reason)s, act_id = %(act_id)s, updated_at = clock_timestamp()
WHERE name = %(connector)s AND NOT paused;
