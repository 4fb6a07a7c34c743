// SPDX-License-Identifier: Apache-2.0
#include "store/dump.h"

#define INT(name)                                                                                  \
    {                                                                                              \
        name, DUMP_INT, NULL                                                                       \
    }
#define TEXT(name)                                                                                 \
    {                                                                                              \
        name, DUMP_TEXT, NULL                                                                      \
    }
#define BLOB(name)                                                                                 \
    {                                                                                              \
        name, DUMP_BLOB, NULL                                                                      \
    }
#define AS(name, computed)                                                                         \
    {                                                                                              \
        name, DUMP_INT, computed                                                                   \
    }

static const struct dump_column workspace[] = {
    INT("workspace_id"), TEXT("public_id"),    TEXT("name"),       BLOB("owner_id"),
    INT("verify_bytes"), INT("open_entities"), INT("quota_bytes"), INT("quota_documents"),
    INT("audit_days"),   INT("created_at"),
};
static const struct dump_column api_key[] = {
    INT("workspace_id"), BLOB("id"),        BLOB("secret_mac"), TEXT("name"),
    TEXT("description"), TEXT("prefix"),    INT("permissions"), INT("tier"),
    BLOB("user_id"),     INT("created_at"), INT("expires_at"),  INT("revoked_at"),
};
static const struct dump_column api_key_handle[] = {
    TEXT("handle"),
    INT("workspace_id"),
    BLOB("key_id"),
};
static const struct dump_column budget[] = {
    INT("workspace_id"), BLOB("subject"), INT("day"), INT("used"), INT("last_used_at"),
};
static const struct dump_column document[] = {
    INT("workspace_id"), BLOB("id"),          TEXT("name"),         TEXT("description"),
    TEXT("mime_type"),   INT("size_bytes"),   TEXT("storage_path"), TEXT("folder"),
    TEXT("tags"),        TEXT("search_text"), BLOB("created_by"),   INT("updated_at"),
    BLOB("blob_id"),     BLOB("sha256"),
};
static const struct dump_column document_tag[] = {
    INT("workspace_id"),
    TEXT("tag"),
    BLOB("document_id"),
};
static const struct dump_column folder[] = {
    INT("workspace_id"),
    TEXT("path"),
    BLOB("id"),
};
static const struct dump_column link[] = {
    INT("workspace_id"), BLOB("document_id"), INT("entity_type"),
    TEXT("entity_id"),   BLOB("id"),          TEXT("role"),
};
static const struct dump_column entity[] = {
    INT("workspace_id"), INT("entity_type"), TEXT("entity_id"),
    TEXT("name"),        INT("created_at"),  INT("updated_at"),
};
static const struct dump_column document_reference[] = {
    INT("workspace_id"), BLOB("document_id"), INT("ref_type"), TEXT("ref_id"), INT("created_at"),
};
static const struct dump_column object[] = {
    INT("workspace_id"), TEXT("storage_path"), BLOB("blob_id"),
    INT("size_bytes"),   BLOB("sha256"),       INT("created_at"),
};
static const struct dump_column upload_used[] = {
    INT("workspace_id"),
    BLOB("id"),
    INT("expires_at"),
};
static const struct dump_column purge[] = {
    INT("workspace_id"), BLOB("blob_id"),  BLOB("document_id"), INT("size_bytes"), INT("due_at"),
    INT("hard"),         BLOB("key_hash"), BLOB("fingerprint"), BLOB("answer"),
};
static const struct dump_column usage[] = {
    INT("workspace_id"),
    AS("slot", "0"),
    AS("documents", "CAST(sum(documents) AS BIGINT)"),
    AS("bytes", "CAST(sum(bytes) AS BIGINT)"),
};
static const struct dump_column audit[] = {
    INT("workspace_id"), BLOB("id"),      TEXT("action"),  TEXT("resource_type"),
    TEXT("resource_id"), BLOB("key_id"),  BLOB("user_id"), TEXT("request_id"),
    TEXT("address"),     TEXT("details"), BLOB("hash"),    INT("chain"),
    INT("seq"),
};
/* `sealed` is in the place of `chains` and `seal`: see dump_chain.c */
static const struct dump_column audit_chain[] = {
    INT("workspace_id"), INT("chain"),   BLOB("head"),     BLOB("base"),
    INT("lines"),        INT("removed"), INT("keep_days"), AS("sealed", NULL),
};
static const struct dump_column audit_head[] = {
    INT("workspace_id"), INT("chain"),     INT("lines"),
    BLOB("hash"),        INT("signed_at"), BLOB("signature"),
};
static const struct dump_column idempotency[] = {
    INT("workspace_id"), BLOB("key_hash"), BLOB("fingerprint"), BLOB("answer"), INT("completed_at"),
};
static const struct dump_column docs_entity[] = {
    TEXT("entity_id"), INT("workspace_id"), BLOB("id"), INT("trust_header"), INT("created_at"),
};
static const struct dump_column docs_user[] = {
    INT("workspace_id"),
    TEXT("id"),
    TEXT("external_id"),
};
static const struct dump_column docs[] = {
    INT("workspace_id"), BLOB("id"), TEXT("type"), TEXT("status"), TEXT("owner_id"),
};

#define TABLE(name, keys, group)                                                                   \
    {                                                                                              \
#name, name, ARRAY_LEN(name), keys, group                                                  \
    }

const struct dump_table dump_tables[DUMP_TABLES] = {
    TABLE(workspace, 1, ""),      TABLE(api_key, 2, ""),
    TABLE(api_key_handle, 1, ""), TABLE(budget, 2, ""),
    TABLE(document, 2, ""),       TABLE(document_tag, 3, ""),
    TABLE(folder, 2, ""),         TABLE(link, 4, ""),
    TABLE(entity, 3, ""),         TABLE(document_reference, 4, ""),
    TABLE(object, 2, ""),         TABLE(upload_used, 2, ""),
    TABLE(purge, 2, ""),          TABLE(usage, 1, " GROUP BY workspace_id"),
    TABLE(audit, 2, ""),          TABLE(audit_chain, 2, NULL),
    TABLE(audit_head, 3, ""),     TABLE(idempotency, 2, ""),
    TABLE(docs_entity, 1, ""),    TABLE(docs_user, 2, ""),
    TABLE(docs, 2, ""),
};

const char *const dump_left_out[] = {
    "schema_version", /* of the engine */
    "secret_check",   /* made anew from secret.key, which goes along */
    "blob_home",      /* the bytes are in another store then */
    "incoming",       /* by URLs of the store that is left: whoever has one asks for another */
    "lease",          /* of nodes that are running */
    "digest",         /* follows from the documents, and is made anew */
    "facet_total",    "text_block", "text_group", "text_sign", NULL,
};

const struct dump_table *
dump_table_find(const char *name)
{
    for (size_t i = 0; i < DUMP_TABLES; i++) {
        if (streq(dump_tables[i].name, name))
            return &dump_tables[i];
    }
    return NULL;
}

size_t
dump_column_find(const struct dump_table *t, const char *name)
{
    size_t i = 0;

    while (i < t->n && !streq(t->columns[i].name, name))
        i++;
    BUG_ON(i == t->n);
    return i;
}
