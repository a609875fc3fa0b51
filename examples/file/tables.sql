-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE TABLE public.hearing_schedule (
    id          bigint PRIMARY KEY,
    case_number text NOT NULL,
    status      text NOT NULL DEFAULT 'scheduled',
    starts_at   timestamptz
);
