-- hearing_insert
-- A hearing enters the schedule; its number comes from the registry.
INSERT INTO hms.hearing_schedule
    (id, case_number, title, kind, starts_at, ends_at, room_code, presiding, participants, is_public, status, court_fee, details)
VALUES (%(id)s, %(case_number)s, %(title)s, %(kind)s, %(starts_at)s, %(ends_at)s, %(room_code)s, %(presiding)s, %(participants)s,
        %(is_public)s, %(status)s, %(court_fee)s, jsonb_build_object('language', %(language)s::text));

-- hearing_reschedule
-- Another day, another room.
UPDATE hms.hearing_schedule SET starts_at = %(starts_at)s, ends_at = %(ends_at)s, room_code = %(room_code)s WHERE id = %(id)s;

-- hearing_status
-- Published, adjourned, cancelled, taken up again.
UPDATE hms.hearing_schedule SET status = %(status)s WHERE id = %(id)s;

-- hearing_public
-- The doors are opened or closed: the hearing enters or leaves the public lists.
UPDATE hms.hearing_schedule SET is_public = NOT is_public WHERE id = %(id)s;

-- hearing_fee
-- The fee is set anew and the language of the hearing noted.
UPDATE hms.hearing_schedule
SET court_fee = %(court_fee)s, details = details || jsonb_build_object('language', %(language)s::text) WHERE id = %(id)s;

-- hearing_note
-- A note that nobody outside may see: the only changed column is excluded from capture.
UPDATE hms.hearing_schedule SET internal_note = %(note)s WHERE id = %(id)s;

-- hearing_delete
-- The hearing is struck; its documents go with it.
DELETE FROM hms.hearing_schedule WHERE id = %(id)s;

-- room_closed
-- One statement, many rows: everything of a room moves to another one.
UPDATE hms.hearing_schedule SET room_code = %(to_room)s WHERE room_code = %(from_room)s;

-- shift_insert
-- A shift is planned.
INSERT INTO hms.patrol_timetable
    (unit_code, shift_date, shift_no, starts_local, hours, sector_code, call_signs, planned_km, status)
VALUES (%(unit_code)s, %(shift_date)s, %(shift_no)s, %(starts_local)s, %(hours)s, %(sector_code)s, %(call_signs)s, %(planned_km)s, 'planned');

-- shift_change
-- Begin, length and state of a shift.
UPDATE hms.patrol_timetable SET starts_local = %(starts_local)s, hours = %(hours)s, status = %(status)s, remarks = %(remarks)s
WHERE unit_code = %(unit_code)s AND shift_date = %(shift_date)s AND shift_no = %(shift_no)s;

-- shift_move
-- Another day: the key itself changes, perhaps into another partition.
UPDATE hms.patrol_timetable SET shift_date = %(to_date)s
WHERE unit_code = %(unit_code)s AND shift_date = %(shift_date)s AND shift_no = %(shift_no)s;

-- shift_delete
-- The shift is taken out of the plan.
DELETE FROM hms.patrol_timetable WHERE unit_code = %(unit_code)s AND shift_date = %(shift_date)s AND shift_no = %(shift_no)s;

-- feature_insert
-- A checkpoint is set up.
INSERT INTO hms.gis_feature (code, kind, name, geometry, attributes, valid_from)
VALUES (%(code)s, 'checkpoint', %(name)s, %(geometry)s, %(attributes)s, %(valid_from)s);

-- sector_insert
-- A patrol area is drawn.
INSERT INTO hms.gis_feature (code, kind, name, geometry, area_m2, attributes, valid_from)
VALUES (%(code)s, 'patrol_sector', %(name)s, %(geometry)s, %(area_m2)s, %(attributes)s, %(valid_from)s);

-- sector_redraw
-- A patrol area gets other borders.
UPDATE hms.gis_feature SET geometry = %(geometry)s, area_m2 = %(area_m2)s WHERE code = %(code)s;

-- feature_rename
-- Name and end of validity.
UPDATE hms.gis_feature SET name = %(name)s, valid_to = valid_from + %(days)s::integer WHERE code = %(code)s;

-- feature_delete
-- The feature leaves the map.
DELETE FROM hms.gis_feature WHERE code = %(code)s;

-- document_insert
-- A document is filed.
INSERT INTO hms.document (id, hearing_id, title, classification, content_type, content, tags)
VALUES (%(id)s, %(hearing_id)s, %(title)s, %(classification)s, 'text/plain', %(content)s, %(tags)s);

-- document_version
-- New content; size and digest follow by themselves.
UPDATE hms.document SET content = %(content)s, version_no = version_no + 1 WHERE id = %(id)s;

-- document_delete
-- The document is withdrawn.
DELETE FROM hms.document WHERE id = %(id)s;

-- world_hearings
-- The hearings that exist, in a fixed order.
SELECT id FROM hms.hearing_schedule ORDER BY id;

-- world_shifts
-- The shifts that exist.
SELECT unit_code, shift_date, shift_no FROM hms.patrol_timetable ORDER BY unit_code, shift_date, shift_no;

-- world_features
-- The features that exist.
SELECT code FROM hms.gis_feature ORDER BY code;

-- world_sectors
-- The patrol areas among them.
SELECT code FROM hms.gis_feature WHERE kind = 'patrol_sector' ORDER BY code;

-- world_documents
-- The documents that exist, each with its hearing.
SELECT id, hearing_id FROM hms.document ORDER BY id;

-- captured
-- Everything captured so far.
SELECT count(*) AS captured FROM outbox.change;

-- say_who
-- Whose hand it is, as the application says in every transaction.
SELECT set_config('hms.user_id', %(actor)s, true);
