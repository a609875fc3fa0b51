-- What the doctor looks at; the judgement is in Python.

-- database
-- Facts of the database as a whole.
SELECT pg_catalog.pg_is_in_recovery() AS standby,
       s.seqcache AS cache, s.seqincrement AS increment, s.seqcycle AS cycles,
       EXISTS (SELECT FROM outbox.change_default) AS default_holds_rows,
       (SELECT r.rolbypassrls OR r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = 'outbox_capture') AS sees_every_row,
       c.relpersistence <> 'p' AS log_is_unlogged
FROM pg_catalog.pg_sequence s, pg_catalog.pg_class c
WHERE s.seqrelid = 'outbox.change_id_seq'::regclass AND c.oid = 'outbox.change_default'::regclass;

-- relations
-- Every registered table with its partitions; a table that is gone has no kind.
SELECT r.record_type, r.table_name AS registered_name, t.relid::bigint AS relid, t.relid = r.relid AS is_root,
       c.relkind::text AS kind,
       coalesce(c.oid::regclass::text, r.table_name) AS name,
       c.relpersistence = 'u' AS unlogged,
       c.relrowsecurity AS hides_rows,
       pg_catalog.pg_get_userbyid(c.relowner) AS owner,
       (SELECT o.rolcanlogin FROM pg_catalog.pg_roles o WHERE o.oid = c.relowner) AS owner_can_log_in,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS has_children,
       pg_catalog.has_schema_privilege('outbox_capture', c.relnamespace, 'USAGE')
           AND pg_catalog.has_table_privilege('outbox_capture', c.oid, 'SELECT')
           AND pg_catalog.has_any_column_privilege('outbox_capture', c.oid, 'UPDATE') AS readable
FROM outbox.capture r
CROSS JOIN LATERAL (SELECT r.relid::oid AS relid UNION SELECT p.relid::oid FROM pg_catalog.pg_partition_tree(r.relid) p) t
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.relid
ORDER BY r.record_type, is_root DESC, name;

-- keys
-- The key columns of every registered table, and whether they together name one record.
SELECT r.record_type, r.relid::text AS name, k.name AS column_name,
       a.attname IS NULL AS missing,
       NOT coalesce(a.attnotnull, false) AS nullable,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       CASE
           WHEN b.typname IN ('float4', 'float8') THEN '-0 and 0 are one key and two texts'
           WHEN b.typname = 'numeric' AND a.atttypmod = -1 THEN '1.0 and 1.00 are one key and two texts'
           WHEN b.typname = 'citext' OR NOT coalesce(l.collisdeterministic, true) THEN 'A and a are one key and two texts'
           WHEN b.typname = 'interval' THEN '24 hours and 1 day are one key and two texts'
       END AS not_canonical,
       EXISTS (
           SELECT FROM pg_catalog.pg_index i
           WHERE i.indrelid = r.relid AND i.indisunique AND i.indisvalid AND i.indimmediate
             AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = cardinality(r.key_columns)
             AND (SELECT array_agg(x.attname::text ORDER BY x.attname::text)
                  FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS n (attnum, place)
                  JOIN pg_catalog.pg_attribute x ON x.attrelid = i.indrelid AND x.attnum = n.attnum
                  WHERE n.place <= i.indnkeyatts)
                 = (SELECT array_agg(c ORDER BY c) FROM unnest(r.key_columns) AS c)) AS is_unique
FROM outbox.capture r
JOIN pg_catalog.pg_class c ON c.oid = r.relid
CROSS JOIN LATERAL unnest(r.key_columns) WITH ORDINALITY AS k (name, place)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = r.relid AND a.attname = k.name AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN y.typtype = 'd' THEN y.typbasetype ELSE y.oid END
LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
ORDER BY r.record_type, k.place;

-- triggers
-- Every trigger of the registered tables and partitions, and every one that calls the capture elsewhere.
SELECT t.tgrelid::bigint AS relid, t.tgrelid::regclass::text AS table_name, t.tgname AS name, t.tgtype AS type,
       t.tgenabled::text AS enabled,
       CASE t.tgfoid WHEN 'outbox.capture_row'::regproc THEN 'row' WHEN 'outbox.capture_truncate'::regproc THEN 'truncate' END AS ours,
       cardinality(t.tgattr::smallint[]) = 0 AND (
           t.tgqual IS NULL OR t.tgparentid <> 0 -- a clone on a partition has the condition of its parent, in other words
           OR t.tgtype = 17 AND pg_catalog.pg_get_triggerdef(t.oid) LIKE '% WHEN ((old.* *<> new.*)) EXECUTE %') AS fires_on_every_change,
       r.relid IS NOT NULL AS registered
FROM pg_catalog.pg_trigger t
LEFT JOIN LATERAL (
    SELECT c.relid FROM outbox.capture c
    WHERE c.relid = t.tgrelid OR c.relid = pg_catalog.pg_partition_root(t.tgrelid)) r ON true
WHERE NOT t.tgisinternal
  AND (r.relid IS NOT NULL OR t.tgfoid IN ('outbox.capture_row'::regproc, 'outbox.capture_truncate'::regproc))
ORDER BY 2, t.tgname;

-- functions
-- The capture's functions: as shipped, owned by their role, and closed to everybody else.
SELECT p.oid::regprocedure::text AS name,
       pg_catalog.obj_description(p.oid, 'pg_proc')
           IS DISTINCT FROM 'capture ' || pg_catalog.md5(p.prosrc || coalesce(p.proconfig::text, '') || p.prosecdef) AS altered,
       p.proowner = 'outbox_capture'::regrole AS owned,
       p.proacl IS NULL OR EXISTS (SELECT FROM pg_catalog.aclexplode(p.proacl) a WHERE a.grantee = 0) AS open_to_public
FROM pg_catalog.pg_proc p
WHERE p.pronamespace = 'outbox'::regnamespace
  AND (p.proowner = 'outbox_capture'::regrole OR pg_catalog.obj_description(p.oid, 'pg_proc') LIKE 'capture %')
ORDER BY 1;
