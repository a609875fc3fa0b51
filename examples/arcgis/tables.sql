-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE TABLE public.patrol_area (
    id         bigint PRIMARY KEY,
    name       text NOT NULL,
    active     boolean NOT NULL DEFAULT true,
    valid_from timestamptz,
    shape      geometry(Polygon, 4326) NOT NULL
);
