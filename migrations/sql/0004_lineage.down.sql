-- Takes lineage away; nobody notices a failover any more.
REVOKE EXECUTE ON FUNCTION outbox.capture_read(text, jsonb, text, text, jsonb) FROM outbox_owner;
DROP FUNCTION outbox.capture_absence(text, text, text, text);
DROP TRIGGER append_only_rows ON outbox.change;
CREATE TRIGGER append_only_rows BEFORE UPDATE ON outbox.change FOR EACH ROW EXECUTE FUNCTION outbox.refuse_rewrite();
DROP FUNCTION outbox.guard_change();
DROP TABLE outbox.lost_delivery;
DROP TABLE outbox.lineage;
DROP FUNCTION outbox.guard_lineage();
REVOKE SELECT ON SEQUENCE outbox.epoch_seq, outbox.fence_seq FROM outbox_daemon, outbox_operator, outbox_auditor;
