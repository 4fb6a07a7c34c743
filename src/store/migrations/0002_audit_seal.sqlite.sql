-- The audit trail holds against whoever can write this database but has not the secret: lines have
-- a number each, the state of a chain is sealed (HMAC), and its head is signed now and then
-- (Ed25519). What rows there are is sealed as it is, by the program, in this same transaction.

DROP TRIGGER audit_no_update;
ALTER TABLE audit ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;     -- 1, 2, 3 … in a workspace
UPDATE audit SET seq = numbered.seq
    FROM (SELECT a.workspace_id, a.id, coalesce(c.removed, 0)
              + row_number() OVER (PARTITION BY a.workspace_id ORDER BY a.id) AS seq
          FROM audit AS a LEFT JOIN audit_chain AS c ON c.workspace_id = a.workspace_id) AS numbered
    WHERE audit.workspace_id = numbered.workspace_id AND audit.id = numbered.id;
CREATE UNIQUE INDEX audit_order ON audit (workspace_id, seq);

ALTER TABLE audit_chain ADD COLUMN seal BLOB;                    -- over all other columns
ALTER TABLE audit_chain ADD COLUMN keep_days INTEGER NOT NULL DEFAULT 0; -- as workspace.audit_days
INSERT INTO audit_chain (workspace_id, head, base, lines, removed)
    SELECT workspace_id, zeroblob(32), zeroblob(32), 0, 0 FROM workspace
    WHERE workspace_id NOT IN (SELECT workspace_id FROM audit_chain);
UPDATE audit_chain SET keep_days = coalesce((SELECT audit_days FROM workspace
    WHERE workspace.workspace_id = audit_chain.workspace_id), 0);

-- Signed heads: line `lines` had this hash at that time.
CREATE TABLE audit_head (
    workspace_id INTEGER NOT NULL,
    lines        INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    signed_at    INTEGER NOT NULL,
    signature    BLOB NOT NULL,
    PRIMARY KEY (workspace_id, lines)
) WITHOUT ROWID;

-- Tells whether secret.key is the one that this database was made with.
CREATE TABLE secret_check (
    only_row INTEGER PRIMARY KEY,
    mac      BLOB NOT NULL
);

-- Retention first says in audit_chain how far it removes, then removes. Nothing here runs when a
-- line is added: a trigger costs more than the line. What these let pass, the seal tells.
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit lines are never changed'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
WHEN OLD.seq > coalesce((SELECT removed FROM audit_chain WHERE workspace_id = OLD.workspace_id), 0)
BEGIN SELECT RAISE(ABORT, 'audit lines are removed by retention only'); END;
CREATE TRIGGER audit_chain_no_delete BEFORE DELETE ON audit_chain
BEGIN SELECT RAISE(ABORT, 'a chain of audit lines has no end'); END;
CREATE TRIGGER audit_head_no_update BEFORE UPDATE ON audit_head
BEGIN SELECT RAISE(ABORT, 'signed heads are never changed'); END;
CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head
WHEN OLD.lines >= coalesce((SELECT removed FROM audit_chain WHERE workspace_id = OLD.workspace_id), 0)
BEGIN SELECT RAISE(ABORT, 'signed heads go with their lines only'); END;
