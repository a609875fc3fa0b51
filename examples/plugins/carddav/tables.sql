-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE TABLE public.person (id bigint PRIMARY KEY, name text NOT NULL, email text);
