-- The library: workspaces, keys, documents and what hangs on them.
--
-- Every key begins with workspace_id, a number of ours that stands for the public id: eight bytes
-- in every index, and the key to distribute by. Ids are UUIDv7 (16 bytes), so ordering by id is
-- ordering by creation and created_at needs no column. Times are milliseconds since 1970, UTC.

CREATE TABLE workspace (
    workspace_id    INTEGER PRIMARY KEY,
    public_id       TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    owner_id        BLOB NOT NULL,                       -- usr_…: who the operator's keys act for
    verify_bytes    INTEGER NOT NULL DEFAULT 0,          -- 1: a record needs its bytes to be there
    open_entities   INTEGER NOT NULL DEFAULT 0,          -- 1: any well-formed entity id exists
    quota_bytes     INTEGER,
    quota_documents INTEGER,
    audit_days      INTEGER NOT NULL DEFAULT 365,
    created_at      INTEGER NOT NULL
);

CREATE TABLE api_key (
    workspace_id INTEGER NOT NULL,
    id           BLOB NOT NULL,
    secret_mac   BLOB NOT NULL,                          -- HMAC of the secret, never the secret
    name         TEXT NOT NULL,
    description  TEXT,
    prefix       TEXT NOT NULL,                          -- first characters, to recognise it by
    permissions  INTEGER NOT NULL,                       -- bits of core/permission.def
    tier         INTEGER NOT NULL,
    user_id      BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    PRIMARY KEY (workspace_id, id)
) WITHOUT ROWID;

-- The public part of a key's text finds its row before the workspace is known.
CREATE TABLE api_key_handle (
    handle       TEXT PRIMARY KEY,
    workspace_id INTEGER NOT NULL,
    key_id       BLOB NOT NULL
) WITHOUT ROWID;

-- What a key (or a Docs entity) has used of its UTC-day budget.
CREATE TABLE budget (
    workspace_id INTEGER NOT NULL,
    subject      BLOB NOT NULL,
    day          INTEGER NOT NULL,                       -- days since 1970
    used         INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, subject)
) WITHOUT ROWID;

CREATE TABLE document (
    workspace_id INTEGER NOT NULL,
    id           BLOB NOT NULL,
    name         TEXT NOT NULL,
    description  TEXT,
    mime_type    TEXT NOT NULL,
    size_bytes   INTEGER,
    storage_path TEXT NOT NULL,
    folder       TEXT,
    tags         TEXT NOT NULL,                          -- one a line, in the order given
    search_text  TEXT NOT NULL,                          -- case-folded name and description
    created_by   BLOB NOT NULL,
    updated_at   INTEGER NOT NULL,
    blob_id      BLOB,                                   -- NULL until the bytes have arrived
    sha256       BLOB,
    PRIMARY KEY (workspace_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX document_path ON document (workspace_id, storage_path);
CREATE UNIQUE INDEX document_blob ON document (workspace_id, blob_id) WHERE blob_id IS NOT NULL;
CREATE INDEX document_name ON document (workspace_id, name, id);
CREATE INDEX document_updated ON document (workspace_id, updated_at, id);
CREATE INDEX document_folder ON document (workspace_id, folder, id) WHERE folder IS NOT NULL;

CREATE TABLE document_tag (
    workspace_id INTEGER NOT NULL,
    tag          TEXT NOT NULL,
    document_id  BLOB NOT NULL,
    PRIMARY KEY (workspace_id, tag, document_id)
) WITHOUT ROWID;

CREATE TABLE folder (
    workspace_id INTEGER NOT NULL,
    path         TEXT NOT NULL,
    id           BLOB NOT NULL,
    PRIMARY KEY (workspace_id, path)
) WITHOUT ROWID;

CREATE TABLE link (
    workspace_id INTEGER NOT NULL,
    document_id  BLOB NOT NULL,
    entity_type  INTEGER NOT NULL,
    entity_id    TEXT NOT NULL,
    id           BLOB NOT NULL,
    role         TEXT,
    PRIMARY KEY (workspace_id, document_id, entity_type, entity_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX link_entity ON link (workspace_id, entity_type, entity_id, id);

CREATE TABLE entity (
    workspace_id INTEGER NOT NULL,
    entity_type  INTEGER NOT NULL,
    entity_id    TEXT NOT NULL,
    name         TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, entity_type, entity_id)
) WITHOUT ROWID;

-- Workflows and templates that keep a document from being deleted.
CREATE TABLE document_reference (
    workspace_id INTEGER NOT NULL,
    document_id  BLOB NOT NULL,
    ref_type     INTEGER NOT NULL,
    ref_id       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, document_id, ref_type, ref_id)
) WITHOUT ROWID;

-- Bytes that arrived by a signed URL and that no document registers yet.
CREATE TABLE object (
    workspace_id INTEGER NOT NULL,
    storage_path TEXT NOT NULL,
    blob_id      BLOB NOT NULL,
    size_bytes   INTEGER NOT NULL,
    sha256       BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, storage_path)
) WITHOUT ROWID;
CREATE UNIQUE INDEX object_blob ON object (workspace_id, blob_id);
CREATE INDEX object_age ON object (created_at);

-- Signed upload URLs that have done their one upload.
CREATE TABLE upload_used (
    workspace_id INTEGER NOT NULL,
    id           BLOB NOT NULL,
    expires_at   INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, id)
) WITHOUT ROWID;
CREATE INDEX upload_used_age ON upload_used (expires_at);

-- Bytes to erase, at the latest when due. A hard delete that could not finish stands here too,
-- so that its repetition finds the document it was about.
CREATE TABLE purge (
    workspace_id INTEGER NOT NULL,
    blob_id      BLOB NOT NULL,
    document_id  BLOB,
    size_bytes   INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    hard         INTEGER NOT NULL DEFAULT 0,
    key_hash     BLOB,                                   -- what to keep for the deleter's
    fingerprint  BLOB,                                   -- idempotency key, once the bytes
    answer       BLOB,                                   -- are gone
    PRIMARY KEY (workspace_id, blob_id)
) WITHOUT ROWID;
CREATE INDEX purge_due ON purge (due_at);
CREATE INDEX purge_document ON purge (workspace_id, document_id) WHERE hard = 1;

-- Totals of a workspace, spread over slots so that many writers need not share one row.
CREATE TABLE usage (
    workspace_id INTEGER NOT NULL,
    slot         INTEGER NOT NULL,
    documents    INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, slot)
) WITHOUT ROWID;

CREATE TABLE audit (
    workspace_id  INTEGER NOT NULL,
    id            BLOB NOT NULL,
    action        TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    key_id        BLOB,
    user_id       BLOB,
    request_id    TEXT,
    address       TEXT,
    details       TEXT,
    hash          BLOB NOT NULL,                         -- SHA-256 over the row and the one before
    PRIMARY KEY (workspace_id, id)
) WITHOUT ROWID;
CREATE INDEX audit_resource ON audit (workspace_id, resource_id, id);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit lines are never changed'); END;

-- The last line of each chain, and the last one that retention has removed.
CREATE TABLE audit_chain (
    workspace_id INTEGER PRIMARY KEY,
    head         BLOB NOT NULL,
    base         BLOB NOT NULL,
    lines        INTEGER NOT NULL,
    removed      INTEGER NOT NULL
);

-- Answers kept for a repeated idempotency key. Only the hash of the key's text is here, and the
-- answer is sealed under a key derived from that text.
CREATE TABLE idempotency (
    workspace_id INTEGER NOT NULL,
    key_hash     BLOB NOT NULL,
    fingerprint  BLOB NOT NULL,
    answer       BLOB NOT NULL,
    completed_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key_hash)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (completed_at);

-- The docs dialect.
CREATE TABLE docs_entity (
    entity_id    TEXT PRIMARY KEY,
    workspace_id INTEGER NOT NULL,
    id           BLOB NOT NULL,
    trust_header INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE docs_user (
    workspace_id INTEGER NOT NULL,
    id           TEXT NOT NULL,
    external_id  TEXT,
    PRIMARY KEY (workspace_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX docs_user_external ON docs_user (workspace_id, external_id)
    WHERE external_id IS NOT NULL;

CREATE TABLE docs (
    workspace_id INTEGER NOT NULL,
    id           BLOB NOT NULL,
    type         TEXT NOT NULL,
    status       TEXT NOT NULL,
    owner_id     TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
) WITHOUT ROWID;
CREATE INDEX docs_owner ON docs (workspace_id, owner_id, id);
