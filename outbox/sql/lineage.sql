-- Which database is this, is it the one that was accepted last, and does it know what was delivered.

-- standing
-- Who the server says it is, the row that was accepted last (if any), and the highest transaction id of the ledger.
-- pg_control_checkpoint tells an old timeline until the first checkpoint; the name of a WAL file tells it at once.
SELECT (SELECT system_identifier FROM pg_control_system()) AS system_identifier,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database,
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END AS timeline,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_xid,
       greatest((SELECT c.xid FROM outbox.change c ORDER BY c.xid DESC LIMIT 1)::text::bigint + 1,
                (SELECT max(greatest(pg_snapshot_xmax(p.seen), pg_snapshot_xmax(p.claim_seen))::text::bigint)
                 FROM outbox.lane l
                 CROSS JOIN LATERAL (
                     SELECT n.seen, n.claim_seen FROM outbox.page n
                     WHERE n.connector = l.connector AND n.lane = l.lane
                     ORDER BY n.page_no DESC LIMIT 1
                 ) p), 0) AS known_xid,
       a.no, a.ledger, a.system_identifier AS accepted_system, a.timeline AS accepted_timeline,
       a.database::bigint AS accepted_database, a.accepted_at
FROM (SELECT) AS one
LEFT JOIN LATERAL (SELECT * FROM outbox.lineage n ORDER BY n.no DESC LIMIT 1) a ON true;

-- begin
-- The first acceptance, with its act; nothing where there is one already.
WITH noted AS (
    INSERT INTO outbox.act (kind, actor, reason)
    SELECT 'lineage_accepted', %(actor)s, 'the first connector was registered'
    WHERE NOT EXISTS (SELECT FROM outbox.lineage)
    RETURNING id
)
INSERT INTO outbox.lineage (no, ledger, system_identifier, timeline, database, next_xid, change_id, epoch, fence, act_id)
SELECT 1, gen_random_uuid(), %(system_identifier)s, %(timeline)s, %(database)s,
       pg_snapshot_xmax(pg_current_snapshot()), c.last_value, e.last_value, f.last_value, n.id
FROM noted n, outbox.change_id_seq c, outbox.epoch_seq e, outbox.fence_seq f
ON CONFLICT (no) DO NOTHING;

-- unknown
-- Which of these deliveries this database does not know, by their place; in_log: it has the change, not the delivery.
-- An applied one is known by its settling entry. Of one that was sent and no more, the database must know that it was
-- taken: settled, open, or in the claim (or behind the token) of its lane.
SELECT w.place::int AS place, c.id IS NOT NULL AS in_log
FROM unnest(%(connector)s::text[], %(change_id)s::bigint[], %(event_id)s::uuid[], %(generation)s::int[], %(applied)s::bool[])
     WITH ORDINALITY AS w (connector, change_id, event_id, generation, applied, place)
LEFT JOIN LATERAL (
    SELECT f.id, f.xid, f.key_hash FROM outbox.change f WHERE f.id = w.change_id AND f.event_id = w.event_id OFFSET 0
) c ON true
WHERE NOT EXISTS (
        SELECT FROM outbox.audit a
        WHERE a.connector = w.connector AND a.change_id = w.change_id AND a.generation = w.generation
          AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed') AND a.event_id = w.event_id
        OFFSET 0)
  AND NOT EXISTS (
        SELECT FROM outbox.lost_delivery o
        WHERE o.event_id = w.event_id AND o.connector = w.connector AND o.generation = w.generation
        OFFSET 0)
  AND NOT (NOT w.applied AND c.id IS NOT NULL AND (
        EXISTS (SELECT FROM outbox.delivery d
                WHERE d.connector = w.connector AND d.change_id = w.change_id AND d.generation >= w.generation OFFSET 0)
        OR w.generation = 0 AND EXISTS (
            SELECT FROM outbox.lane l
            CROSS JOIN LATERAL (
                SELECT * FROM outbox.page n
                WHERE n.connector = l.connector AND n.lane = l.lane
                ORDER BY n.page_no DESC LIMIT 1
            ) p
            WHERE l.connector = w.connector AND l.lane = c.key_hash %% l.lanes
              AND c.id <= coalesce(p.claim_to, p.position)
              AND pg_visible_in_snapshot(c.xid, coalesce(p.claim_seen, p.seen)))))
ORDER BY w.place;

-- as_owner
-- A rebase rewrites what nobody else may; the application waits for it no longer than this.
SET LOCAL ROLE outbox_owner;
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = 0;

-- lock_log
-- Waits for every transaction that has written a change and keeps new ones out: below here the log stands still, so a
-- row that is not there will not come with a lower id.
LOCK TABLE outbox.change IN SHARE ROW EXCLUSIVE MODE;

-- lock_lanes
-- No daemon claims or settles meanwhile.
SELECT connector, lane FROM outbox.lane ORDER BY connector, lane FOR UPDATE;

-- patience_with_rows
-- A transaction may hold a row that we must read and wait for our lock on the log: we give way before the deadlock
-- detector ends one of us, which might be the application.
SET LOCAL lock_timeout = '500ms';

-- jump
-- Change ids, epochs and fences go on at the next multiple of 2^32, beyond everything that the lost history can have
-- drawn since: platforms compare the change ids of our stamps, and a zombie of the lost history must have lost. A
-- stamp tells by its multiple (its era) that an equal transaction id is not the same transaction.
SELECT setval('outbox.change_id_seq', (c.last_value / 4294967296 + 1) * 4294967296 - 1) AS change_id,
       setval('outbox.epoch_seq', (e.last_value / 4294967296 + 1) * 4294967296 - 1) AS epoch,
       setval('outbox.fence_seq', (f.last_value / 4294967296 + 1) * 4294967296 - 1) AS fence
FROM outbox.change_id_seq c, outbox.epoch_seq e, outbox.fence_seq f;

-- accept
-- This database is the one from now on.
INSERT INTO outbox.lineage (no, ledger, system_identifier, timeline, database, next_xid, change_id, epoch, fence, act_id)
SELECT max(no) + 1, (array_agg(ledger ORDER BY no DESC))[1], %(system_identifier)s, %(timeline)s, %(database)s,
       pg_snapshot_xmax(pg_current_snapshot()), %(change_id)s, %(epoch)s, %(fence)s, %(act_id)s
FROM outbox.lineage;

-- free_lanes
-- Every lane gets an epoch that nobody holds.
UPDATE outbox.lane SET owner = NULL, epoch = nextval('outbox.epoch_seq'), leased_until = '-infinity';

-- note_lost
-- The deliveries that this database does not know, kept for ever.
INSERT INTO outbox.lost_delivery (event_id, connector, generation, change_id, record_type, record_key, sent_at, applied,
                                  in_log, external_id, act_id)
SELECT u.*, %(act_id)s
FROM unnest(%(event_id)s::uuid[], %(connector)s::text[], %(generation)s::int[], %(change_id)s::bigint[],
            %(record_type)s::text[], %(record_key)s::text[], %(sent_at)s::timestamptz[], %(applied)s::bool[],
            %(in_log)s::bool[], %(external_id)s::text[]) AS u;

-- doubt_open
-- Open deliveries of which the witness saw an attempt that this database knows nothing of: they are in doubt.
UPDATE outbox.delivery d
SET doubt = true, first_failed_at = coalesce(d.first_failed_at, w.sent_at), act_id = %(act_id)s
FROM unnest(%(connector)s::text[], %(change_id)s::bigint[], %(generation)s::int[], %(sent_at)s::timestamptz[])
     AS w (connector, change_id, generation, sent_at)
WHERE d.connector = w.connector AND d.change_id = w.change_id AND d.generation = w.generation
  AND d.state IN ('waiting', 'held');

-- spill
-- Whatever a lane may have sent becomes open deliveries: the rest of its open claim, stragglers, and all up to the last
-- change that the witness saw sent. What was perhaps sent stands as if its worker had died with it in flight, so that
-- the guarantee decides; the lane's next page begins behind. All lanes, or only those that the witness disagrees with.
WITH seen_sent AS MATERIALIZED (
    SELECT w.connector, c.id, c.key_hash, w.sent_at
    FROM unnest(%(connector)s::text[], %(change_id)s::bigint[], %(sent_at)s::timestamptz[]) AS w (connector, change_id, sent_at)
    JOIN outbox.change c ON c.id = w.change_id
), state AS MATERIALIZED (
    SELECT l.connector, l.lane, l.lanes, l.epoch, p.page_no, p.position, p.seen, p.claim_to, p.claim_seen,
           p.mapping_version AS claim_version, k.mapping_version, k.guarantee,
           coalesce(m.definition ->> 'after_reject' = 'hold', false) AS dead_blocks,
           ARRAY(SELECT jsonb_object_keys(m.definition -> 'routes')) AS record_types,
           greatest(p.claim_to, p.position, ahead.id) AS upto
    FROM outbox.lane l
    JOIN outbox.connector k ON k.name = l.connector
    JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
    CROSS JOIN LATERAL (
        SELECT * FROM outbox.page n
        WHERE n.connector = l.connector AND n.lane = l.lane
        ORDER BY n.page_no DESC LIMIT 1
    ) p
    CROSS JOIN LATERAL (
        SELECT max(w.id) AS id FROM seen_sent w WHERE w.connector = l.connector AND w.key_hash %% l.lanes = l.lane
    ) ahead
    WHERE %(all_lanes)s OR ahead.id IS NOT NULL
), open_rows AS MATERIALIZED (
    SELECT s.connector, s.lane, s.guarantee, s.dead_blocks, s.claim_version, s.mapping_version,
           c.id, c.event_id, c.operation, c.record_type, c.record_key, w.sent_at,
           coalesce(c.id <= s.claim_to AND pg_visible_in_snapshot(c.xid, s.claim_seen), false) AS claimed
    FROM state s
    JOIN outbox.change c ON c.id <= s.upto
    LEFT JOIN seen_sent w ON w.connector = s.connector AND w.id = c.id
    WHERE NOT (c.id <= s.position AND pg_visible_in_snapshot(c.xid, s.seen))
      AND c.record_type = ANY (s.record_types) AND (c.connector IS NULL OR c.connector = s.connector)
      AND c.key_hash %% s.lanes = s.lane
      AND NOT EXISTS (
          SELECT FROM outbox.audit a
          WHERE a.connector = s.connector AND a.change_id = c.id AND a.generation = 0
            AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped', 'replayed') OFFSET 0)
      AND NOT EXISTS (SELECT FROM outbox.delivery d WHERE d.connector = s.connector AND d.change_id = c.id OFFSET 0)
), doubted AS (
    SELECT o.*, row_number() OVER (PARTITION BY o.connector, o.record_type, o.record_key ORDER BY o.id) AS nth,
           o.sent_at IS NOT NULL
               OR o.claimed AND o.guarantee NOT IN ('VERIFY', 'ONCE_OR_ASK')
                  AND row_number() OVER (PARTITION BY o.connector, o.record_type, o.record_key, o.claimed ORDER BY o.id) = 1
               AS doubt,
           EXISTS (
               SELECT FROM outbox.delivery d
               WHERE d.connector = o.connector AND d.record_type = o.record_type AND d.record_key = o.record_key
                 AND (d.state <> 'dead' OR o.dead_blocks) OFFSET 0) AS blocked
    FROM open_rows o
), placed AS (
    SELECT d.*, CASE WHEN d.doubt AND d.guarantee = 'ONCE_OR_ASK' THEN 'unknown'
                     WHEN d.nth > 1 OR d.blocked THEN 'held'
                     WHEN d.doubt THEN 'in_flight'
                     WHEN bool_or(d.doubt) OVER (PARTITION BY d.connector, d.record_type, d.record_key)
                          AND d.guarantee = 'ONCE_OR_ASK' THEN 'held'
                     ELSE 'waiting' END AS state
    FROM doubted d
), entered AS (
    INSERT INTO outbox.delivery (connector, change_id, lane, attempts, doubt, state, due_at, fence, event_id, operation,
                                 record_type, record_key, mapping_version, guarantee, error_class, error_fingerprint,
                                 last_error, first_failed_at, act_id)
    SELECT p.connector, p.id, p.lane, p.doubt::int, p.doubt, p.state,
           CASE WHEN p.state = 'waiting' THEN clock_timestamp() END,
           CASE WHEN p.state = 'in_flight' THEN nextval('outbox.fence_seq') END,
           p.event_id, p.operation, p.record_type, p.record_key,
           CASE WHEN p.claimed THEN p.claim_version ELSE p.mapping_version END, p.guarantee,
           CASE WHEN p.doubt THEN 'no_answer' END, CASE WHEN p.doubt THEN 'rebase' END,
           CASE WHEN p.doubt THEN 'it was perhaps sent, and the database lost what became of it' END,
           CASE WHEN p.doubt THEN coalesce(p.sent_at, clock_timestamp()) END, %(act_id)s
    FROM placed p
    ORDER BY p.id
    RETURNING doubt
), turned AS (
    INSERT INTO outbox.page (connector, lane, page_no, epoch, position, seen)
    SELECT s.connector, s.lane, s.page_no + 1, s.epoch, s.upto, pg_current_snapshot() FROM state s
)
SELECT count(*) FILTER (WHERE doubt) AS in_doubt FROM entered;

-- freeze_changes
-- Transaction ids of another server's numbering become one that every snapshot shows. They also told which changes of
-- a record belong to one transaction, where the command id is the order: as all of them look like one transaction now,
-- command ids become ids in the true order.
WITH strange AS MATERIALIZED (
    SELECT c.id, c.record_type, c.record_key, c.command_id,
           min(c.id) OVER (PARTITION BY c.record_type, c.record_key, c.xid) AS first_id
    FROM outbox.change c
    WHERE c.xid >= pg_snapshot_xmin(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(c.xid, pg_current_snapshot())
), ordered AS (
    SELECT s.id, s.record_type, s.record_key,
           row_number() OVER (PARTITION BY s.record_type, s.record_key ORDER BY s.first_id, s.command_id, s.id) AS nth
    FROM strange s
), numbered AS (
    SELECT s.id, s.record_type, s.record_key,
           row_number() OVER (PARTITION BY s.record_type, s.record_key ORDER BY s.id) AS nth
    FROM strange s
)
UPDATE outbox.change c
SET xid = '2', command_id = n.id
FROM ordered o JOIN numbered n USING (record_type, record_key, nth)
WHERE c.id = o.id;

-- freeze_remote_objects
-- The same for what the platforms hold.
UPDATE outbox.remote_object r
SET xid = '2', command_id = coalesce((SELECT c.command_id FROM outbox.change c WHERE c.id = r.change_id AND c.xid = '2'),
                                     r.change_id)
WHERE NOT pg_visible_in_snapshot(r.xid, pg_current_snapshot());

-- remember_lost
-- What a platform holds by a delivery that this database does not know: under which name, in no version that we know.
INSERT INTO outbox.remote_object AS r (connector, record_type, record_key, external_id, change_id, xid, command_id)
SELECT u.connector, u.record_type, u.record_key, u.external_id, 0, '2', 0
FROM unnest(%(connector)s::text[], %(record_type)s::text[], %(record_key)s::text[], %(external_id)s::text[])
     AS u (connector, record_type, record_key, external_id)
WHERE u.external_id IS NOT NULL
   OR EXISTS (SELECT FROM outbox.remote_object o
              WHERE o.connector = u.connector AND o.record_type = u.record_type AND o.record_key = u.record_key)
ON CONFLICT (connector, record_type, record_key) DO UPDATE
SET external_id = coalesce(excluded.external_id, r.external_id), version = NULL;

-- destination
-- The guarantee of a connector with a route for a captured record type, and whether it knows the record's name there.
SELECT c.guarantee, EXISTS (
    SELECT FROM outbox.remote_object o
    WHERE o.connector = c.name AND o.record_type = r.record_type AND o.record_key = %(record_key)s
      AND o.external_id IS NOT NULL) AS is_named
FROM outbox.connector c
JOIN outbox.mapping m ON m.connector = c.name AND m.version = c.mapping_version
JOIN outbox.capture r ON r.record_type = %(record_type)s
WHERE c.name = %(connector)s AND m.definition -> 'routes' ? %(record_type)s;

-- read_again
-- The record's present row goes to the connector once more.
SELECT change_id FROM outbox.capture_read(%(record_type)s, jsonb_build_array(to_jsonb(%(record_key)s::text)), %(connector)s, %(actor)s);

-- tell_absence
-- There is no such row: the connector is told to remove the record.
SELECT outbox.capture_absence(%(record_type)s, %(record_key)s, %(connector)s, %(actor)s) AS change_id;
