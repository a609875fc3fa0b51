-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE TABLE public.hearing (id bigint PRIMARY KEY, title text NOT NULL, room text);
