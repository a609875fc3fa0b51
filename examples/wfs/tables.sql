-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE TABLE public.patrol_area (
    id     bigint PRIMARY KEY,
    name   text NOT NULL,
    fee    numeric(12,2),
    active boolean NOT NULL DEFAULT true,
    shape  geometry(Polygon, 25832) NOT NULL
);
