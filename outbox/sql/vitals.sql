-- What a scrape asks the ledger. Every statement is bounded: it reads at most a fixed number of rows per
-- lane or state, however large backlog, history or dead letters are.

-- ids_drawn
-- How many ids the sequence of changes has given out; ids of rolled-back transactions count.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS ids FROM outbox.change_id_seq;

-- lanes
-- Per lane: distance to the newest id, changes not yet claimed (counted up to a limit), age of the first change
-- that is not yet settled as far as the lane's page tells.
SELECT l.connector, k.paused,
       greatest(0, s.last_value - coalesce(p.claim_to, p.position)) AS ids_behind,
       waiting.changes AS unclaimed,
       extract(epoch FROM clock_timestamp() - first.captured_at)::float8 AS oldest_seconds
FROM outbox.lane l
JOIN outbox.connector k ON k.name = l.connector
JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
CROSS JOIN outbox.change_id_seq s
CROSS JOIN LATERAL (SELECT ARRAY(SELECT jsonb_object_keys(m.definition -> 'routes')) AS record_types) r
CROSS JOIN LATERAL (
    SELECT n.position, n.claim_to FROM outbox.page n
    WHERE n.connector = l.connector AND n.lane = l.lane
    ORDER BY n.page_no DESC LIMIT 1
) p
CROSS JOIN LATERAL (
    SELECT count(*) AS changes
    FROM (SELECT c.record_type, c.connector, c.key_hash FROM outbox.change c
          WHERE c.id > coalesce(p.claim_to, p.position) ORDER BY c.id LIMIT %(limit)s) n
    WHERE n.record_type = ANY (r.record_types) AND (n.connector IS NULL OR n.connector = l.connector)
      AND n.key_hash %% l.lanes = l.lane
) waiting
LEFT JOIN LATERAL (
    SELECT n.captured_at
    FROM (SELECT c.id, c.captured_at, c.record_type, c.connector, c.key_hash FROM outbox.change c
          WHERE c.id > p.position ORDER BY c.id LIMIT %(limit)s) n
    WHERE n.record_type = ANY (r.record_types) AND (n.connector IS NULL OR n.connector = l.connector)
      AND n.key_hash %% l.lanes = l.lane
    ORDER BY n.id LIMIT 1
) first ON true;

-- classes
-- The class that each connector is served under, and on what it rests.
SELECT k.name AS connector, k.guarantee,
       CASE WHEN k.verified <> 'accepted' AND NOT v.passed THEN 'failed' ELSE k.verified END AS verified
FROM outbox.connector k
LEFT JOIN LATERAL (
    SELECT r.passed FROM outbox.receiver_standing r WHERE r.connector = k.name AND r.subject = k.subject
) v ON true
ORDER BY k.name;

-- deliveries
-- Per connector and state: open deliveries (counted up to a limit) and the age of the change that is first in line.
SELECT k.name AS connector, s.state, counted.deliveries,
       extract(epoch FROM clock_timestamp() - coalesce(c.captured_at, first.entered_at))::float8 AS oldest_seconds
FROM outbox.connector k
CROSS JOIN unnest(ARRAY['waiting', 'in_flight', 'held', 'unknown', 'dead']) AS s (state)
CROSS JOIN LATERAL (
    SELECT count(*) AS deliveries
    FROM (SELECT FROM outbox.delivery d WHERE d.connector = k.name AND d.state = s.state LIMIT %(limit)s) n
) counted
LEFT JOIN LATERAL (
    SELECT d.change_id, d.entered_at FROM outbox.delivery d
    WHERE d.connector = k.name AND d.state = s.state
    ORDER BY d.change_id LIMIT 1
) first ON true
LEFT JOIN outbox.change c ON c.id = first.change_id;

-- oldest_transaction
-- The age of the oldest transaction of this database that is open or prepared; null when we may not see others'.
SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN extract(epoch FROM greatest(
    interval '0',
    (SELECT clock_timestamp() - min(a.xact_start) FROM pg_stat_activity a
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()),
    (SELECT clock_timestamp() - min(x.prepared) FROM pg_prepared_xacts x WHERE x.database = current_database())
))::float8 END AS seconds;

-- default_rows
-- Changes that found no partition (counted up to a limit).
SELECT count(*) AS changes FROM (SELECT FROM outbox.change_default LIMIT %(limit)s) n;
