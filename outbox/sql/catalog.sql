-- tables
-- Every table of the application that could be captured: ordinary and partitioned ones, partitions under their root.
SELECT c.oid::bigint AS relid,
       n.nspname AS schema_name,
       c.relname AS table_name,
       coalesce(
           (SELECT array_agg(a.attname::text ORDER BY k.place)
              FROM pg_catalog.pg_index i
              CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary),
           '{}') AS primary_key
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p')
   AND NOT c.relispartition
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'outbox', 'outbox_meta')
   AND n.nspname NOT LIKE 'pg\_temp\_%' AND n.nspname NOT LIKE 'pg\_toast%'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY n.nspname, c.relname;

-- columns
-- The columns of one table in their order, with type and nullability.
SELECT a.attname AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %(relid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

-- is_unique
-- True when the columns carry a unique index of the whole table that is valid and immediate.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_index i
     WHERE i.indrelid = %(relid)s::oid
       AND i.indisunique AND i.indisvalid AND i.indimmediate
       AND i.indpred IS NULL AND i.indexprs IS NULL
       AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text)
              FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE k.place <= i.indnkeyatts)
           = (SELECT array_agg(c ORDER BY c) FROM unnest(%(columns)s::text[]) AS c)
) AS is_unique;

-- ledger_exists
-- True when the ledger's schema is installed.
SELECT pg_catalog.to_regclass('outbox.change') IS NOT NULL AS ledger_exists;

-- revision
-- The newest migration that this database has.
SELECT version_num FROM outbox_meta.alembic_version;
