-- One record on demand: a read change for one connector, and what became of it.

-- request_read
-- Captures the record's present row as a change for one connector; no id when there is no such record.
SELECT change_id FROM outbox.capture_read(%(record_type)s, jsonb_build_array(%(key)s::jsonb), %(connector)s, %(actor)s);

-- key_columns
-- The key columns of a captured record type, in key order.
SELECT key_columns FROM outbox.capture WHERE record_type = %(record_type)s;

-- connector_facts
-- Whether a connector may deliver this record type now, and why not.
SELECT c.paused, c.paused_reason, m.definition -> 'routes' ? %(record_type)s AS routed
FROM outbox.connector c
JOIN outbox.mapping m ON m.connector = c.name AND m.version = c.mapping_version
WHERE c.name = %(connector)s;

-- lane_of
-- The lane that delivers a change.
SELECT (c.key_hash %% l.lanes)::int AS lane
FROM outbox.change c, outbox.lane l
WHERE c.id = %(change_id)s AND l.connector = %(connector)s AND l.lane = 0;

-- progress
-- What became of a change so far: its settling audit entry, or its open delivery, or nothing yet.
SELECT a.outcome, d.state, d.error_class, d.last_error
FROM (SELECT %(connector)s::text AS connector, %(change_id)s::bigint AS change_id) w
LEFT JOIN outbox.audit a ON a.connector = w.connector AND a.change_id = w.change_id AND a.generation = 0
     AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed')
LEFT JOIN outbox.delivery d ON d.connector = w.connector AND d.change_id = w.change_id;
