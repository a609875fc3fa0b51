-- The archive's table, in MariaDB. hms_sync_ledger is made beside it at the first delivery.
CREATE TABLE hearing (
    hearing_id bigint PRIMARY KEY,
    title      varchar(200) NOT NULL,
    starts_at  datetime(6),
    fee        decimal(12,2),
    parties    json,
    ruling     longblob
) ENGINE=InnoDB CHARACTER SET utf8mb4;
