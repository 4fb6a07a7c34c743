// SPDX-License-Identifier: Apache-2.0
#include "core/library.h"

#include "base/text.h"
#include "core/media_type.h"
#include "store/folder.h"

static enum rc
audit_document(struct tx *tx, const struct caller *caller, const char *action, const struct id *id,
               const char *detail, struct err *err)
{
    char text[ID_TEXT_LEN];

    id_format(id, ID_DOCUMENT, ID_RECORDS, text);
    return caller_audit(tx, caller, action, "documents", text, detail, NULL, err);
}

static void
stamp(const struct caller *caller, struct document *d)
{
    d->id = id_new();
    d->created_by = caller->user_id;
    d->updated_ms = id_time_ms(&d->id);
}

/* Takes over the bytes that wait at the record's path. */
static enum rc
adopt(struct tx *tx, const struct caller *caller, struct document *d, const struct object *o,
      struct err *err)
{
    if (d->size_bytes >= 0 && d->size_bytes != o->size_bytes)
        return err_field(err, RC_INVALID, "size_bytes",
                         "does not match the size of the uploaded bytes");
    d->has_blob = true;
    d->blob_id = o->blob_id;
    d->size_bytes = o->size_bytes;
    memcpy(d->sha256, o->sha256, SHA256_LEN);
    return object_delete(tx, caller->workspace.number, o->storage_path, err);
}

/* No bytes at the path: what that means depends on the workspace's policy. */
static enum rc
missing_bytes(struct tx *tx, const struct caller *caller, struct document *d, struct err *err)
{
    struct document other;
    enum rc rc;

    d->has_blob = false;
    if (!caller->workspace.verify_bytes)
        return RC_OK;
    rc = document_by_path(tx, caller->workspace.number, d->storage_path, &other, err);
    if (rc == RC_NOT_FOUND)
        return err_field(err, RC_INVALID, "storage_path", "no bytes have been uploaded there");
    return rc ? rc : err_set(err, RC_STORAGE_CONFLICT, "storage_path is taken");
}

enum rc
library_register(struct tx *tx, const struct caller *caller, struct document *d, struct err *err)
{
    SCOPED(db_cursor) folder = NULL;
    int64_t ws = caller->workspace.number, new_bytes = 0;
    struct object o;
    enum rc rc = RC_OK;

    stamp(caller, d);
    if (d->folder)
        rc = folder_ask(tx, ws, d->folder, &folder, err);
    if (!rc)
        rc = object_read(tx, ws, d->storage_path, &o, err);
    if (rc == RC_NOT_FOUND) {
        rc = missing_bytes(tx, caller, d, err);
        new_bytes = d->size_bytes > 0 ? d->size_bytes : 0;
    } else if (!rc) {
        rc = adopt(tx, caller, d, &o, err); /* counted when they arrived */
    }
    if (!rc)
        rc = document_insert(tx, ws, d, &folder, err);
    if (!rc)
        rc = usage_claim(tx, &caller->workspace, 1, new_bytes, err);
    if (!rc)
        rc = audit_document(tx, caller, "create", &d->id, NULL, err);
    return rc;
}

enum rc
library_store(struct tx *tx, const struct caller *caller, struct document *d, struct err *err)
{
    struct db_cursor *folder = NULL;
    enum rc rc;

    d->created_by = caller->user_id;
    d->updated_ms = id_time_ms(&d->id);
    rc = document_insert(tx, caller->workspace.number, d, &folder, err);
    if (!rc)
        rc = usage_claim(tx, &caller->workspace, 1, d->size_bytes, err);
    if (!rc)
        rc = audit_document(tx, caller, "create", &d->id, NULL, err);
    return rc;
}

enum rc
library_update(struct tx *tx, const struct caller *caller, const struct document *before,
               struct document *after, struct err *err)
{
    enum rc rc;

    /* it moves also when two changes fall into one millisecond */
    after->updated_ms = tx->now_ms > before->updated_ms ? tx->now_ms : before->updated_ms + 1;
    rc = document_update(tx, caller->workspace.number, before, after, err);
    return rc ? rc : audit_document(tx, caller, "update", &after->id, NULL, err);
}

/* The document is gone, but a hard delete of it may have been cut short before its bytes were. */
static enum rc
resume_removal(struct tx *tx, const struct caller *caller, const struct id *id, bool hard,
               struct library_removal *ret, struct err *err)
{
    enum rc rc;

    if (!hard)
        return err_set(err, RC_NOT_FOUND, "no such document");
    rc = purge_of_document(tx, caller->workspace.number, id, &ret->purge, err);
    ret->erase = rc == RC_OK;
    return rc;
}

static enum rc
schedule_purge(struct tx *tx, const struct caller *caller, const struct document *d, bool hard,
               int64_t grace_ms, struct library_removal *ret, struct err *err)
{
    ret->purge = (struct purge){
        .workspace = caller->workspace.number,
        .blob_id = d->blob_id,
        .has_document = true,
        .document_id = d->id,
        .size_bytes = d->size_bytes,
        .due_ms = tx->now_ms + (hard ? 0 : grace_ms),
        .hard = hard,
    };
    ret->erase = hard;
    return purge_put(tx, &ret->purge, err);
}

enum rc
library_delete(struct tx *tx, const struct caller *caller, const struct id *id, bool hard,
               int64_t grace_ms, struct library_removal *ret, struct err *err)
{
    SCOPED(db_cursor) record = NULL;
    SCOPED(db_cursor) references = NULL;
    int64_t ws = caller->workspace.number;
    struct document d;
    enum rc rc;

    memset(ret, 0, sizeof(*ret));
    rc = document_ask(tx, ws, id, DOCUMENT_LOCKED, &record, err);
    if (!rc) /* behind the lock, which those take too who make references */
        rc = reference_ask(tx, ws, id, LIBRARY_REFERENCES_SHOWN, &references, err);
    if (!rc)
        rc = document_answer(tx, record, &d, err);
    if (rc == RC_NOT_FOUND)
        return resume_removal(tx, caller, id, hard, ret, err);
    if (!rc)
        rc = reference_answer(tx, references, &ret->references, &ret->n_references, err);
    if (rc)
        return rc;
    if (ret->n_references > 0)
        return err_set(err, RC_IN_USE, "%zu references", ret->n_references);
    rc = document_delete(tx, ws, &d, err);
    if (!rc)
        rc = usage_add(tx, ws, -1, d.size_bytes > 0 ? -d.size_bytes : 0, err);
    if (!rc && d.has_blob)
        rc = schedule_purge(tx, caller, &d, hard, grace_ms, ret, err);
    if (!rc)
        rc = audit_document(tx, caller, "delete", id, hard ? "hard" : NULL, err);
    return rc;
}

static enum rc
audit_purge(struct tx *tx, const struct caller *caller, const struct purge *p, struct err *err)
{
    char text[ID_TEXT_LEN];

    if (p->has_document)
        return audit_document(tx, caller, "purge", &p->document_id, p->hard ? "hard" : NULL, err);
    id_format(&p->blob_id, ID_UPLOAD, ID_RECORDS, text);
    return caller_audit(tx, caller, "purge", "uploads", text, NULL, NULL, err);
}

enum rc
library_purged(struct tx *tx, const struct caller *caller, const struct purge *p, struct err *err)
{
    bool changed;
    enum rc rc = purge_done(tx, p->workspace, &p->blob_id, &changed, err);

    if (rc || !changed)
        return rc; /* another has finished it, and said so */
    return audit_purge(tx, caller, p, err);
}

enum rc
library_purged_all(struct tx *tx, const struct caller *caller, const struct purge *const *list,
                   size_t n, struct err *err)
{
    bool *changed = MEM_ARRAY(tx->pool, bool, n);
    enum rc rc = purge_done_all(tx, caller->workspace.number, list, n, changed, err);

    for (size_t i = 0; i < n && !rc; i++) {
        if (changed[i])
            rc = audit_purge(tx, caller, list[i], err);
    }
    return rc;
}

/* Bytes nobody registered give way to those that arrive now at the same path. */
static enum rc
replace_waiting(struct tx *tx, const struct caller *caller, const char *path, struct err *err)
{
    struct object old;
    enum rc rc = object_read(tx, caller->workspace.number, path, &old, err);

    if (rc == RC_NOT_FOUND)
        return RC_OK;
    return rc ? rc : library_abandon(tx, caller, &old, err);
}

static enum rc
audit_upload(struct tx *tx, const struct caller *caller, const char *action,
             const struct id *blob_id, const char *path, struct err *err)
{
    char text[ID_TEXT_LEN];

    id_format(blob_id, ID_UPLOAD, ID_RECORDS, text);
    return caller_audit(tx, caller, action, "uploads", text, "storage_path", path, err);
}

enum rc
library_receive(struct tx *tx, const struct caller *caller, const struct upload_token *token,
                const struct object *object, struct err *err)
{
    enum rc rc = object_use_url(tx, caller->workspace.number, &token->id, token->expires_ms, err);

    return rc ? rc : library_arrive(tx, caller, object, err);
}

enum rc
library_arrive(struct tx *tx, const struct caller *caller, const struct object *object,
               struct err *err)
{
    int64_t ws = caller->workspace.number, declared = 0;
    struct document d;
    enum rc rc;
    bool waits;

    rc = document_by_path(tx, ws, object->storage_path, &d, err);
    if (rc && rc != RC_NOT_FOUND)
        return rc;
    waits = rc == RC_OK;
    if (waits && d.has_blob)
        return err_set(err, RC_STORAGE_CONFLICT, "the document has its bytes");
    if (waits) {
        declared = d.size_bytes > 0 ? d.size_bytes : 0;
        rc = document_attach(tx, ws, &d.id, &object->blob_id, object->size_bytes, object->sha256,
                             err);
    } else {
        rc = replace_waiting(tx, caller, object->storage_path, err);
        if (!rc)
            rc = object_insert(tx, ws, object, err);
    }
    if (!rc)
        rc = usage_claim(tx, &caller->workspace, 0, object->size_bytes - declared, err);
    if (!rc)
        rc = audit_upload(tx, caller, "create", &object->blob_id, object->storage_path, err);
    return rc;
}

enum rc
library_abandon(struct tx *tx, const struct caller *caller, const struct object *object,
                struct err *err)
{
    int64_t ws = caller->workspace.number;
    struct purge p = {.workspace = ws,
                      .blob_id = object->blob_id,
                      .size_bytes = object->size_bytes,
                      .due_ms = tx->now_ms};
    enum rc rc;

    rc = object_delete(tx, ws, object->storage_path, err);
    if (!rc)
        rc = usage_add(tx, ws, 0, -object->size_bytes, err);
    if (!rc)
        rc = purge_put(tx, &p, err);
    if (!rc)
        rc = audit_upload(tx, caller, "delete", &object->blob_id, object->storage_path, err);
    return rc;
}

/* The extension of the name, if it is a plain one. */
static const char *
extension(TALLOC_CTX *pool, const char *name)
{
    const char *dot = name ? strrchr(name, '.') : NULL;
    size_t len = dot ? strlen(dot + 1) : 0;
    char *ext;

    if (len < 1 || len > 8)
        return NULL;
    for (const char *p = dot + 1; *p; p++) {
        char c = (char)(*p | 0x20);

        if (!(*p >= '0' && *p <= '9') && !(c >= 'a' && c <= 'z'))
            return NULL;
    }
    ext = mem_strdup(pool, dot + 1);
    text_lower(ext);
    return ext;
}

char *
library_make_path(TALLOC_CTX *pool, const struct caller *caller, const struct id *id,
                  const char *name, const char *mime_type)
{
    const char *ext = extension(pool, name);
    char text[ID_TEXT_LEN];

    if (!ext)
        ext = media_type_extension(mime_type ? mime_type : MEDIA_TYPE_UNKNOWN);
    id_format(id, ID_REQUEST, ID_RECORDS, text);
    return mem_printf(pool, "workspaces/%s/documents/%s.%s", caller->workspace.public_id,
                      strchr(text, '_') + 1, ext);
}
