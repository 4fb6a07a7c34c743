-- Many nodes on one database, and what they share. A file of SQLite has one writer and needs none
-- of this; it has it, so that a library moves from one engine to the other as it is.

-- A workspace may have several chains of audit lines, so that many writers need not share one row.
DROP TRIGGER audit_no_update;
DROP TRIGGER audit_no_delete;
DROP TRIGGER audit_chain_no_delete;
DROP TRIGGER audit_head_no_update;
DROP TRIGGER audit_head_no_delete;
ALTER TABLE audit ADD COLUMN chain INTEGER NOT NULL DEFAULT 0;
DROP INDEX audit_order;
CREATE UNIQUE INDEX audit_order ON audit (workspace_id, chain, seq);

ALTER TABLE audit_chain RENAME TO audit_chain_before;
CREATE TABLE audit_chain (
    workspace_id INTEGER NOT NULL,
    chain        INTEGER NOT NULL,
    chains       INTEGER NOT NULL,                       -- how many there are
    head         BLOB NOT NULL,                          -- the last line
    base         BLOB NOT NULL,                          -- the last one that retention has removed
    lines        INTEGER NOT NULL,
    removed      INTEGER NOT NULL,
    seal         BLOB,                                   -- over all other columns
    keep_days    INTEGER NOT NULL,                       -- as workspace.audit_days
    PRIMARY KEY (workspace_id, chain)
) WITHOUT ROWID;
INSERT INTO audit_chain (workspace_id, chain, chains, head, base, lines, removed, seal, keep_days)
    SELECT workspace_id, 0, 1, head, base, lines, removed, seal, keep_days FROM audit_chain_before;
DROP TABLE audit_chain_before;

ALTER TABLE audit_head RENAME TO audit_head_before;
CREATE TABLE audit_head (
    workspace_id INTEGER NOT NULL,
    chain        INTEGER NOT NULL,
    lines        INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    signed_at    INTEGER NOT NULL,
    signature    BLOB NOT NULL,
    PRIMARY KEY (workspace_id, chain, lines)
) WITHOUT ROWID;
INSERT INTO audit_head (workspace_id, chain, lines, hash, signed_at, signature)
    SELECT workspace_id, 0, lines, hash, signed_at, signature FROM audit_head_before;
DROP TABLE audit_head_before;

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit lines are never changed'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
WHEN OLD.seq > coalesce((SELECT removed FROM audit_chain
    WHERE workspace_id = OLD.workspace_id AND chain = OLD.chain), 0)
BEGIN SELECT RAISE(ABORT, 'audit lines are removed by retention only'); END;
CREATE TRIGGER audit_chain_no_delete BEFORE DELETE ON audit_chain
BEGIN SELECT RAISE(ABORT, 'a chain of audit lines has no end'); END;
CREATE TRIGGER audit_head_no_update BEFORE UPDATE ON audit_head
BEGIN SELECT RAISE(ABORT, 'signed heads are never changed'); END;
CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head
WHEN OLD.lines >= coalesce((SELECT removed FROM audit_chain
    WHERE workspace_id = OLD.workspace_id AND chain = OLD.chain), 0)
BEGIN SELECT RAISE(ABORT, 'signed heads go with their lines only'); END;

-- Bytes that a client sends to the store itself by a URL, on their way to a document.
CREATE TABLE incoming (
    workspace_id INTEGER NOT NULL,
    storage_path TEXT NOT NULL,
    upload_id    BLOB NOT NULL,
    sha256       BLOB,  -- what the store makes sure of, NULL: nothing was said
    expires_at   INTEGER NOT NULL,
    key_id       BLOB NOT NULL,                          -- who asked for the URL
    user_id      BLOB NOT NULL,
    PRIMARY KEY (workspace_id, storage_path, upload_id)
) WITHOUT ROWID;
CREATE INDEX incoming_age ON incoming (expires_at);

-- Work that one node does at a time. workspace_id is 0: it is nobody's.
CREATE TABLE lease (
    workspace_id INTEGER NOT NULL,
    name         TEXT NOT NULL,
    owner        BLOB NOT NULL,
    until_at     INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, name)
) WITHOUT ROWID;

-- Which store the bytes are in, by the id that it holds itself; settled once it has been there.
CREATE TABLE blob_home (
    only_row INTEGER PRIMARY KEY,
    id       BLOB NOT NULL,
    settled  INTEGER NOT NULL
);

-- The oldest program that can work beside the newest that has been here.
ALTER TABLE schema_version ADD COLUMN oldest INTEGER;
