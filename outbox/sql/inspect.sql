-- What persons ask the ledger. Nothing here writes; every scan has a bound.

-- connectors
-- Every registered connector with the verdict about its receiver, its record types and the time of its last success.
SELECT k.name, k.kind, k.guarantee,
       CASE WHEN k.verified <> 'accepted' AND NOT v.passed THEN 'failed' ELSE k.verified END AS verified, k.accepted,
       v.at AS verdict_at, v.declared AS verdict_declared, v.carries AS verdict_carries, v.fingerprint AS verdict_fingerprint,
       k.paused, k.paused_reason, k.mapping_version,
       ARRAY(SELECT jsonb_object_keys(coalesce(m.definition -> 'routes', '{}')) ORDER BY 1) AS record_types,
       coalesce(
           (SELECT max(n.at) FROM (SELECT a.connector, a.outcome, a.at FROM outbox.audit a ORDER BY a.at DESC LIMIT 20000) n
            WHERE n.connector = k.name AND n.outcome = 'applied'),
           (SELECT max(r.applied_at) FROM outbox.remote_object r WHERE r.connector = k.name)
       ) AS last_applied_at
FROM outbox.connector k
LEFT JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
LEFT JOIN LATERAL (
    SELECT * FROM outbox.receiver_standing r WHERE r.connector = k.name AND r.subject = k.subject
) v ON true
WHERE %(connector)s::text IS NULL OR k.name = %(connector)s
ORDER BY k.name;

-- lanes
-- Who owns each lane, for how long, where it stands, and how much lies before it (counted up to a bound).
SELECT l.connector, l.lane, l.lanes, l.owner, w.host, w.pid, l.epoch,
       CASE WHEN isfinite(l.leased_until)
            THEN greatest(0, extract(epoch FROM l.leased_until - clock_timestamp()))::float8 ELSE 0 END AS lease_left_seconds,
       p.position, p.claim_to, p.claimed_at, b.backlog, b.oldest_at
FROM outbox.lane l
LEFT JOIN outbox.worker w ON w.id = l.owner
LEFT JOIN LATERAL (
    SELECT * FROM outbox.page p WHERE p.connector = l.connector AND p.lane = l.lane ORDER BY p.page_no DESC LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT ARRAY(SELECT jsonb_object_keys(coalesce(m.definition -> 'routes', '{}'))) AS record_types
    FROM outbox.connector k JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
    WHERE k.name = l.connector
) t ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS backlog, min(c.captured_at) AS oldest_at
    FROM (
        (SELECT id, record_type, key_hash, connector, captured_at FROM outbox.change
         WHERE id > p.position ORDER BY id LIMIT %(bound)s)
        UNION ALL
        (SELECT id, record_type, key_hash, connector, captured_at FROM outbox.change
         WHERE id <= p.position
           AND (xid >= pg_snapshot_xmax(p.seen) OR xid = ANY (ARRAY(SELECT pg_snapshot_xip(p.seen))))
           AND NOT pg_visible_in_snapshot(xid, p.seen)
         LIMIT %(bound)s)
    ) c
    WHERE c.record_type = ANY (t.record_types) AND (c.connector IS NULL OR c.connector = l.connector)
      AND c.key_hash %% l.lanes = l.lane
      AND NOT (c.id <= coalesce(p.claim_to, 0) AND (
          EXISTS (SELECT FROM outbox.delivery d WHERE d.connector = l.connector AND d.change_id = c.id)
          OR EXISTS (SELECT FROM outbox.audit a WHERE a.connector = l.connector AND a.change_id = c.id
                       AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed'))))
) b ON true
WHERE %(connector)s::text IS NULL OR l.connector = %(connector)s
ORDER BY l.connector, l.lane;

-- open_deliveries
-- Open work outside the pages, by connector, state and error class.
SELECT d.connector, d.state, coalesce(d.error_class, '') AS error_class, count(*) AS deliveries, min(c.captured_at) AS oldest_at
FROM outbox.delivery d
LEFT JOIN outbox.change c ON c.id = d.change_id
WHERE %(connector)s::text IS NULL OR d.connector = %(connector)s
GROUP BY d.connector, d.state, coalesce(d.error_class, '')
ORDER BY d.connector, d.state, error_class;

-- workers
-- The daemons that gave a sign of life, and how long ago.
SELECT w.id, w.host, w.pid, w.version, w.connectors, w.started_at,
       extract(epoch FROM clock_timestamp() - w.heartbeat_at)::float8 AS heartbeat_age_seconds,
       w.heartbeat_at > clock_timestamp() - %(alive_seconds)s * interval '1 second' AS alive
FROM outbox.worker w
ORDER BY w.host, w.pid;

-- log_size
-- The partitions of the log and of the audit with their sizes.
SELECT i.inhparent::regclass::text AS log, i.inhrelid::regclass::text AS partition,
       pg_get_expr(c.relpartbound, c.oid) AS bounds, pg_total_relation_size(i.inhrelid) AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('outbox.change'::regclass, 'outbox.audit'::regclass) AND c.relkind = 'r'
ORDER BY 1, 2;

-- log_end
-- The last id drawn and the last change that can be seen; a difference may be a transaction that is still open.
SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END AS last_id,
       coalesce((SELECT max(c.id) FROM outbox.change c), 0) AS visible_id
FROM outbox.change_id_seq s;

-- open_transactions
-- Transactions that write and have not ended, oldest first: only their changes can be missing from the log's tail.
SELECT t.* FROM (
    SELECT a.pid, NULL::text AS prepared, a.usename AS user_name, a.application_name, a.client_addr::text AS client,
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_seconds
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
      AND a.datname = current_database()
    UNION ALL
    SELECT NULL, x.gid, x.owner, NULL, NULL, extract(epoch FROM clock_timestamp() - x.prepared)::float8
    FROM pg_prepared_xacts x WHERE x.database = current_database()
) t
WHERE coalesce(t.age_seconds, %(min_seconds)s) >= %(min_seconds)s
ORDER BY t.age_seconds DESC NULLS LAST
LIMIT 10;

-- failures
-- Deliveries that are in trouble, newest first, with the number of changes held behind each.
SELECT d.connector, d.change_id, d.generation, d.state, d.attempts, d.record_type, d.record_key, d.operation,
       d.error_class, d.error_fingerprint, d.last_error, d.last_answer, d.first_failed_at, d.entered_at, d.due_at,
       d.mapping_version, d.guarantee, d.act_id,
       (SELECT count(*) FROM outbox.delivery h
        WHERE h.connector = d.connector AND h.record_type = d.record_type AND h.record_key = d.record_key
          AND h.state = 'held' AND h.change_id > d.change_id) AS held_behind
FROM outbox.delivery d
WHERE (%(connector)s::text IS NULL OR d.connector = %(connector)s)
  AND (CASE WHEN %(state)s::text IS NULL THEN d.state IN ('dead', 'unknown') OR d.last_error IS NOT NULL
            ELSE d.state = %(state)s END)
  AND (%(record_type)s::text IS NULL OR d.record_type = %(record_type)s)
  AND (%(record_key)s::text IS NULL OR d.record_key = %(record_key)s)
  AND (cardinality(%(change_ids)s::bigint[]) = 0 OR d.change_id = ANY (%(change_ids)s))
  AND (%(error_class)s::text IS NULL OR d.error_class = %(error_class)s)
  AND (%(fingerprint)s::text IS NULL OR d.error_fingerprint = %(fingerprint)s)
  AND (%(since)s::timestamptz IS NULL OR coalesce(d.first_failed_at, d.entered_at) >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR coalesce(d.first_failed_at, d.entered_at) < %(until)s)
ORDER BY coalesce(d.first_failed_at, d.entered_at) DESC, d.connector, d.change_id DESC
LIMIT %(limit)s;

-- failure_groups
-- The same deliveries grouped by cause, largest group first.
SELECT d.connector, d.error_fingerprint, min(d.error_class) AS error_class, array_agg(DISTINCT d.state) AS states,
       count(*) AS deliveries, count(DISTINCT (d.record_type, d.record_key)) AS records,
       min(coalesce(d.first_failed_at, d.entered_at)) AS first_at, max(coalesce(d.first_failed_at, d.entered_at)) AS last_at,
       (array_agg(d.last_error ORDER BY d.change_id DESC))[1] AS sample, max(d.change_id) AS sample_change_id
FROM outbox.delivery d
WHERE (%(connector)s::text IS NULL OR d.connector = %(connector)s)
  AND (CASE WHEN %(state)s::text IS NULL THEN d.state IN ('dead', 'unknown') OR d.last_error IS NOT NULL
            ELSE d.state = %(state)s END)
  AND (%(record_type)s::text IS NULL OR d.record_type = %(record_type)s)
  AND (%(record_key)s::text IS NULL OR d.record_key = %(record_key)s)
  AND (cardinality(%(change_ids)s::bigint[]) = 0 OR d.change_id = ANY (%(change_ids)s))
  AND (%(error_class)s::text IS NULL OR d.error_class = %(error_class)s)
  AND (%(fingerprint)s::text IS NULL OR d.error_fingerprint = %(fingerprint)s)
  AND (%(since)s::timestamptz IS NULL OR coalesce(d.first_failed_at, d.entered_at) >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR coalesce(d.first_failed_at, d.entered_at) < %(until)s)
GROUP BY d.connector, d.error_fingerprint
ORDER BY count(*) DESC, d.connector
LIMIT %(limit)s;

-- audit
-- Entries of the audit, newest first, with the person's act where there was one.
SELECT a.id, a.at, a.connector, a.record_type, a.record_key, a.change_id, a.event_id, a.generation, a.attempt,
       a.operation, a.outcome, a.guarantee, a.mapping_version, a.worker, a.db_user, a.actor, a.request_hash, a.answer,
       a.act_id, t.kind AS act_kind, t.actor AS act_actor, t.reason AS act_reason
FROM outbox.audit a
LEFT JOIN outbox.act t ON t.id = a.act_id
WHERE (%(connector)s::text IS NULL OR a.connector = %(connector)s)
  AND (%(record_type)s::text IS NULL OR a.record_type = %(record_type)s)
  AND (%(record_key)s::text IS NULL OR a.record_key = %(record_key)s)
  AND (%(outcome)s::text IS NULL OR a.outcome = %(outcome)s)
  AND (%(actor)s::text IS NULL OR a.actor = %(actor)s OR t.actor = %(actor)s)
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
ORDER BY a.at DESC, a.id DESC
LIMIT %(limit)s;

-- record_changes
-- The newest changes of a record, with the names of the columns that differ.
SELECT c.id, c.operation, c.captured_at, c.actor, c.context, c.connector,
       ARRAY(SELECT n.key FROM jsonb_each(coalesce(c.after, c.before, '{}')) n
             WHERE c.before IS NULL OR c.after IS NULL OR c.before -> n.key IS DISTINCT FROM n.value ORDER BY n.key) AS changed
FROM outbox.change c
WHERE c.record_type = %(record_type)s AND c.record_key = %(record_key)s
ORDER BY c.id DESC
LIMIT %(limit)s;

-- record_audit
-- Everything the audit knows of a record, newest first, with acts.
SELECT a.at, a.change_id, a.connector, a.generation, a.attempt, a.outcome, a.answer, a.worker, a.mapping_version,
       t.kind AS act_kind, t.actor AS act_actor, t.reason AS act_reason
FROM outbox.audit a
LEFT JOIN outbox.act t ON t.id = a.act_id
WHERE a.record_type = %(record_type)s AND a.record_key = %(record_key)s
ORDER BY a.id DESC
LIMIT %(limit)s;

-- record_standings
-- Where each change of the record stands at each connector that takes its type.
SELECT k.name AS connector, c.id AS change_id, c.operation, c.captured_at,
       CASE
           WHEN d.state IS NOT NULL THEN d.state
           WHEN a.outcome IS NOT NULL THEN a.outcome
           WHEN p.page_no IS NULL THEN 'unclaimed'
           WHEN c.id <= p.position AND pg_visible_in_snapshot(c.xid, p.seen) THEN 'not_taken'
           WHEN c.id <= p.claim_to AND pg_visible_in_snapshot(c.xid, p.claim_seen) THEN 'claimed'
           ELSE 'unclaimed'
       END AS state,
       coalesce(d.generation, a.generation, 0) AS generation, d.attempts, d.due_at, d.last_error, d.error_class,
       a.at AS settled_at,
       (SELECT b.change_id FROM outbox.delivery b
        WHERE b.connector = k.name AND b.record_type = c.record_type AND b.record_key = c.record_key
          AND b.change_id < c.id AND (b.state <> 'dead' OR m.definition ->> 'after_reject' = 'hold')
        ORDER BY b.change_id LIMIT 1) AS behind,
       k.paused, k.paused_reason, p.claimed_at, f.breaker, f.why,
       coalesce(l.owner IS NOT NULL AND l.leased_until > clock_timestamp(), false) AS lane_owned
FROM outbox.connector k
JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
JOIN outbox.change c ON m.definition -> 'routes' ? c.record_type AND (c.connector IS NULL OR c.connector = k.name)
LEFT JOIN outbox.flow_standing f ON f.connector = k.name
LEFT JOIN outbox.lane l ON l.connector = k.name AND l.lane = c.key_hash %% l.lanes
LEFT JOIN LATERAL (
    SELECT * FROM outbox.page p WHERE p.connector = l.connector AND p.lane = l.lane ORDER BY p.page_no DESC LIMIT 1
) p ON true
LEFT JOIN outbox.delivery d ON d.connector = k.name AND d.change_id = c.id
LEFT JOIN LATERAL (
    SELECT a.outcome, a.generation, a.at FROM outbox.audit a
    WHERE a.connector = k.name AND a.change_id = c.id
      AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed')
    ORDER BY a.generation DESC LIMIT 1
) a ON true
WHERE c.record_type = %(record_type)s AND c.record_key = %(record_key)s
ORDER BY k.name, c.id DESC
LIMIT %(limit)s;

-- record_remotes
-- What each platform holds of the record, as of the change applied last.
SELECT r.connector, r.external_id, r.version, r.absent, r.change_id, r.applied_at
FROM outbox.remote_object r
WHERE r.record_type = %(record_type)s AND r.record_key = %(record_key)s
ORDER BY r.connector;

-- untaken_connectors
-- The connectors that do not take a record type at all.
SELECT k.name FROM outbox.connector k
JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
WHERE NOT coalesce(m.definition -> 'routes' ? %(record_type)s, false)
ORDER BY k.name;

-- now
-- The database's clock, the only one that ages are counted by.
SELECT clock_timestamp() AS now;

-- newest_changes
-- The newest changes of a record type that a connector is meant to get.
SELECT c.id, c.event_id, c.xid::text::bigint AS xid, c.command_id, c.record_type, c.record_key, c.operation,
       c.before, c.after, c.captured_at, c.actor, c.context, c.connector, c.schema_version
FROM outbox.change c
WHERE c.record_type = %(record_type)s AND (c.connector IS NULL OR c.connector = %(connector)s)
ORDER BY c.id DESC
LIMIT %(limit)s;

-- running_definition
-- The routes and mappings that a connector works with now.
SELECT m.version, m.definition
FROM outbox.connector k JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
WHERE k.name = %(connector)s;
