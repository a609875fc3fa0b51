-- What keeps the ledger small: partitions made ahead and dropped when expired, old pages, dead workers.

-- alone
-- False when another daemon is at it right now; held to the end of the transaction.
SELECT pg_try_advisory_xact_lock(%(key)s) AS alone;

-- as_owner
-- Partitions belong to the owner of the ledger; while we wait for a lock the application waits behind us.
SET LOCAL ROLE outbox_owner;
SET LOCAL lock_timeout = '20ms';

-- ids_drawn
-- How many ids the sequence of changes has given out.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS ids FROM outbox.change_id_seq;

-- partitions
-- The range partitions of a table with their bounds as PostgreSQL writes them.
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %(parent)s::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT';

-- change_in_default
-- Whether the DEFAULT partition already holds changes of a range.
SELECT EXISTS (SELECT FROM outbox.change_default WHERE id >= %(start)s AND id < %(end)s) AS found;

-- audit_in_default
-- Whether the DEFAULT partition already holds audit entries of a range.
SELECT EXISTS (SELECT FROM outbox.audit_default WHERE change_id >= %(start)s AND change_id < %(end)s) AS found;

-- create_partition
-- A table like its parent to be; attached afterwards, because CREATE … PARTITION OF would lock out the application.
CREATE TABLE outbox.{name} (LIKE outbox.{parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);

-- guard_partition
-- Row triggers are cloned from the parent, those of TRUNCATE are not.
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON outbox.{name}
    FOR EACH STATEMENT EXECUTE FUNCTION outbox.refuse_rewrite();

-- attach_partition
-- Reads all of the DEFAULT partition under a lock that stops writes to it: hence the limit.
SET LOCAL statement_timeout = '45ms';
ALTER TABLE outbox.{parent} ATTACH PARTITION outbox.{name} FOR VALUES FROM ({start}) TO ({end});

-- lock_parent
-- Nobody reads or writes the table until we commit; taken before the last look, so that the look stays true.
LOCK TABLE ONLY outbox.{parent} IN ACCESS EXCLUSIVE MODE;

-- drop_partition
-- Takes the rows away with their table.
DROP TABLE outbox.{name};

-- lanes_not_past
-- Lanes that may still claim from a range: not beyond its end, or not sure to have seen its newest transaction.
WITH newest AS MATERIALIZED (
    SELECT c.xid FROM outbox.change c WHERE c.id >= %(start)s AND c.id < %(end)s ORDER BY c.xid DESC LIMIT 1
)
SELECT l.connector, l.lane, p.position
FROM outbox.lane l
LEFT JOIN LATERAL (
    SELECT n.position, n.seen FROM outbox.page n
    WHERE n.connector = l.connector AND n.lane = l.lane
    ORDER BY n.page_no DESC LIMIT 1
) p ON true
WHERE p.position IS NULL OR p.position < %(end)s OR (SELECT xid FROM newest) >= pg_snapshot_xmin(p.seen)
ORDER BY l.connector, l.lane;

-- lanes_known
-- Whether anybody takes changes at all; a log that nobody has read yet does not expire.
SELECT EXISTS (SELECT FROM outbox.lane) AS known;

-- open_in_range
-- Open deliveries of changes of a range, the first few.
SELECT connector, change_id, state FROM outbox.delivery
WHERE change_id >= %(start)s AND change_id < %(end)s
ORDER BY change_id LIMIT 3;

-- newest_change
-- When the change with the highest id of a range was captured; no row for an empty range.
SELECT captured_at < clock_timestamp() - %(older_than)s::interval AS expired FROM outbox.change
WHERE id >= %(start)s AND id < %(end)s
ORDER BY id DESC LIMIT 1;

-- young_change
-- Whether any change of a range is younger than the retention; reads all of the range.
SELECT EXISTS (
    SELECT FROM outbox.change
    WHERE id >= %(start)s AND id < %(end)s AND captured_at >= clock_timestamp() - %(older_than)s::interval
) AS found;

-- young_audit
-- Whether any audit entry of a range is younger than the retention of the audit.
SELECT EXISTS (
    SELECT FROM outbox.audit
    WHERE change_id >= %(start)s AND change_id < %(end)s AND at >= clock_timestamp() - %(older_than)s::interval
) AS found;

-- change_in_range
-- Whether changes of a range are still in the log.
SELECT EXISTS (SELECT FROM outbox.change WHERE id >= %(start)s AND id < %(end)s) AS found;

-- note_drop
-- The act of dropping a partition.
INSERT INTO outbox.act (kind, actor, reason, detail)
VALUES ('partition_dropped', %(actor)s, %(reason)s, %(detail)s);

-- prune_pages
-- Keeps the newest pages of each lane; the newest of all is the lane's state and holds the open claim.
DELETE FROM outbox.page p
USING outbox.lane l
CROSS JOIN LATERAL (
    SELECT n.page_no FROM outbox.page n
    WHERE n.connector = l.connector AND n.lane = l.lane
    ORDER BY n.page_no DESC OFFSET %(keep)s - 1 LIMIT 1
) oldest_kept
WHERE p.connector = l.connector AND p.lane = l.lane AND p.page_no < oldest_kept.page_no;

-- forget_workers
-- Workers without a heartbeat for a day that hold no lane.
DELETE FROM outbox.worker w
WHERE w.heartbeat_at < clock_timestamp() - interval '1 day'
  AND NOT EXISTS (SELECT FROM outbox.lane l WHERE l.owner = w.id AND l.leased_until > clock_timestamp());
