-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE TABLE public.hearing (
    id        bigint PRIMARY KEY,
    title     text NOT NULL,
    starts_at timestamptz,
    fee       numeric(12,2),
    parties   jsonb,
    ruling    bytea
);
