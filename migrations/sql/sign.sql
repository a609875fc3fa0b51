-- The doctor compares a function of the capture with this digest, which the migration that changes it writes anew.
DO $$
DECLARE
    digest text;
BEGIN
    SELECT pg_catalog.md5(p.prosrc || coalesce(p.proconfig::text, '') || p.prosecdef) INTO STRICT digest
    FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = 'outbox'::regnamespace AND p.proname = 'NAME_OF_FUNCTION';
    EXECUTE format('COMMENT ON FUNCTION outbox.NAME_OF_FUNCTION IS %L', 'capture ' || digest);
END
$$;
