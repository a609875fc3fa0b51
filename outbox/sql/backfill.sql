-- Rows that were there before: captured as read changes for one connector, a chunk at a time, in the order of their keys.

-- rows_estimated
-- How many rows the table of a record type has, as the planner knows it; none where it was never analyzed.
SELECT CASE WHEN t.reltuples >= 0 THEN t.reltuples::bigint END AS rows
FROM outbox.capture c JOIN pg_class t ON t.oid = c.relid
WHERE c.record_type = %(record_type)s;

-- next_keys
-- The keys behind ``after`` (from the first one where it is null), in their order.
SELECT key FROM outbox.next_keys(%(record_type)s, %(after)s::jsonb, %(rows)s) AS key;

-- capture_chunk
-- Captures the rows of these keys as they are now; rows that are gone meanwhile are none.
SELECT count(*)::int AS captured, max(change_id) AS newest
FROM outbox.capture_read(%(record_type)s, %(keys)s::jsonb, %(connector)s, %(actor)s, %(context)s::jsonb);
