-- Kept answers stand in the order in which they came, so that new ones fill the same page; only
-- their hashes, which come in no order, are spread (docs/decisions/0016-idempotency-record.md).
-- PostgreSQL's tables are like that anyway.
ALTER TABLE idempotency RENAME TO idempotency_before;
CREATE TABLE idempotency (
    workspace_id INTEGER NOT NULL,
    key_hash     BLOB NOT NULL,
    fingerprint  BLOB NOT NULL,
    answer       BLOB NOT NULL,
    completed_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key_hash)
);
INSERT INTO idempotency (workspace_id, key_hash, fingerprint, answer, completed_at)
    SELECT workspace_id, key_hash, fingerprint, answer, completed_at FROM idempotency_before;
-- first, since SQLite keeps a copy in memory of each page that dropping a table clears
DROP INDEX idempotency_age;
DELETE FROM idempotency_before;
DROP TABLE idempotency_before;
CREATE INDEX idempotency_age ON idempotency (completed_at);
