-- The whole library as it is with version 3: workspaces, keys, documents and what hangs on them, and
-- what many nodes share. The same tables as the SQLite files make step by step.
--
-- Every key but those of look-ups begins with workspace_id, a number of ours that stands for the
-- public id: eight bytes in every index, and the key to distribute by. Ids are UUIDv7 (16 bytes), so ordering by id is
-- ordering by creation and created_at needs no column. Times are milliseconds since 1970, UTC.

CREATE TABLE workspace (
    workspace_id    BIGINT PRIMARY KEY,
    public_id       TEXT COLLATE "C" NOT NULL UNIQUE,
    name            TEXT COLLATE "C" NOT NULL,
    owner_id        BYTEA NOT NULL,  -- usr_…: who the operator's keys act for
    verify_bytes    BIGINT NOT NULL DEFAULT 0,  -- 1: a record needs its bytes to be there
    open_entities   BIGINT NOT NULL DEFAULT 0,  -- 1: any well-formed entity id exists
    quota_bytes     BIGINT,
    quota_documents BIGINT,
    audit_days      BIGINT NOT NULL DEFAULT 365,
    created_at      BIGINT NOT NULL
);

CREATE TABLE api_key (
    workspace_id BIGINT NOT NULL,
    id           BYTEA NOT NULL,
    secret_mac   BYTEA NOT NULL,  -- HMAC of the secret, never the secret
    name         TEXT COLLATE "C" NOT NULL,
    description  TEXT COLLATE "C",
    prefix       TEXT COLLATE "C" NOT NULL,  -- first characters, to recognise it by
    permissions  BIGINT NOT NULL,  -- bits of core/permission.def
    tier         BIGINT NOT NULL,
    user_id      BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    PRIMARY KEY (workspace_id, id)
);

-- The public part of a key's text finds its row before the workspace is known.
CREATE TABLE api_key_handle (
    handle       TEXT COLLATE "C" PRIMARY KEY,
    workspace_id BIGINT NOT NULL,
    key_id       BYTEA NOT NULL
);

-- What a key (or a Docs entity) has used of its UTC-day budget.
CREATE TABLE budget (
    workspace_id BIGINT NOT NULL,
    subject      BYTEA NOT NULL,
    day          BIGINT NOT NULL,  -- days since 1970
    used         BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, subject)
);

CREATE TABLE document (
    workspace_id BIGINT NOT NULL,
    id           BYTEA NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    description  TEXT COLLATE "C",
    mime_type    TEXT COLLATE "C" NOT NULL,
    size_bytes   BIGINT,
    storage_path TEXT COLLATE "C" NOT NULL,
    folder       TEXT COLLATE "C",
    tags         TEXT COLLATE "C" NOT NULL,  -- one a line, in the order given
    search_text  TEXT COLLATE "C" NOT NULL,  -- case-folded name and description
    created_by   BYTEA NOT NULL,
    updated_at   BIGINT NOT NULL,
    blob_id      BYTEA,  -- NULL until the bytes have arrived
    sha256       BYTEA,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX document_path ON document (workspace_id, storage_path);
CREATE UNIQUE INDEX document_blob ON document (workspace_id, blob_id) WHERE blob_id IS NOT NULL;
CREATE INDEX document_name ON document (workspace_id, name, id);
CREATE INDEX document_updated ON document (workspace_id, updated_at, id);
CREATE INDEX document_folder ON document (workspace_id, folder, id) WHERE folder IS NOT NULL;

CREATE TABLE document_tag (
    workspace_id BIGINT NOT NULL,
    tag          TEXT COLLATE "C" NOT NULL,
    document_id  BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, tag, document_id)
);

CREATE TABLE folder (
    workspace_id BIGINT NOT NULL,
    path         TEXT COLLATE "C" NOT NULL,
    id           BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, path)
);

CREATE TABLE link (
    workspace_id BIGINT NOT NULL,
    document_id  BYTEA NOT NULL,
    entity_type  BIGINT NOT NULL,
    entity_id    TEXT COLLATE "C" NOT NULL,
    id           BYTEA NOT NULL,
    role         TEXT COLLATE "C",
    PRIMARY KEY (workspace_id, document_id, entity_type, entity_id)
);
CREATE UNIQUE INDEX link_entity ON link (workspace_id, entity_type, entity_id, id);

CREATE TABLE entity (
    workspace_id BIGINT NOT NULL,
    entity_type  BIGINT NOT NULL,
    entity_id    TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C",
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, entity_type, entity_id)
);

-- Workflows and templates that keep a document from being deleted.
CREATE TABLE document_reference (
    workspace_id BIGINT NOT NULL,
    document_id  BYTEA NOT NULL,
    ref_type     BIGINT NOT NULL,
    ref_id       TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, document_id, ref_type, ref_id)
);

-- Bytes that arrived by a signed URL and that no document registers yet.
CREATE TABLE object (
    workspace_id BIGINT NOT NULL,
    storage_path TEXT COLLATE "C" NOT NULL,
    blob_id      BYTEA NOT NULL,
    size_bytes   BIGINT NOT NULL,
    sha256       BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, storage_path)
);
CREATE UNIQUE INDEX object_blob ON object (workspace_id, blob_id);
CREATE INDEX object_age ON object (created_at);

-- Signed upload URLs that have done their one upload.
CREATE TABLE upload_used (
    workspace_id BIGINT NOT NULL,
    id           BYTEA NOT NULL,
    expires_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX upload_used_age ON upload_used (expires_at);

-- Bytes to erase, at the latest when due. A hard delete that could not finish stands here too,
-- so that its repetition finds the document it was about.
CREATE TABLE purge (
    workspace_id BIGINT NOT NULL,
    blob_id      BYTEA NOT NULL,
    document_id  BYTEA,
    size_bytes   BIGINT NOT NULL,
    due_at       BIGINT NOT NULL,
    hard         BIGINT NOT NULL DEFAULT 0,
    key_hash     BYTEA,  -- what to keep for the deleter's
    fingerprint  BYTEA,  -- idempotency key, once the bytes
    answer       BYTEA,  -- are gone
    PRIMARY KEY (workspace_id, blob_id)
);
CREATE INDEX purge_due ON purge (due_at);
CREATE INDEX purge_document ON purge (workspace_id, document_id) WHERE hard = 1;

-- Totals of a workspace, spread over slots so that many writers need not share one row.
CREATE TABLE usage (
    workspace_id BIGINT NOT NULL,
    slot         BIGINT NOT NULL,
    documents    BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, slot)
);

CREATE TABLE audit (
    workspace_id  BIGINT NOT NULL,
    id            BYTEA NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_id   TEXT COLLATE "C" NOT NULL,
    key_id        BYTEA,
    user_id       BYTEA,
    request_id    TEXT COLLATE "C",
    address       TEXT COLLATE "C",
    details       TEXT COLLATE "C",
    hash          BYTEA NOT NULL,  -- SHA-256 over the row and the one before
    seq           BIGINT NOT NULL,  -- 1, 2, 3 … in a chain
    chain         BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX audit_resource ON audit (workspace_id, resource_id, id);

CREATE UNIQUE INDEX audit_order ON audit (workspace_id, chain, seq);

-- A workspace has several chains of audit lines, so that many writers need not share one row. No
-- trigger guards them here, since not all that speak this protocol have them: the seals tell. Who
-- wants more gives the program a role that may not UPDATE audit and audit_head.
CREATE TABLE audit_chain (
    workspace_id BIGINT NOT NULL,
    chain        BIGINT NOT NULL,
    chains       BIGINT NOT NULL,  -- how many there are
    head         BYTEA NOT NULL,  -- the last line
    base         BYTEA NOT NULL,  -- the last one that retention has removed
    lines        BIGINT NOT NULL,
    removed      BIGINT NOT NULL,
    seal         BYTEA,  -- over all other columns
    keep_days    BIGINT NOT NULL,  -- as workspace.audit_days
    PRIMARY KEY (workspace_id, chain)
);

-- Signed heads: line `lines` had this hash at that time.
CREATE TABLE audit_head (
    workspace_id BIGINT NOT NULL,
    chain        BIGINT NOT NULL,
    lines        BIGINT NOT NULL,
    hash         BYTEA NOT NULL,
    signed_at    BIGINT NOT NULL,
    signature    BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, chain, lines)
);

-- Answers kept for a repeated idempotency key. Only the hash of the key's text is here, and the
-- answer is sealed under a key derived from that text.
CREATE TABLE idempotency (
    workspace_id BIGINT NOT NULL,
    key_hash     BYTEA NOT NULL,
    fingerprint  BYTEA NOT NULL,
    answer       BYTEA NOT NULL,
    completed_at BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, key_hash)
);
CREATE INDEX idempotency_age ON idempotency (completed_at);

-- The docs dialect.
CREATE TABLE docs_entity (
    entity_id    TEXT COLLATE "C" PRIMARY KEY,
    workspace_id BIGINT NOT NULL,
    id           BYTEA NOT NULL,
    trust_header BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE TABLE docs_user (
    workspace_id BIGINT NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    external_id  TEXT COLLATE "C",
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX docs_user_external ON docs_user (workspace_id, external_id)
    WHERE external_id IS NOT NULL;

CREATE TABLE docs (
    workspace_id BIGINT NOT NULL,
    id           BYTEA NOT NULL,
    type         TEXT COLLATE "C" NOT NULL,
    status       TEXT COLLATE "C" NOT NULL,
    owner_id     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX docs_owner ON docs (workspace_id, owner_id, id);

-- Tells whether secret.key is the one that this database was made with.
CREATE TABLE secret_check (
    only_row BIGINT PRIMARY KEY,
    mac      BYTEA NOT NULL
);

-- Bytes that a client sends to the store itself by a URL, on their way to a document.
CREATE TABLE incoming (
    workspace_id BIGINT NOT NULL,
    storage_path TEXT COLLATE "C" NOT NULL,
    upload_id    BYTEA NOT NULL,
    sha256       BYTEA,  -- what the store makes sure of, NULL: nothing was said
    expires_at   BIGINT NOT NULL,
    key_id       BYTEA NOT NULL,  -- who asked for the URL
    user_id      BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, storage_path, upload_id)
);
CREATE INDEX incoming_age ON incoming (expires_at);

-- Work that one node does at a time. workspace_id is 0: it is nobody's.
CREATE TABLE lease (
    workspace_id BIGINT NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    owner        BYTEA NOT NULL,
    until_at     BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, name)
);

-- Which store the bytes are in, by the id that it holds itself; settled once it has been there.
CREATE TABLE blob_home (
    only_row BIGINT PRIMARY KEY,
    id       BYTEA NOT NULL,
    settled  BIGINT NOT NULL
);
