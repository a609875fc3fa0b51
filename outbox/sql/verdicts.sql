-- Verdicts about receivers: stored together with their act, asked for by whoever wants to serve a connector.

-- may_record
-- Whether this role may store a verdict at all: the probes take minutes, and nobody wants to learn it afterwards.
SELECT has_table_privilege('outbox.receiver_verdict', 'INSERT') AND has_table_privilege('outbox.act', 'INSERT') AS allowed;

-- record
-- One verdict; the database refuses it without the act of the same transaction.
INSERT INTO outbox.receiver_verdict (connector, subject, declared, carries, quick, rounds, fingerprint, scratch_url,
                                     probes, actor, act_id)
VALUES (%(connector)s, %(subject)s, %(declared)s, %(carries)s, %(quick)s, %(rounds)s, %(fingerprint)s, %(scratch_url)s,
        %(probes)s, %(actor)s, %(act_id)s);

-- standing
-- The verdict that counts for a subject, with its age by the database's clock.
SELECT at, declared, carries, fingerprint, scratch_url,
       extract(epoch FROM clock_timestamp() - at)::float8 AS age_seconds
FROM outbox.receiver_standing
WHERE connector = %(connector)s AND subject = %(subject)s;

-- is_paused
-- Whether a connector is registered and paused.
SELECT EXISTS (SELECT FROM outbox.connector WHERE name = %(connector)s AND paused) AS paused;

-- hold
-- True when nobody else verifies this connector now; ours until `let_go`, or the end of the session.
SELECT pg_try_advisory_lock(hashtextextended('hms-sync verify ' || %(connector)s, 0)) AS held;

-- let_go
-- Others may verify the connector again.
SELECT pg_advisory_unlock(hashtextextended('hms-sync verify ' || %(connector)s, 0));
