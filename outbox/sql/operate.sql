-- The acts of persons on deliveries. What touches deliveries runs after lock_lanes in the same transaction,
-- so that it takes turns with the claims and settles of the lane's owner.

-- lock_lanes
-- Locks every lane of a connector, in order; one row per lane.
SELECT lane, lanes FROM outbox.lane WHERE connector = %(connector)s ORDER BY lane FOR UPDATE;

-- connector
-- Whether a connector is known, is paused, and lets a dead letter hold its record.
SELECT k.name, k.paused, k.paused_reason, coalesce(m.definition ->> 'after_reject' = 'hold', false) AS dead_blocks
FROM outbox.connector k
LEFT JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
WHERE k.name = %(connector)s;

-- pause
-- Stops a connector on a person's order.
UPDATE outbox.connector
SET paused = true, paused_reason = %(reason)s, act_id = %(act_id)s, updated_at = clock_timestamp()
WHERE name = %(connector)s AND NOT paused;

-- resume
-- Starts a connector again on a person's order.
UPDATE outbox.connector
SET paused = false, paused_reason = NULL, act_id = %(act_id)s, updated_at = clock_timestamp()
WHERE name = %(connector)s AND paused;

-- select_open
-- Open deliveries that a selector means, in the order in which they would go.
SELECT d.connector, d.change_id, d.generation, d.state, d.mapping_version
FROM outbox.delivery d
WHERE d.state = ANY (%(states)s)
  AND (%(connector)s::text IS NULL OR d.connector = %(connector)s)
  AND (%(record_type)s::text IS NULL OR d.record_type = %(record_type)s)
  AND (%(record_key)s::text IS NULL OR d.record_key = %(record_key)s)
  AND (cardinality(%(change_ids)s::bigint[]) = 0 OR d.change_id = ANY (%(change_ids)s))
  AND (%(error_class)s::text IS NULL OR d.error_class = %(error_class)s)
  AND (%(fingerprint)s::text IS NULL OR d.error_fingerprint = %(fingerprint)s)
  AND (%(since)s::timestamptz IS NULL OR coalesce(d.first_failed_at, d.entered_at) >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR coalesce(d.first_failed_at, d.entered_at) < %(until)s)
ORDER BY d.connector, d.change_id
LIMIT %(limit)s + 1;

-- select_settled
-- Settled changes that a selector means, by their newest generation; those that are open again are left out.
SELECT a.connector, a.change_id, a.generation, a.outcome AS state, a.mapping_version
FROM outbox.audit a
WHERE a.outcome IN ('applied', 'filtered', 'superseded', 'dropped')
  AND (%(outcome)s::text IS NULL OR a.outcome = %(outcome)s)
  AND (%(connector)s::text IS NULL OR a.connector = %(connector)s)
  AND (%(record_type)s::text IS NULL OR a.record_type = %(record_type)s)
  AND (%(record_key)s::text IS NULL OR a.record_key = %(record_key)s)
  AND (cardinality(%(change_ids)s::bigint[]) = 0 OR a.change_id = ANY (%(change_ids)s))
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
  AND NOT EXISTS (
      SELECT FROM outbox.audit n
      WHERE n.connector = a.connector AND n.change_id = a.change_id AND n.generation > a.generation
        AND n.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed'))
  AND NOT EXISTS (SELECT FROM outbox.delivery d WHERE d.connector = a.connector AND d.change_id = a.change_id)
ORDER BY a.connector, a.change_id
LIMIT %(limit)s + 1;

-- fates
-- What would become of a replay of these changes: sent, superseded by something newer that was applied, or missing.
SELECT s.change_id, c.record_type, c.record_key,
       k.mapping_version AS current_version, k.guarantee,
       coalesce(d.state, l.outcome) AS state, coalesce(d.generation, l.generation) AS generation, d.state IS NOT NULL AS open,
       coalesce(d.deaths, 0) AS deaths, coalesce(d.doubt, false) AS doubt,
       CASE
           WHEN c.id IS NULL THEN 'missing'
           WHEN c.xid <> r.xid AND r.change_id > c.id THEN 'superseded'
           WHEN c.xid = r.xid AND (r.command_id, r.change_id) > (c.command_id, c.id) THEN 'superseded'
           WHEN EXISTS (
               SELECT FROM outbox.audit a
               WHERE a.record_type = c.record_type AND a.record_key = c.record_key AND a.connector = k.name
                 AND a.change_id > c.id AND a.outcome = 'applied' AND a.act_id IS NOT NULL) THEN 'superseded'
           ELSE 'sent'
       END AS fate
FROM unnest(%(change_ids)s::bigint[]) AS s (change_id)
JOIN outbox.connector k ON k.name = %(connector)s
LEFT JOIN outbox.change c ON c.id = s.change_id
LEFT JOIN outbox.delivery d ON d.connector = k.name AND d.change_id = s.change_id
LEFT JOIN outbox.remote_object r ON r.connector = k.name AND r.record_type = c.record_type AND r.record_key = c.record_key
LEFT JOIN LATERAL (
    SELECT a.outcome, a.generation FROM outbox.audit a
    WHERE a.connector = k.name AND a.change_id = s.change_id
      AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed')
    ORDER BY a.generation DESC LIMIT 1
) l ON true
ORDER BY s.change_id;

-- settle_open
-- The settling audit entries of open deliveries that a person's act ends.
INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key, operation,
                          outcome, guarantee, mapping_version, actor, request_hash, answer, act_id)
SELECT d.change_id, d.event_id, d.generation, d.attempts, d.connector, d.record_type, d.record_key, d.operation,
       %(outcome)s, d.guarantee, d.mapping_version, %(actor)s, d.request_hash, d.last_answer, %(act_id)s
FROM outbox.delivery d
WHERE d.connector = %(connector)s AND d.change_id = ANY (%(change_ids)s);

-- leave
-- The same deliveries leave; their records are returned.
DELETE FROM outbox.delivery d
WHERE d.connector = %(connector)s AND d.change_id = ANY (%(change_ids)s)
RETURNING d.record_type, d.record_key;

-- enter
-- A new generation of each change, with the mapping of today: due when it is the first of its record, else held; parked
-- ones wait for a person's word.
INSERT INTO outbox.delivery (connector, change_id, generation, lane, doubt, deaths, state, due_at, event_id, operation,
                             record_type, record_key, mapping_version, guarantee, act_id)
SELECT k.name, c.id, s.generation, c.key_hash %% (SELECT max(l.lanes) FROM outbox.lane l WHERE l.connector = k.name), s.doubt, s.deaths,
       CASE WHEN s.parked THEN 'unknown'
            WHEN row_number() OVER (PARTITION BY c.record_type, c.record_key ORDER BY c.id) > 1 OR EXISTS (
           SELECT FROM outbox.delivery b
           WHERE b.connector = k.name AND b.record_type = c.record_type AND b.record_key = c.record_key
             AND (b.state IN ('in_flight', 'unknown')
                  OR (b.change_id < c.id AND (b.state <> 'dead' OR %(dead_blocks)s)))
       ) THEN 'held' ELSE 'waiting' END,
       CASE WHEN NOT s.parked THEN clock_timestamp() END, c.event_id, c.operation, c.record_type, c.record_key,
       k.mapping_version, k.guarantee, %(act_id)s
FROM unnest(%(change_ids)s::bigint[], %(generations)s::int[], %(doubts)s::bool[], %(deaths)s::int[],
            %(parked)s::bool[]) AS s (change_id, generation, doubt, deaths, parked)
JOIN outbox.change c ON c.id = s.change_id
JOIN outbox.connector k ON k.name = %(connector)s
ORDER BY c.id
RETURNING state, record_type, record_key;

-- hold_later
-- Waiting deliveries of these records step back behind an earlier open one that has just entered. (Record by
-- record through the window, so that no plan walks all waiting deliveries of the connector.)
UPDATE outbox.delivery w
SET state = 'held'
WHERE w.connector = %(connector)s AND w.change_id = ANY (ARRAY(
    SELECT o.change_id
    FROM unnest(%(record_type)s::text[], %(record_key)s::text[]) AS r (record_type, record_key)
    CROSS JOIN LATERAL (
        SELECT d.change_id, d.state, min(d.change_id) FILTER (WHERE d.state <> 'dead') OVER () AS first
        FROM outbox.delivery d
        WHERE d.connector = %(connector)s AND d.record_type = r.record_type AND d.record_key = r.record_key
    ) o
    WHERE o.state = 'waiting' AND o.change_id > o.first));

-- delivery
-- One open delivery.
SELECT state, record_type, record_key FROM outbox.delivery WHERE connector = %(connector)s AND change_id = %(change_id)s;

-- older_open
-- Open deliveries of a record that are older than a change: what they carry has been overtaken by it.
SELECT o.change_id FROM outbox.delivery o
WHERE o.connector = %(connector)s AND o.record_type = %(record_type)s AND o.record_key = %(record_key)s
  AND o.change_id < %(change_id)s AND o.state <> 'in_flight'
ORDER BY o.change_id;

-- not_applied
-- A doubtful delivery that a person knows was not applied: it goes again, under the same key.
UPDATE outbox.delivery
SET state = 'waiting', due_at = clock_timestamp(), doubt = false, act_id = %(act_id)s
WHERE connector = %(connector)s AND change_id = %(change_id)s AND state = 'unknown';

-- still_dead
-- Which of these are dead letters, now that the lanes are locked.
SELECT d.change_id FROM outbox.delivery d
WHERE d.connector = %(connector)s AND d.change_id = ANY (%(change_ids)s) AND d.state = 'dead'
ORDER BY d.change_id;
