-- The application's table, for a trial: psql "$HMS_DSN" -f tables.sql
CREATE SCHEMA hms;
CREATE TABLE hms.recording (
    id           bigint PRIMARY KEY,
    case_no      text NOT NULL,
    title        text NOT NULL,
    content_type text NOT NULL DEFAULT 'video/mp4',
    file         text NOT NULL,
    sha256       bytea  -- of the file, where the application knows it
);
