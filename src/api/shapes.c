// SPDX-License-Identifier: Apache-2.0
/* The shapes of answers, member by member, in the order they are sent. */
#include "api/api.h"

#define T(n, h, e)                                                                                 \
    {                                                                                              \
        .name = n, .type = FIELD_TEXT, .help = h, .example = e                                     \
    }
#define T_NULL(n, h, e)                                                                            \
    {                                                                                              \
        .name = n, .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = h, .example = e            \
    }
#define I(n, h, e)                                                                                 \
    {                                                                                              \
        .name = n, .type = FIELD_INT, .help = h, .example = e                                      \
    }
#define I_NULL(n, h, e)                                                                            \
    {                                                                                              \
        .name = n, .type = FIELD_INT, .flags = FIELD_NULLABLE, .help = h, .example = e             \
    }
#define TIME(n, h)                                                                                 \
    {                                                                                              \
        .name = n, .type = FIELD_TIME, .help = h, .example = "\"2026-04-17T10:45:00Z\""            \
    }
#define TIME_NULL(n, h)                                                                            \
    {                                                                                              \
        .name = n, .type = FIELD_TIME, .flags = FIELD_NULLABLE, .help = h, .example = "null"       \
    }
#define LIST(n, m, h)                                                                              \
    {                                                                                              \
        .name = n, .type = FIELD_OBJECTS, .members = m, .help = h                                  \
    }

#define DOC_ID "\"doc_01KA1B2C3D4E5F6G7H8J9KAMNP\""
#define NAME T("name", "Display name", "\"Acme-NDA-2026.pdf\"")
#define MIME_TYPE T("mime_type", "Media type", "\"application/pdf\"")
#define SIZE I_NULL("size_bytes", "Size in bytes; null when unknown", "183204")
#define FOLDER T_NULL("folder", "Folder path", "\"/clients/acme/ndas\"")
#define TAGS                                                                                       \
    {                                                                                              \
        .name = "tags", .type = FIELD_TEXTS, .help = "Tags, in the order given",                   \
        .example = "[\"nda\",\"confidentiality\"]"                                                 \
    }
#define ENTITY_TYPE T("entity_type", "Kind of entity", "\"contact\"")
#define ENTITY_ID T("entity_id", "Id of the entity", "\"123e4567-e89b-12d3-a456-426614174000\"")
#define ROLE T_NULL("role", "What the document is to the entity", "\"signed\"")
#define DOCUMENT_MEMBERS                                                                           \
    T("id", "Id of the document", DOC_ID), NAME, T_NULL("description", "Free text", "null"),       \
        MIME_TYPE, SIZE,                                                                           \
        T("storage_path", "Name of the bytes in the workspace",                                    \
          "\"workspaces/ws_123/documents/new-upload.pdf\""),                                       \
        FOLDER, TAGS,                                                                              \
        T("created_by", "User the creating key belongs to", "\"usr_01KA1B2C3D4E5F6G7H8J9KAMNP\""), \
        TIME("created_at", "When the record was made"),                                            \
        TIME("updated_at", "When it was last changed")

const struct field document_shape[] = {DOCUMENT_MEMBERS, {0}};

static const struct field linked_entity[] = {ENTITY_TYPE, ENTITY_ID, ROLE, {0}};

const struct field document_full_shape[] = {
    DOCUMENT_MEMBERS,
    LIST("linked_entities", linked_entity, "Entities the document is linked to; the first 1,000"),
    {.name = "download_url",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE | FIELD_OPTIONAL,
     .help = "Signed URL of the bytes; null until they have arrived",
     .example = "null"},
    {.name = "download_url_expires_at",
     .type = FIELD_TIME,
     .flags = FIELD_NULLABLE | FIELD_OPTIONAL,
     .help = "When that URL ends",
     .example = "null"},
    {0},
};

const struct field linked_document_shape[] = {
    T("id", "Id of the document", DOC_ID),
    NAME,
    MIME_TYPE,
    SIZE,
    FOLDER,
    TAGS,
    ROLE,
    TIME("linked_at", "When it was linked"),
    TIME("created_at", "When the record was made"),
    {0},
};

const struct field link_shape[] = {
    T("link_id", "Id of the link", "\"dlnk_01KA1B2C3D4E5F6G7H8J9KAMNP\""),
    T("document_id", "Id of the document", DOC_ID),
    ENTITY_TYPE,
    ENTITY_ID,
    ROLE,
    TIME("created_at", "When the link was made"),
    {0},
};

const struct field reference_shape[] = {
    T("type", "workflow or template", "\"workflow\""),
    T("id", "Id of the workflow or template", "\"wf_1\""),
    TIME("created_at", "When the reference was made"),
    {0},
};

const struct field entity_shape[] = {
    ENTITY_TYPE,
    ENTITY_ID,
    T_NULL("name", "Display name", "\"Acme GmbH\""),
    TIME("created_at", "When it was registered"),
    TIME("updated_at", "When it was last changed"),
    {0},
};

const struct field batch_shape[] = {
    I("created", "Entities that are new", "1"),
    I("updated", "Entities that were there", "0"),
    {0},
};

const struct field upload_url_shape[] = {
    T("upload_url", "Where to PUT the bytes, once, without a key",
      "\"http://127.0.0.1:8080/v1/signed/upload/…\""),
    T("method", "Always PUT", "\"PUT\""),
    {.name = "headers",
     .type = FIELD_ANY,
     .help = "Headers the upload must carry",
     .example = "{\"Content-Type\":\"application/pdf\"}"},
    T("storage_path", "Where the bytes go",
      "\"workspaces/ws_123/documents/01KA1B2C3D4E5F6G7H8J9KAMNP.pdf\""),
    TIME("expires_at", "When the URL ends"),
    {0},
};

const struct field received_shape[] = {
    T("storage_path", "Where the bytes are",
      "\"workspaces/ws_123/documents/01KA1B2C3D4E5F6G7H8J9KAMNP.pdf\""),
    I("size_bytes", "Size in bytes", "183204"),
    T("sha256", "SHA-256 of the bytes, hexadecimal",
      "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""),
    {0},
};

static const struct field owner_created[] = {
    T("id", "Id of the user", "\"0f5ly1v7p3gqj5ii56e6k6q61x\""),
    T_NULL("externalId", "The caller's own id of the user", "\"unique-customer-code\""),
    {0},
};
static const struct field owner[] = {
    T("id", "Id of the user", "\"0f5ly1v7p3gqj5ii56e6k6q61x\""),
    T("type", "Always User", "\"User\""),
    T_NULL("externalId", "The caller's own id of the user", "\"unique-customer-code\""),
    {0},
};
const struct field docs_created_shape[] = {
    T("id", "Id of the Docs object", "\"0f5w7ir5wcqj8ydeih3wpv0807\""),
    T("status", "Always created", "\"created\""),
    {.name = "owner", .type = FIELD_OBJECT, .members = owner_created, .help = "Its owner"},
    {0},
};
const struct field docs_shape[] = {
    T("id", "Id of the Docs object", "\"0f5w7ir5wcqj8ydeih3wpv0807\""),
    T("status", "created, active, pending or block", "\"active\""),
    {.name = "owner", .type = FIELD_OBJECT, .members = owner, .help = "Its owner"},
    {0},
};

#define KEY_MEMBERS                                                                                \
    T("prefix", "First characters of the key", "\"wbk_a1b2c3\""),                                  \
        T("name", "Name of the key", "\"Import job\""),                                            \
        T_NULL("description", "Free text", "null"),                                                \
        {.name = "permissions",                                                                    \
         .type = FIELD_TEXTS,                                                                      \
         .help = "What the key may do",                                                            \
         .example = "[\"read:documents\"]"},                                                       \
        T("rate_limit_tier", "Rate budget", "\"standard\""),                                       \
        TIME_NULL("expires_at", "When the key ends"), TIME("created_at", "When it was made")
#define KEY_ID T("id", "Id of the key", "\"key_01KA1B2C3D4E5F6G7H8J9KAMNP\"")

const struct field api_key_made_shape[] = {
    KEY_ID,
    T("key", "The key itself, shown only now",
      "\"wbk_a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0u1v2w3x4y5z6\""),
    KEY_MEMBERS,
    {0},
};
const struct field api_key_shape[] = {
    KEY_ID,
    KEY_MEMBERS,
    T("created_by", "User the key belongs to", "\"usr_01KA1B2C3D4E5F6G7H8J9KAMNP\""),
    TIME_NULL("last_used_at", "When it was last used"),
    TIME_NULL("revoked_at", "When it was revoked"),
    {0},
};

static const struct field audit_user[] = {
    T_NULL("id", "User; null for the service itself", "\"usr_01KA1B2C3D4E5F6G7H8J9KAMNP\""),
    T_NULL("key_id", "Key that was used", "\"key_01KA1B2C3D4E5F6G7H8J9KAMNP\""),
    T("type", "api_key or system", "\"api_key\""),
    {0},
};
const struct field audit_shape[] = {
    T("id", "Id of the line", "\"log_01KA1B2C3D4E5F6G7H8J9KAMNP\""),
    TIME("timestamp", "When it happened"),
    {.name = "user", .type = FIELD_OBJECT, .members = audit_user, .help = "Who did it"},
    T("action", "create, update, delete, link, unlink or purge", "\"delete\""),
    T("resource_type", "Kind of what was changed", "\"documents\""),
    T("resource_id", "Id of what was changed", DOC_ID),
    {.name = "details",
     .type = FIELD_ANY,
     .help = "What else there is to say",
     .example = "{\"hard\":true}"},
    T_NULL("request_id", "Request that did it", "\"req_01HY1K0E7V8Q0YXH7DSTX5B3CA\""),
    T_NULL("ip_address", "Address it came from", "\"127.0.0.1\""),
    {0},
};

const struct field usage_shape[] = {
    I("documents", "Documents in the library", "3"),
    I("bytes", "Their bytes, and those uploaded that no document registers yet", "549612"),
    I_NULL("quota_documents", "Most documents allowed; null: no limit", "null"),
    I_NULL("quota_bytes", "Most bytes allowed; null: no limit", "null"),
    I("pending_purge_bytes", "Bytes of deleted documents that are still to be erased", "0"),
    {0},
};

const struct field ready_shape[] = {
    T("status", "alive, ready or not ready", "\"ready\""),
    {.name = "reasons",
     .type = FIELD_TEXTS,
     .flags = FIELD_OPTIONAL,
     .help = "Why it is not ready",
     .example = "[]"},
    {0},
};
