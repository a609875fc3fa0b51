-- What the verifier asks the database; it knows nothing of mappings, transformers or connectors.

-- hearings
-- Hearings that anybody outside may know of.
SELECT id, case_number, title, kind::text, starts_at, ends_at, room_code, presiding, participants, status::text, court_fee,
       details ->> 'language' AS language
FROM hms.hearing_schedule WHERE is_public AND status <> 'draft';

-- shifts
-- The whole plan of patrols.
SELECT unit_code, shift_date, shift_no, starts_at, ends_at, sector_code, call_signs, status::text, remarks
FROM hms.patrol_timetable;

-- documents
-- The documents that others may list and read: everything but the restricted ones.
SELECT id::text, hearing_id, title, classification::text, content_type, size_bytes, encode(sha256, 'hex') AS sha256, version_no, tags,
       filed_at, file_name
FROM hms.document WHERE classification <> 'restricted';

-- features
-- The whole map.
SELECT code, kind::text, name, geometry, area_m2, attributes, valid_from::text, valid_to::text FROM hms.gis_feature;

-- patrol_areas
-- The areas that patrols are responsible for.
SELECT code, name, geometry, area_m2, valid_from::text, valid_to::text FROM hms.gis_feature WHERE kind = 'patrol_sector';

-- applied
-- What the ledger says was applied: the very effects that the platforms must have seen, once each.
SELECT connector, event_id, generation, operation, record_type, record_key FROM outbox.audit WHERE outcome = 'applied';

-- counts
-- The sums of the ledger, in one snapshot.
SELECT (SELECT count(*) FROM outbox.change) AS captured,
       (SELECT count(*) FROM outbox.audit) AS audit_entries,
       (SELECT count(*) FROM outbox.delivery WHERE state = 'dead') AS dead;

-- progress
-- Per connector: changes of its routed types, changes settled, effects applied, dead deliveries.
SELECT k.name,
       (SELECT count(*) FROM outbox.change c
        WHERE c.record_type = ANY (t.record_types) AND (c.connector IS NULL OR c.connector = k.name)) AS routed,
       (SELECT count(DISTINCT a.change_id) FROM outbox.audit a
        WHERE a.connector = k.name AND a.outcome IN ('applied', 'filtered', 'superseded', 'dropped')) AS settled,
       (SELECT count(*) FROM outbox.audit a WHERE a.connector = k.name AND a.outcome = 'applied') AS applied,
       (SELECT count(*) FROM outbox.delivery d WHERE d.connector = k.name AND d.state = 'dead') AS dead,
       k.paused_reason
FROM outbox.connector k
JOIN outbox.mapping m ON m.connector = k.name AND m.version = k.mapping_version
CROSS JOIN LATERAL (SELECT ARRAY(SELECT jsonb_object_keys(m.definition -> 'routes')) AS record_types) t
ORDER BY k.name;

-- last_errors
-- Why deliveries are open: the newest sentence of each connector.
SELECT DISTINCT ON (connector) connector, last_error
FROM outbox.delivery WHERE last_error IS NOT NULL ORDER BY connector, change_id DESC;
