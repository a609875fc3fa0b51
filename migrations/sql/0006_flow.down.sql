-- Each lane has a breaker of its own again, and connectors have no rate.
DROP VIEW outbox.flow_standing;
DROP TABLE outbox.flow;
ALTER TABLE outbox.connector ADD COLUMN breaker jsonb NOT NULL DEFAULT '{}';
