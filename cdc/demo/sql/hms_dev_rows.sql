-- The first rows of HMS-DEV: a working week in December 2026, invented from beginning to end.

INSERT INTO hms.court_room (code, name, building, capacity) VALUES
    ('A101', 'Courtroom 1', 'Justice Centre North', 60),
    ('A102', 'Courtroom 2', 'Justice Centre North', 40),
    ('A210', 'Mediation Room', 'Justice Centre North', 12),
    ('B001', 'Great Hall', 'Old Town Hall', 180),
    ('B014', 'Council Chamber', 'Old Town Hall', 36),
    ('C300', 'Video Hearing Suite', 'Harbour Annex', 8);

INSERT INTO hms.hearing_schedule
    (case_number, title, kind, starts_at, ends_at, room_code, presiding, participants, is_public, status, court_fee, details, internal_note)
VALUES
    ('CV-2026-00117', 'Riverside Housing v. City of Elmford', 'trial', '2026-12-07 09:00+01', '2026-12-07 12:30+01', 'A101', 'Judge M. Okafor', '{"Riverside Housing","City of Elmford"}', true, 'scheduled', 1250.00, '{"language": "en", "interpreter": false}', 'Expect press.'),
    ('CV-2026-00121', 'Harbour Freight Co-operative v. Port Authority', 'directions', '2026-12-07 14:00+01', '2026-12-07 14:45+01', 'A102', 'Judge L. Brandt', '{"Harbour Freight Co-operative","Port Authority"}', true, 'scheduled', 320.50, '{"language": "en", "interpreter": true}', NULL),
    ('AD-2026-00044', 'Review of the Mill Lane building permit', 'appeal', '2026-12-08 09:30+01', '2026-12-08 11:00+01', 'B014', 'Judge S. Lindqvist', '{"Mill Lane Residents","Planning Office"}', true, 'scheduled', 180.00, '{"language": "fr", "interpreter": false}', NULL),
    ('AD-2026-00045', 'Licence of the Café "Zum Löwen", terrace & music', 'directions', '2026-12-08 13:00+01', '2026-12-08 13:30+01', 'B014', 'Judge S. Lindqvist', '{"Café Zum Löwen","Licensing Office"}', true, 'scheduled', 95.90, '{"language": "de", "interpreter": true}', 'Two neighbours wish to speak.'),
    ('FM-2026-00310', 'Family mediation, first session', 'mediation', '2026-12-08 15:00+01', '2026-12-08 17:00+01', 'A210', 'Mediator R. Castellanos', '{}', false, 'scheduled', 0, '{"language": "en"}', 'Not public.'),
    ('CV-2026-00098', 'Northern Rail v. Signal Works', 'trial', '2026-12-09 09:00+01', '2026-12-09 16:00+01', 'A101', 'Judge M. Okafor', '{"Northern Rail","Signal Works"}', true, 'scheduled', 4800.00, '{"language": "en", "remote_link": "https://video.example/northern-rail"}', NULL),
    ('CV-2026-00131', 'Baker & Sons v. Mutual Insurance', 'directions', '2026-12-09 10:00+01', '2026-12-09 10:30+01', 'A102', 'Judge L. Brandt', '{"Baker & Sons","Mutual Insurance"}', true, 'adjourned', 210.00, '{"language": "en"}', 'Counsel ill.'),
    ('CR-2026-00207', 'Public Prosecutor v. unnamed defendant', 'trial', '2026-12-10 09:00+01', '2026-12-10 13:00+01', 'B001', 'Judge T. Almeida', '{"Public Prosecutor"}', true, 'scheduled', 0, '{"language": "en", "interpreter": true}', 'Security level 2.'),
    ('CR-2026-00208', 'Public Prosecutor v. unnamed juvenile', 'directions', '2026-12-10 14:00+01', '2026-12-10 15:00+01', 'A102', 'Judge T. Almeida', '{"Public Prosecutor"}', false, 'scheduled', 0, '{}', 'Closed doors.'),
    ('AD-2026-00051', 'Market Square traffic order', 'judgment', '2026-12-11 11:00+01', '2026-12-11 11:20+01', 'B014', 'Judge S. Lindqvist', '{"Chamber of Commerce","City of Elmford"}', true, 'scheduled', 60.00, '{"language": "en"}', NULL),
    ('CV-2026-00140', 'Green Valley Farm v. Water Board', 'mediation', '2026-12-11 13:00+01', '2026-12-11 16:00+01', 'A210', 'Mediator R. Castellanos', '{"Green Valley Farm","Water Board"}', true, 'draft', 150.00, '{"language": "en"}', 'Date not confirmed.'),
    ('CV-2026-00077', 'Heirs of Dupont v. Savings Bank', 'judgment', '2026-12-04 10:00+01', '2026-12-04 10:15+01', 'A101', 'Judge M. Okafor', '{"Heirs of Dupont","Savings Bank"}', true, 'concluded', 730.25, '{"language": "fr"}', NULL),
    ('CV-2026-00133', 'Elmford Tenants'' Union v. Oak Estates', 'trial', '2026-12-14 09:00+01', '2026-12-14 17:00+01', 'B001', 'Judge L. Brandt', '{"Elmford Tenants'' Union","Oak Estates"}', true, 'cancelled', 2150.00, '{"language": "en"}', 'Settled out of court.'),
    ('CV-2027-00003', 'Lighthouse Trust v. Coast Survey', 'directions', '2027-03-29 09:00+02', '2027-03-29 09:45+02', 'C300', 'Judge L. Brandt', '{"Lighthouse Trust","Coast Survey"}', true, 'scheduled', 340.10, '{"language": "en", "remote_link": "https://video.example/lighthouse"}', 'The first day after the change of clocks.');

INSERT INTO hms.patrol_unit (code, name, station) VALUES
    ('NORTH-01', 'North Patrol 1', 'Harbour Station'),
    ('NORTH-02', 'North Patrol 2', 'Harbour Station'),
    ('SOUTH-01', 'South Patrol 1', 'Mill Lane Station'),
    ('RIVER-01', 'River Patrol', 'Boathouse'),
    ('PARK-01', 'Park Rangers', 'Green Valley Lodge');

INSERT INTO hms.patrol_timetable
    (unit_code, shift_date, shift_no, starts_local, hours, sector_code, call_signs, planned_km, status, remarks)
VALUES
    ('NORTH-01', '2026-12-07', 1, '06:00', 8.00, 'GF-00010', '{N11,N12}', 84.5, 'planned', NULL),
    ('NORTH-01', '2026-12-07', 2, '14:00', 8.00, 'GF-00010', '{N13,N14}', 92.0, 'planned', NULL),
    ('NORTH-01', '2026-12-07', 3, '22:00', 8.00, 'GF-00011', '{N15,N16}', 61.5, 'planned', 'Night shift; market stalls are being set up.'),
    ('NORTH-02', '2026-12-07', 1, '06:00', 8.00, 'GF-00011', '{N21,N22}', 73.0, 'planned', NULL),
    ('NORTH-02', '2026-12-08', 1, '06:00', 8.00, 'GF-00011', '{N21,N23}', 73.0, 'planned', NULL),
    ('SOUTH-01', '2026-12-07', 1, '07:00', 7.50, 'GF-00012', '{S11}', 40.0, 'planned', 'Bicycle patrol; school run first.'),
    ('SOUTH-01', '2026-12-08', 1, '07:00', 7.50, 'GF-00012', '{S11,S12}', 40.0, 'planned', NULL),
    ('SOUTH-01', '2026-12-09', 1, '07:00', 7.50, 'GF-00012', '{S12}', 42.5, 'cancelled', 'Training day.'),
    ('RIVER-01', '2026-12-07', 1, '08:30', 6.25, 'GF-00013', '{R1,R2}', NULL, 'planned', 'Subject to water level; check the gauge first.'),
    ('RIVER-01', '2026-12-09', 1, '08:30', 6.25, 'GF-00013', '{R1,R2}', NULL, 'planned', NULL),
    ('PARK-01', '2026-12-12', 1, '10:00', 5.00, 'GF-00013', '{P1}', 12.0, 'planned', 'Winter fair.'),
    ('PARK-01', '2027-03-27', 3, '22:00', 8.00, 'GF-00013', '{P1,P2}', 9.5, 'planned', 'The night of the change of clocks.');

INSERT INTO hms.gis_feature (code, kind, name, geometry, area_m2, attributes, valid_from, valid_to) VALUES
    ('GF-00001', 'building', 'Justice Centre North', '{"type": "Point", "coordinates": [4.351710, 50.846730]}', NULL, '{"floors": 5, "accessible": true}', '2019-09-01', NULL),
    ('GF-00002', 'building', 'Old Town Hall', '{"type": "Point", "coordinates": [4.347820, 50.848100]}', NULL, '{"floors": 3, "listed": true}', '1998-01-01', NULL),
    ('GF-00003', 'building', 'Harbour Annex', '{"type": "Point", "coordinates": [4.359010, 50.861240]}', NULL, '{"floors": 2}', '2024-04-15', NULL),
    ('GF-00010', 'patrol_sector', 'Harbour', '{"type": "Polygon", "coordinates": [[[4.350, 50.858], [4.366, 50.858], [4.366, 50.866], [4.350, 50.866], [4.350, 50.858]]]}', 998430.25, '{"station": "Harbour Station", "priority": 2}', '2026-01-01', NULL),
    ('GF-00011', 'patrol_sector', 'Old Town', '{"type": "Polygon", "coordinates": [[[4.342, 50.844], [4.355, 50.844], [4.355, 50.851], [4.342, 50.851], [4.342, 50.844]]]}', 710006.00, '{"station": "Harbour Station", "priority": 1}', '2026-01-01', NULL),
    ('GF-00012', 'patrol_sector', 'Mill Lane', '{"type": "Polygon", "coordinates": [[[4.358, 50.836], [4.371, 50.836], [4.371, 50.843], [4.358, 50.843], [4.358, 50.836]]]}', 711250.75, '{"station": "Mill Lane Station", "priority": 2}', '2026-01-01', NULL),
    ('GF-00013', 'patrol_sector', 'River and Park', '{"type": "Polygon", "coordinates": [[[4.372, 50.845], [4.386, 50.845], [4.386, 50.857], [4.372, 50.857], [4.372, 50.845]]]}', 1312009.10, '{"station": "Boathouse", "priority": 3}', '2026-01-01', NULL),
    ('GF-00020', 'checkpoint', 'Swing Bridge', '{"type": "Point", "coordinates": [4.361905, 50.859933]}', NULL, '{"opens": "06:00", "closes": "22:00"}', '2026-11-01', '2027-02-28'),
    ('GF-00030', 'road_closure', 'Market Square, winter market', '{"type": "LineString", "coordinates": [[4.3472, 50.8471], [4.3488, 50.8476], [4.3501, 50.8474]]}', NULL, '{"detour": "Ring Road", "buses": false}', '2026-11-27', '2027-01-03'),
    ('GF-00031', 'road_closure', 'Quay Street, gas main', '{"type": "LineString", "coordinates": [[4.3570, 50.8601], [4.3592, 50.8612]]}', NULL, '{"detour": "Dock Road", "buses": true}', '2026-12-01', '2026-12-18');

INSERT INTO hms.document (id, hearing_id, title, classification, content_type, content, tags) VALUES
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0001', 1, 'Statement of claim', 'public', 'text/plain', convert_to(E'Riverside Housing claims the cost of the flood wall.\n', 'UTF8'), '{claim}'),
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0002', 1, 'Survey of the flood wall', 'internal', 'application/pdf', decode('255044462d312e340a25e2e3cfd30a', 'hex'), '{survey,annex}'),
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0003', 2, 'Bill of lading 88-A', 'internal', 'image/png', decode('89504e470d0a1a0a0000000d49484452', 'hex'), '{annex}'),
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0004', 3, 'Permit of 3 March 2025', 'public', 'text/plain', convert_to(E'Permit no. 25/0303, Mill Lane 12.\n', 'UTF8'), '{permit}'),
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0005', 4, 'Lärmgutachten', 'public', 'text/plain', convert_to(E'Gemessen wurden 54 dB(A) um 22:30 Uhr.\n', 'UTF8'), '{survey,noise}'),
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0006', 6, 'List of witnesses', 'restricted', 'text/plain', convert_to(E'1. the signaller on duty\n2. the driver of train 4711\n', 'UTF8'), '{}'),
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0007', 10, 'Traffic count', 'public', 'text/csv', convert_to(E'hour;vehicles\n07;412\n08;655\n', 'UTF8'), '{survey}'),
    ('6f0c2d6e-5b1a-4c39-9d3a-0a5f6f1e0008', NULL, 'Rules of the house', 'public', 'text/plain', convert_to(E'Please switch your telephone to silent.\n', 'UTF8'), '{house}');
