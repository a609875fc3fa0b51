-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE SCHEMA hms;
CREATE TABLE hms.document (
    id             bigint PRIMARY KEY,
    title          text NOT NULL,
    classification text NOT NULL DEFAULT 'internal',
    content_type   text NOT NULL DEFAULT 'application/pdf',
    content        bytea NOT NULL,
    sha256         bytea NOT NULL GENERATED ALWAYS AS (sha256(content)) STORED,
    filed_at       timestamptz NOT NULL DEFAULT now()
);
