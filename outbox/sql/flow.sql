-- What the daemons share about one connector: one row of outbox.flow. Each statement is one short turn at that row;
-- whoever locks the connector's own row too locks that one first.

-- register
-- The limits as configured now; a bucket begins full.
INSERT INTO outbox.flow (connector, rate, burst, max_in_flight, tokens)
VALUES (%(connector)s, %(rate)s, %(burst)s, %(max_in_flight)s, coalesce(%(burst)s::float8, 0))
ON CONFLICT (connector) DO UPDATE
SET rate = excluded.rate, burst = excluded.burst, max_in_flight = excluded.max_in_flight, tokens = excluded.tokens,
    filled_at = clock_timestamp();

-- limits
-- The limits as they were registered.
SELECT rate, burst, max_in_flight FROM outbox.flow WHERE connector = %(connector)s;

-- take_tokens
-- As many of the wanted tokens as the bucket holds, and in how many seconds it will hold one again.
WITH bucket AS (
    SELECT f.connector, f.rate, clock_timestamp() AS at,
           least(f.burst, f.tokens + f.rate * greatest(0, extract(epoch FROM clock_timestamp() - f.filled_at)::float8)) AS tokens
    FROM outbox.flow f
    WHERE f.connector = %(connector)s
    FOR UPDATE
), taken AS (
    SELECT b.*, least(%(wanted)s, floor(coalesce(b.tokens, %(wanted)s)))::int AS granted FROM bucket b
)
UPDATE outbox.flow f
SET tokens = coalesce(t.tokens - t.granted, 0), filled_at = t.at
FROM taken t
WHERE f.connector = t.connector
RETURNING t.granted, coalesce(greatest(0, (1 - f.tokens) / f.rate), 0)::float8 AS next_in;

-- trip
-- The breaker opens for all, or stays open for longer. Only the first to see the trouble, and the holder of the
-- probe, count as a trip (``known``: the trips that they knew); the probe is over with its failure.
WITH was AS (
    SELECT f.connector, f.trips IN (0, %(known)s::int) AS counts FROM outbox.flow f WHERE f.connector = %(connector)s FOR UPDATE
)
UPDATE outbox.flow f
SET trips = CASE WHEN was.counts THEN f.trips + 1 ELSE f.trips END, why = CASE WHEN was.counts THEN %(why)s ELSE f.why END,
    opened_at = coalesce(f.opened_at, clock_timestamp()),
    open_until = greatest(f.open_until, clock_timestamp() + %(seconds)s * interval '1 second'),
    probe_epoch = nullif(f.probe_epoch, %(epoch)s), probe_until = CASE WHEN f.probe_epoch <> %(epoch)s THEN f.probe_until END
FROM was
WHERE f.connector = was.connector
RETURNING f.trips, extract(epoch FROM f.open_until - clock_timestamp())::float8 AS open_for, coalesce(was.counts, false) AS counts;

-- close
-- The holder of the probe has seen the platform work.
UPDATE outbox.flow
SET trips = 0, opened_at = NULL, open_until = NULL, why = NULL, probe_epoch = NULL, probe_until = NULL
WHERE connector = %(connector)s AND probe_epoch = %(epoch)s
RETURNING trips, 0::float8 AS open_for, false AS counts;

-- take_probe
-- One lane of all tries the platform, when the breaker's time is over; should it die, another one does after a while.
UPDATE outbox.flow
SET probe_epoch = %(epoch)s, probe_until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE connector = %(connector)s AND trips > 0 AND open_until <= clock_timestamp()
  AND (probe_until IS NULL OR probe_until <= clock_timestamp())
RETURNING trips;

-- leave_probe
-- Whoever holds the probe and has nothing to try lets another one.
UPDATE outbox.flow SET probe_epoch = NULL, probe_until = NULL
WHERE connector = %(connector)s AND probe_epoch = %(epoch)s;

-- standings
-- Breaker and limits of every connector, as persons and scrapes see them.
SELECT * FROM outbox.flow_standing ORDER BY connector;

-- recent
-- How the latest records ended, over all lanes; locked until the window is kept again.
SELECT recent FROM outbox.flow WHERE connector = %(connector)s FOR UPDATE;

-- keep_recent
-- The window of the fuse with what this lane has to add.
UPDATE outbox.flow SET recent = %(recent)s WHERE connector = %(connector)s;

-- reset
-- A person starts the connector again: with a closed breaker and a fuse that has seen nothing.
UPDATE outbox.flow
SET trips = 0, opened_at = NULL, open_until = NULL, why = NULL, probe_epoch = NULL, probe_until = NULL, recent = '[]'
WHERE connector = %(connector)s;
