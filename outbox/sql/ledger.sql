-- The statements of the claim protocol: claim, settle, recover. Each is run under the lane's row lock
-- (hold_lane; settle takes it itself) unless it only reads.

-- hold_lane
-- Locks the lane for this transaction and proves that the lease is still ours; no row means it is lost.
SELECT extract(epoch FROM leased_until - clock_timestamp())::float8 AS seconds_left
FROM outbox.lane
WHERE connector = %(connector)s AND lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s
  AND leased_until > clock_timestamp()
FOR UPDATE;

-- newest_page
-- The state of a lane: its resume token and, when a page is open, the claim.
SELECT page_no, position, seen::text AS seen, claim_to, claim_seen::text AS claim_seen, mapping_version, claimed_at
FROM outbox.page
WHERE connector = %(connector)s AND lane = %(lane)s
ORDER BY page_no DESC
LIMIT 1;

-- read_page
-- Stragglers and news behind a resume token, all in one snapshot; at least one row, which may carry no change.
-- News end with the change that fills the page, by number or by bytes.
-- Here and below IS TRUE and OFFSET 0 leave the planner one way only, by the index of ids, transaction ids or records:
-- with the statistics of another day it would read all of the log, or all open deliveries, for each page.
WITH token AS (
    SELECT %(position)s::bigint AS position, %(seen)s::pg_snapshot AS seen, pg_current_snapshot() AS snapshot
), scanned AS MATERIALIZED (
    SELECT coalesce(max(s.id), %(position)s) AS upto
    FROM (SELECT id FROM outbox.change WHERE id > %(position)s ORDER BY id LIMIT %(scan_limit)s) s
), candidates AS MATERIALIZED (
    SELECT c.id, sum(c.bytes) OVER (ORDER BY c.id) - c.bytes AS bytes_before
    FROM outbox.change c
    WHERE c.id > %(position)s AND c.id <= (SELECT upto FROM scanned)
      AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
      AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
    ORDER BY c.id
    LIMIT %(page_size)s
), news AS MATERIALIZED (
    SELECT id FROM candidates WHERE bytes_before < %(page_bytes)s
), stragglers AS MATERIALIZED (
    -- Two index scans, because an OR would walk the whole log behind the position.
    (
        SELECT c.id
        FROM outbox.change c
        WHERE c.xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot) AND c.xid < pg_snapshot_xmax(pg_current_snapshot())
          AND c.id <= %(position)s
          AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
          AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
        LIMIT %(page_size)s + 1
    )
    UNION ALL
    (
        SELECT late.id
        FROM pg_snapshot_xip(%(seen)s::pg_snapshot) AS then_open (xid)
        CROSS JOIN LATERAL (
            SELECT c.id
            FROM outbox.change c
            WHERE c.xid = then_open.xid AND (c.id <= %(position)s) IS TRUE
              AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
              AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
            LIMIT %(page_size)s + 1
        ) late
        WHERE pg_visible_in_snapshot(then_open.xid, pg_current_snapshot())  -- else it still runs: skip its rows unread
        LIMIT %(page_size)s + 1
    )
), head AS (
    SELECT t.snapshot,
           CASE WHEN c.found < %(page_size)s AND c.found = n.found THEN s.upto ELSE n.last END AS claim_to,
           EXISTS (SELECT FROM pg_snapshot_xip(t.snapshot)) AS others_open
    FROM token t, scanned s, (SELECT count(*) AS found FROM candidates) c,
         (SELECT count(*) AS found, max(id) AS last FROM news) n
), taken AS (
    SELECT id, false AS straggler FROM news UNION ALL SELECT id, true FROM stragglers
)
SELECT h.snapshot::text AS claim_seen, h.claim_to, h.others_open, k.straggler,
       c.id, c.event_id, c.xid::text::bigint AS xid, c.command_id, c.record_type, c.record_key, c.operation,
       c.before, c.after, c.captured_at, c.actor, c.context, c.connector, c.schema_version,
       EXISTS (
           SELECT FROM outbox.delivery d
           WHERE d.connector = %(connector)s AND d.record_type = c.record_type AND d.record_key = c.record_key
             AND (d.state <> 'dead' OR %(dead_blocks)s)
           OFFSET 0
       ) AS blocked,
       r.external_id, r.version, r.absent, r.change_id AS remote_change_id, r.xid::text::bigint AS remote_xid,
       r.command_id AS remote_command_id, r.content_hash
FROM head h
LEFT JOIN taken k ON true
LEFT JOIN LATERAL (SELECT * FROM outbox.change f WHERE f.id = k.id OFFSET 0) c ON true
LEFT JOIN LATERAL (
    SELECT * FROM outbox.remote_object o
    WHERE o.connector = %(connector)s AND o.record_type = c.record_type AND o.record_key = c.record_key OFFSET 0
) r ON true
ORDER BY c.id;

-- read_claim
-- What is left of an open claim after a take-over: its rows, minus those settled, minus those in delivery.
-- Behind one whose intent was written and whose outcome nobody knows, the others of its record were never sent.
WITH claimed AS MATERIALIZED (
    (
        SELECT c.id
        FROM outbox.change c
        WHERE c.id > %(position)s AND c.id <= %(claim_to)s
          AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
          AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
    )
    UNION ALL
    (
        SELECT c.id
        FROM outbox.change c
        WHERE c.xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot) AND c.xid < pg_snapshot_xmax(pg_current_snapshot())
          AND c.id <= %(position)s
          AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
          AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
    )
    UNION ALL
    (
        SELECT late.id
        FROM pg_snapshot_xip(%(seen)s::pg_snapshot) AS then_open (xid)
        CROSS JOIN LATERAL (
            SELECT c.id
            FROM outbox.change c
            WHERE c.xid = then_open.xid AND (c.id <= %(position)s) IS TRUE
              AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
              AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
            OFFSET 0
        ) late
    )
)
SELECT false AS straggler,
       c.id, c.event_id, c.xid::text::bigint AS xid, c.command_id, c.record_type, c.record_key, c.operation,
       c.before, c.after, c.captured_at, c.actor, c.context, c.connector, c.schema_version,
       EXISTS (
           SELECT FROM outbox.delivery d
           WHERE d.connector = %(connector)s AND d.record_type = c.record_type AND d.record_key = c.record_key
             AND d.state = 'unknown' AND d.change_id < c.id
           OFFSET 0
       ) AS blocked,
       r.external_id, r.version, r.absent, r.change_id AS remote_change_id, r.xid::text::bigint AS remote_xid,
       r.command_id AS remote_command_id, r.content_hash
FROM claimed k
CROSS JOIN LATERAL (SELECT * FROM outbox.change f WHERE f.id = k.id OFFSET 0) c
LEFT JOIN LATERAL (
    SELECT * FROM outbox.remote_object o
    WHERE o.connector = %(connector)s AND o.record_type = c.record_type AND o.record_key = c.record_key OFFSET 0
) r ON true
WHERE pg_visible_in_snapshot(c.xid, %(claim_seen)s::pg_snapshot)
  AND NOT EXISTS (
        SELECT FROM outbox.audit a
        WHERE a.connector = %(connector)s AND a.change_id = c.id AND a.generation = 0
          AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed')
        OFFSET 0)
  AND NOT EXISTS (SELECT FROM outbox.delivery d WHERE d.connector = %(connector)s AND d.change_id = c.id OFFSET 0)
ORDER BY c.id;

-- open_page
-- The durable intent for a whole page (claim_to not null), or the end of one (claim_to null). claimed_at is given where
-- the claim begins with the rest of an earlier one.
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen, claim_to, claim_seen, mapping_version,
                         claimed_at)
SELECT %(connector)s, %(lane)s, %(page_no)s, %(epoch)s, %(position)s, %(seen)s::pg_snapshot, %(claim_to)s,
       %(claim_seen)s::pg_snapshot, %(mapping_version)s, coalesce(%(claimed_at)s::timestamptz, now)
FROM clock
RETURNING (SELECT now FROM clock);

-- spill_stragglers
-- More stragglers than a page holds become deliveries, the first of each record due at once; as many as one
-- transaction can bear, without those that an earlier one moved.
WITH late_ids AS MATERIALIZED (
    (
        SELECT c.id
        FROM outbox.change c
        WHERE c.xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot) AND c.xid < pg_snapshot_xmax(pg_current_snapshot())
          AND c.id <= %(position)s
          AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
          AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
    )
    UNION ALL
    (
        SELECT late.id
        FROM pg_snapshot_xip(%(seen)s::pg_snapshot) AS then_open (xid)
        CROSS JOIN LATERAL (
            SELECT c.id
            FROM outbox.change c
            WHERE c.xid = then_open.xid AND (c.id <= %(position)s) IS TRUE
              AND (c.record_type = ANY (%(record_types)s)) IS TRUE AND (c.connector IS NULL OR c.connector = %(connector)s)
              AND (%(lanes)s::int = 1 OR c.key_hash %% %(lanes)s::int = %(lane)s::int)
            OFFSET 0
        ) late
    )
), unmoved AS MATERIALIZED (
    SELECT k.id
    FROM late_ids k
    WHERE NOT EXISTS (SELECT FROM outbox.delivery d WHERE d.connector = %(connector)s AND d.change_id = k.id OFFSET 0)
      AND NOT EXISTS (
          SELECT FROM outbox.audit a
          WHERE a.connector = %(connector)s AND a.change_id = k.id AND a.generation = 0
            AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed')
          OFFSET 0)
    ORDER BY k.id
    LIMIT %(spill_limit)s
), late AS (
    SELECT c.*, row_number() OVER (PARTITION BY c.record_type, c.record_key ORDER BY c.id) AS nth,
           EXISTS (
               SELECT FROM outbox.delivery d
               WHERE d.connector = %(connector)s AND d.record_type = c.record_type AND d.record_key = c.record_key
                 AND (d.state <> 'dead' OR %(dead_blocks)s)
               OFFSET 0
           ) AS blocked
    FROM unmoved l
    CROSS JOIN LATERAL (SELECT * FROM outbox.change f WHERE f.id = l.id OFFSET 0) c
), spilled AS (
    INSERT INTO outbox.delivery (connector, change_id, lane, state, due_at, event_id, operation, record_type, record_key,
                                 mapping_version, guarantee)
    SELECT %(connector)s, l.id, %(lane)s, CASE WHEN l.nth = 1 AND NOT l.blocked THEN 'waiting' ELSE 'held' END,
           clock_timestamp(), l.event_id, l.operation, l.record_type, l.record_key, %(mapping_version)s, %(guarantee)s
    FROM late l
    ORDER BY l.id
    RETURNING 1
)
SELECT (SELECT count(*) FROM spilled) AS spilled, pg_current_snapshot()::text AS seen;

-- claim_due
-- Deliveries that are due, as heads of their records, marked in_flight under a fence of their own. Suspects, with
-- which three workers have died, are never among others. (A literal, for the sake of a partial index.)
WITH due AS (
    UPDATE outbox.delivery d
    SET state = 'in_flight', doubt = d.doubt OR d.state = 'unknown', attempts = d.attempts + 1, due_at = NULL,
        fence = nextval('outbox.fence_seq')
    WHERE d.connector = %(connector)s
      AND d.change_id = ANY (ARRAY(
          SELECT w.change_id FROM outbox.delivery w
          WHERE w.connector = %(connector)s AND w.lane = %(lane)s AND w.state IN ('waiting', 'unknown')
            AND w.due_at <= clock_timestamp() AND CASE WHEN %(suspects)s THEN w.deaths >= 3 ELSE w.deaths < 3 END
            AND NOT (w.record_type || chr(31) || w.record_key) = ANY (%(busy)s)
          ORDER BY w.due_at
          LIMIT %(limit)s))
    RETURNING d.*
)
SELECT due.generation, due.attempts, due.fence, due.doubt, due.mapping_version, due.first_failed_at, due.deaths,
       due.request_hash,
       c.id, c.event_id, c.xid::text::bigint AS xid, c.command_id, c.record_type, c.record_key, c.operation,
       c.before, c.after, c.captured_at, c.actor, c.context, c.connector, c.schema_version,
       r.external_id, r.version, r.absent, r.change_id AS remote_change_id, r.xid::text::bigint AS remote_xid,
       r.command_id AS remote_command_id, r.content_hash
FROM due
CROSS JOIN LATERAL (SELECT * FROM outbox.change f WHERE f.id = due.change_id OFFSET 0) c
LEFT JOIN LATERAL (
    SELECT * FROM outbox.remote_object o
    WHERE o.connector = %(connector)s AND o.record_type = c.record_type AND o.record_key = c.record_key OFFSET 0
) r ON true
ORDER BY c.id;

-- settle
-- The end of deliveries: the exactly-once ledger entry of each (a second one for the same generation is refused), what
-- the platform holds now for each record (never set back to an older change), and of dead letters whose newer change was
-- applied, because the truth has arrived without them. One statement, which may be a transaction of its own: it locks the
-- lane as hold_lane does, and writes nothing where that is lost. Its snapshot may be older than that lock, so dead letters
-- are locked, too, which looks at their newest state.
WITH mine AS MATERIALIZED (
    SELECT FROM outbox.lane
    WHERE connector = %(connector)s AND lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s
      AND leased_until > clock_timestamp()
    FOR UPDATE
), settled AS MATERIALIZED (
    SELECT u.*
    FROM mine, unnest(
        %(change_id)s::bigint[], %(event_id)s::uuid[], %(generation)s::int[], %(attempt)s::int[], %(record_type)s::text[],
        %(record_key)s::text[], %(operation)s::text[], %(outcome)s::text[], %(mapping_version)s::text[], %(actor)s::text[],
        %(request_hash)s::text[], %(answer)s::jsonb[], %(is_latest)s::bool[], %(external_id)s::text[], %(version)s::text[],
        %(absent)s::bool[], %(xid)s::bigint[], %(command_id)s::bigint[], %(content_hash)s::text[])
        AS u (change_id, event_id, generation, attempt, record_type, record_key, operation, outcome, mapping_version, actor,
              request_hash, answer, is_latest, external_id, version, absent, xid, command_id, content_hash)
), noted AS (
    INSERT INTO outbox.audit (connector, guarantee, change_id, event_id, generation, attempt, record_type, record_key,
                              operation, outcome, mapping_version, actor, request_hash, answer)
    SELECT %(connector)s, %(guarantee)s, s.change_id, s.event_id, s.generation, s.attempt, s.record_type, s.record_key,
           s.operation, s.outcome, s.mapping_version, s.actor, s.request_hash, s.answer
    FROM settled s
    RETURNING 1
), remembered AS (
    INSERT INTO outbox.remote_object AS r (connector, record_type, record_key, external_id, version, absent, change_id, xid,
                                           command_id, content_hash)
    SELECT %(connector)s, s.record_type, s.record_key, s.external_id, s.version, s.absent, s.change_id, s.xid::text::xid8,
           s.command_id, s.content_hash
    FROM settled s
    WHERE s.is_latest
    ON CONFLICT (connector, record_type, record_key) DO UPDATE
    SET external_id = excluded.external_id, version = excluded.version, absent = excluded.absent,
        change_id = excluded.change_id, xid = excluded.xid, command_id = excluded.command_id,
        content_hash = excluded.content_hash, applied_at = clock_timestamp()
    WHERE r.change_id <= excluded.change_id OR r.xid = excluded.xid
), behind AS (
    SELECT d.*
    FROM settled s
    CROSS JOIN LATERAL (
        SELECT * FROM outbox.delivery o
        WHERE o.connector = %(connector)s AND o.record_type = s.record_type AND o.record_key = s.record_key
          AND o.change_id < s.change_id AND o.state = 'dead'
        OFFSET 0
        FOR UPDATE
    ) d
    WHERE s.is_latest AND NOT %(dead_blocks)s AND (SELECT count(*) FROM noted) > 0  -- first what was applied, then these
), superseded AS (
    INSERT INTO outbox.audit (change_id, event_id, generation, attempt, connector, record_type, record_key, operation,
                              outcome, guarantee, mapping_version, actor)
    SELECT b.change_id, b.event_id, b.generation, b.attempts, b.connector, b.record_type, b.record_key, b.operation,
           'superseded', b.guarantee, b.mapping_version, (SELECT c.actor FROM outbox.change c WHERE c.id = b.change_id)
    FROM behind b
), gone AS (
    DELETE FROM outbox.delivery d USING behind b WHERE d.connector = b.connector AND d.change_id = b.change_id
)
SELECT EXISTS (SELECT FROM mine) AS held;

-- leave_delivery
-- Settled rows leave outbox.delivery; only the attempt that holds the fence may take them out.
DELETE FROM outbox.delivery d
USING unnest(%(change_id)s::bigint[], %(fence)s::bigint[]) AS u (change_id, fence)
WHERE d.connector = %(connector)s AND d.change_id = u.change_id AND d.state = 'in_flight' AND d.fence = u.fence;

-- enter_delivery
-- Rows of a page that become open work: failed, doubtful, held behind another, or still in flight.
INSERT INTO outbox.delivery (connector, lane, guarantee, change_id, event_id, operation, record_type, record_key,
                             mapping_version, state, attempts, due_at, fence, error_class, error_fingerprint,
                             last_error, last_answer, request_hash, doubt, deaths, first_failed_at)
SELECT %(connector)s, %(lane)s, %(guarantee)s, u.change_id, u.event_id, u.operation, u.record_type, u.record_key,
       u.mapping_version, u.state, u.attempts, clock_timestamp() + u.due_in * interval '1 second',
       CASE WHEN u.state = 'in_flight' THEN nextval('outbox.fence_seq') END,
       u.error_class, u.error_fingerprint, u.last_error, u.last_answer, u.request_hash, u.doubt, u.deaths,
       coalesce(u.first_failed_at, CASE WHEN u.last_error IS NOT NULL THEN clock_timestamp() END)
FROM unnest(%(change_id)s::bigint[], %(event_id)s::uuid[], %(operation)s::text[], %(record_type)s::text[],
            %(record_key)s::text[], %(mapping_version)s::text[], %(state)s::text[], %(attempts)s::int[],
            %(due_in)s::float8[], %(error_class)s::text[], %(error_fingerprint)s::text[], %(last_error)s::text[],
            %(last_answer)s::jsonb[], %(request_hash)s::text[], %(doubt)s::bool[], %(deaths)s::int[],
            %(first_failed_at)s::timestamptz[])
     AS u (change_id, event_id, operation, record_type, record_key, mapping_version, state, attempts, due_in,
           error_class, error_fingerprint, last_error, last_answer, request_hash, doubt, deaths, first_failed_at)
RETURNING change_id, fence;

-- step_back
-- Waiting deliveries of these records are held again behind an earlier open one, and behind any that was perhaps
-- applied: two of a record are never due, and nothing older follows what the platform may have.
UPDATE outbox.delivery w
SET state = 'held'
WHERE w.connector = %(connector)s AND w.change_id = ANY (ARRAY(
    SELECT o.change_id
    FROM unnest(%(record_type)s::text[], %(record_key)s::text[]) AS r (record_type, record_key)
    CROSS JOIN LATERAL (
        SELECT d.change_id, d.state, bool_or(d.state IN ('in_flight', 'unknown')) OVER () AS perhaps_applied,
               min(d.change_id) FILTER (WHERE d.state <> 'dead' OR %(dead_blocks)s) OVER () AS first
        FROM outbox.delivery d
        WHERE d.connector = %(connector)s AND d.record_type = r.record_type AND d.record_key = r.record_key
    ) o
    WHERE o.state = 'waiting' AND (o.perhaps_applied OR o.change_id > o.first)));

-- change_delivery
-- Deliveries whose attempt ended without settling get their next state; only under the attempt's fence. One that
-- was given back or held without an attempt keeps what is known of its failures.
UPDATE outbox.delivery d
SET state = u.state, fence = NULL, due_at = clock_timestamp() + u.due_in * interval '1 second', deaths = 0,
    doubt = d.doubt OR u.doubt, attempts = u.attempts, error_class = coalesce(u.error_class, d.error_class),
    error_fingerprint = coalesce(u.error_fingerprint, d.error_fingerprint), last_error = coalesce(u.last_error, d.last_error),
    last_answer = CASE WHEN u.last_error IS NULL THEN d.last_answer ELSE u.last_answer END,
    request_hash = coalesce(u.request_hash, d.request_hash),
    first_failed_at = coalesce(d.first_failed_at, CASE WHEN u.last_error IS NOT NULL THEN clock_timestamp() END)
FROM unnest(%(change_id)s::bigint[], %(fence)s::bigint[], %(state)s::text[], %(attempts)s::int[], %(due_in)s::float8[],
            %(error_class)s::text[], %(error_fingerprint)s::text[], %(last_error)s::text[], %(last_answer)s::jsonb[],
            %(request_hash)s::text[], %(doubt)s::bool[])
     AS u (change_id, fence, state, attempts, due_in, error_class, error_fingerprint, last_error, last_answer, request_hash,
           doubt)
WHERE d.connector = %(connector)s AND d.change_id = u.change_id AND d.state = 'in_flight' AND d.fence = u.fence;

-- promote_next
-- The first open delivery of each record, where it was held, becomes due; not while another was perhaps applied.
UPDATE outbox.delivery d
SET state = 'waiting', due_at = clock_timestamp()
FROM (
    SELECT d.change_id
    FROM unnest(%(record_type)s::text[], %(record_key)s::text[]) AS r (record_type, record_key)
    CROSS JOIN LATERAL (
        SELECT o.change_id FROM outbox.delivery o
        WHERE o.connector = %(connector)s AND o.record_type = r.record_type AND o.record_key = r.record_key
          AND (o.state <> 'dead' OR %(dead_blocks)s)
        ORDER BY o.change_id
        LIMIT 1
    ) d
) first
WHERE d.connector = %(connector)s AND d.change_id = first.change_id AND d.state = 'held'
  AND NOT EXISTS (
      SELECT FROM outbox.delivery p
      WHERE p.connector = d.connector AND p.record_type = d.record_type AND p.record_key = d.record_key
        AND p.state IN ('in_flight', 'unknown'));

-- promote_heads
-- All deliveries of the lane that are held behind nothing become due.
UPDATE outbox.delivery d
SET state = 'waiting', due_at = clock_timestamp()
WHERE d.connector = %(connector)s AND d.lane = %(lane)s AND d.state = 'held'
  AND NOT EXISTS (
      SELECT FROM outbox.delivery e
      WHERE e.connector = d.connector AND e.record_type = d.record_type AND e.record_key = d.record_key
        AND (e.state IN ('in_flight', 'unknown') OR (e.change_id < d.change_id AND (e.state <> 'dead' OR %(dead_blocks)s))));

-- recover_in_flight
-- Attempts of a dead owner: perhaps applied. The guarantee decides when, and whether, we go on by ourselves; what
-- may have killed him rests a little first, so that others get on.
UPDATE outbox.delivery
SET state = 'unknown', fence = NULL, deaths = deaths + %(died)s::int,
    due_at = clock_timestamp() + (%(due_in)s::float8 + CASE WHEN deaths + %(died)s::int >= 3 THEN 2 ELSE 0 END) * interval '1 second',
    error_class = 'no_answer', last_error = 'the worker that sent it ended before the answer was recorded',
    error_fingerprint = 'worker-ended', first_failed_at = coalesce(first_failed_at, entered_at)
WHERE connector = %(connector)s AND lane = %(lane)s AND state = 'in_flight';

-- poisoned
-- Attempts of a dead owner that have cost so many lives in a row that this one is the last.
SELECT change_id, record_type, record_key FROM outbox.delivery
WHERE connector = %(connector)s AND lane = %(lane)s AND state = 'in_flight' AND deaths + %(died)s::int >= %(limit)s
ORDER BY change_id;

-- quarantine
-- They are not tried again by themselves: dead letters where the class replays harmlessly, else in doubt for a person.
UPDATE outbox.delivery
SET state = %(state)s, fence = NULL, due_at = NULL, doubt = true, deaths = deaths + 1, error_class = 'poisoned',
    error_fingerprint = 'poisoned', last_error = %(reason)s, act_id = %(act_id)s,
    first_failed_at = coalesce(first_failed_at, entered_at)
WHERE connector = %(connector)s AND change_id = ANY (%(change_ids)s) AND state = 'in_flight';

-- forget_recoveries
-- A page was turned: whatever the lane's owners died of before, it gets on.
UPDATE outbox.lane SET recoveries = 0 WHERE connector = %(connector)s AND lane = %(lane)s AND owner = %(owner)s AND epoch = %(epoch)s;

-- look_around
-- What a lane must know between pages: is the connector paused, when is the next delivery due (seconds), when the
-- next suspect, and is the breaker open.
SELECT c.paused, coalesce(f.trips, 0) AS trips,
       coalesce(extract(epoch FROM f.open_until - clock_timestamp())::float8, 0) AS open_for,
       (SELECT extract(epoch FROM min(d.due_at) - clock_timestamp())::float8 FROM outbox.delivery d
        WHERE d.connector = c.name AND d.lane = %(lane)s AND d.state IN ('waiting', 'unknown') AND d.deaths < 3) AS due_in,
       (SELECT extract(epoch FROM min(d.due_at) - clock_timestamp())::float8 FROM outbox.delivery d
        WHERE d.connector = c.name AND d.lane = %(lane)s AND d.state IN ('waiting', 'unknown') AND d.deaths >= 3) AS suspect_due_in
FROM outbox.connector c
LEFT JOIN outbox.flow f ON f.connector = c.name
WHERE c.name = %(connector)s;

-- has_ended
-- Whether any transaction that ran when a lane looked last has ended since.
SELECT EXISTS (
    SELECT FROM pg_snapshot_xip(%(seen)s::pg_snapshot) AS then_open (xid)
    WHERE pg_visible_in_snapshot(then_open.xid, pg_current_snapshot())
) AS ended;

-- last_change_id
-- How far the sequence of changes has come; moves when a trigger fires, before its transaction commits.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last_id FROM outbox.change_id_seq;

-- draw_transaction_id
-- Makes xmax of all later snapshots greater than the xid of every transaction that runs now.
SELECT pg_current_xact_id() AS xid;

-- mapping_definition
-- The routes and mappings that a page or delivery was pinned to.
SELECT definition FROM outbox.mapping WHERE connector = %(connector)s AND version = %(version)s;

-- current_values
-- The present row of a record, without the size cap; null when it is gone.
SELECT outbox.current_values(%(record_type)s, %(record_key)s) AS row;
