-- What kills its worker is found and put aside.

-- How often in a row the lane was taken over from a dead owner without a page turned in between.
ALTER TABLE outbox.lane ADD COLUMN recoveries integer NOT NULL DEFAULT 0;
-- How many owners in a row have died while the delivery was in flight.
ALTER TABLE outbox.delivery ADD COLUMN deaths integer NOT NULL DEFAULT 0;
CREATE INDEX delivery_suspect_idx ON outbox.delivery (connector, lane, due_at)
    WHERE state IN ('waiting', 'unknown') AND deaths >= 3;
