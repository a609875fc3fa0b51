-- Takes capture away, with every trigger that it has on tables of the application.
DO $$
DECLARE
    f record;
    t record;
BEGIN
    FOR t IN
        SELECT DISTINCT r.tgname, r.tgrelid::regclass AS relation
        FROM pg_catalog.pg_trigger AS r
        WHERE r.tgparentid = 0 AND r.tgfoid IN ('outbox.capture_row'::regproc, 'outbox.capture_truncate'::regproc)
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.relation);
    END LOOP;
    FOR t IN
        SELECT c.oid::regclass AS relation
        FROM pg_catalog.pg_class AS c
        WHERE EXISTS (SELECT FROM outbox.capture AS r
                      WHERE c.oid = r.relid OR c.oid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(r.relid) AS p))
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE %s FROM outbox_capture', t.relation);
    END LOOP;
    FOR t IN
        SELECT n.nspname FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS a
        WHERE a.grantee = 'outbox_capture'::regrole AND n.nspname <> 'outbox'
    LOOP
        EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM outbox_capture', t.nspname);
    END LOOP;
    FOR f IN
        SELECT p.oid::regprocedure AS name FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'outbox'::regnamespace AND p.proowner = 'outbox_capture'::regrole
    LOOP
        EXECUTE format('DROP FUNCTION %s', f.name);
    END LOOP;
END
$$;

DELETE FROM outbox.capture;
ALTER TABLE outbox.capture DROP COLUMN omitted;
ALTER TABLE outbox.capture ALTER COLUMN relid TYPE oid;
REVOKE SELECT ON outbox.change FROM outbox_capture;
