-- What is captured, and what a table has of it.

-- registered
-- Every registration, with its table as it is called today (null when the table is gone).
SELECT r.relid::oid::bigint AS relid, r.record_type, r.table_name, r.definition_hash,
       (SELECT c.oid::regclass::text FROM pg_catalog.pg_class c WHERE c.oid = r.relid) AS relation
FROM outbox.capture r
ORDER BY r.record_type;

-- rights
-- Whether this role may put the capture on a table.
SELECT pg_catalog.pg_get_userbyid(c.relowner) AS owner,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owns,
       pg_catalog.has_function_privilege('outbox.capture_row()', 'EXECUTE') AS may_execute,
       pg_catalog.has_table_privilege('outbox.capture', 'INSERT, UPDATE, DELETE') AS may_register,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AND c.relkind = 'r' AS has_children,
       current_user AS me
FROM pg_catalog.pg_class c
WHERE c.oid = %(relid)s::oid;

-- relations
-- The table and its partitions, root first; and what the capture's role may do there.
SELECT c.oid::bigint AS relid, n.nspname AS schema_name, c.relname AS table_name, c.relkind::text AS kind,
       pg_catalog.has_schema_privilege('outbox_capture', n.oid, 'USAGE') AS schema_used,
       pg_catalog.has_table_privilege('outbox_capture', c.oid, 'SELECT')
           AND pg_catalog.has_any_column_privilege('outbox_capture', c.oid, 'UPDATE') AS readable
FROM (SELECT %(relid)s::oid AS relid, 0 AS level
      UNION SELECT p.relid::oid, p.level FROM pg_catalog.pg_partition_tree(%(relid)s::oid) p) t
JOIN pg_catalog.pg_class c ON c.oid = t.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY t.level, n.nspname, c.relname;

-- triggers
-- The capture's triggers on some relations, as far as they are whole: function, kind, enabled always; with their argument.
SELECT t.tgrelid::bigint AS relid, t.tgname AS name, t.tgargs AS arguments
FROM pg_catalog.pg_trigger t
WHERE t.tgrelid = ANY (%(relids)s::oid[])
  AND t.tgenabled = 'A'
  AND (t.tgname, t.tgfoid, t.tgtype) IN (
      ('!outbox_row', 'outbox.capture_row'::regproc, 13),
      ('!outbox_update', 'outbox.capture_row'::regproc, 17),
      ('!outbox_truncate', 'outbox.capture_truncate'::regproc, 34));

-- nested_columns
-- The columns whose JSON is no single value: arrays, composites, json and what has a cast to it (hstore, PostGIS).
WITH RECURSIVE typed AS (
    SELECT a.attname AS name, a.atttypid AS type
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = %(relid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT d.name, t.typbasetype FROM typed d JOIN pg_catalog.pg_type t ON t.oid = d.type WHERE t.typtype = 'd'
)
SELECT d.name
FROM typed d JOIN pg_catalog.pg_type t ON t.oid = d.type
WHERE t.typcategory = 'A' OR t.typtype = 'c' OR t.oid IN ('json'::regtype, 'jsonb'::regtype)
   OR EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource = t.oid AND c.casttarget = 'json'::regtype);

-- virtual_columns
-- The generated columns that are not stored: a trigger cannot see their values.
SELECT a.attname AS name
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %(relid)s::oid AND a.attgenerated = 'v' AND NOT a.attisdropped
ORDER BY a.attname;

-- schema_still_used
-- Whether a schema holds another registered table.
SELECT EXISTS (
    SELECT FROM outbox.capture r JOIN pg_catalog.pg_class c ON c.oid = r.relid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema_name)s AND r.record_type <> %(record_type)s) AS used;

-- take_turns
-- One apply or remove at a time.
SELECT pg_catalog.pg_advisory_xact_lock(7597124501342610275);
