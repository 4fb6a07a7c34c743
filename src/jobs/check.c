// SPDX-License-Identifier: Apache-2.0
#include "jobs/check.h"

#include "base/clock.h"
#include "jobs/job.h"
#include "jobs/orphan.h"
#include "store/audit_verify.h"
#include "store/census.h"
#include "store/document.h"
#include "store/object.h"
#include "store/purge.h"
#include "store/usage.h"

#define PAGE 256
#define LATE_GROWTH 8
#define CHUNK 262144
#define GRACE_MS 60000 /* for uploads and erasures under way */

enum fault {
    MISSING,
    WRONG_SIZE,
    WRONG_HASH,
    UNREADABLE,
    ORPHAN,
    OVERDUE,
    STRANGER,
    USAGE_DRIFT,
    DANGLING_LINK,
    AUDIT_BROKEN,
    FAULTS
};

static const char *const fault_names[FAULTS] = {
    [MISSING] = "missing",
    [WRONG_SIZE] = "wrong_size",
    [WRONG_HASH] = "wrong_hash",
    [UNREADABLE] = "unreadable",
    [ORPHAN] = "orphans",
    [OVERDUE] = "overdue",
    [STRANGER] = "strangers",
    [USAGE_DRIFT] = "usage_drift",
    [DANGLING_LINK] = "dangling_links",
    [AUDIT_BROKEN] = "audit_broken",
};

struct tenant {
    int64_t number;
    char *public_id;
};

struct check {
    struct app *app;
    TALLOC_CTX *pool;
    bool repair;
    int64_t now_ms;
    int64_t orphan_before_ms;
    struct tenant *tenants;
    size_t n_tenants;
    int64_t documents;
    int64_t objects;
    int64_t blobs;
    int64_t bytes;
    int64_t in_flight;
    json_t *shown[FAULTS];
    int64_t found[FAULTS];
    int64_t mended[FAULTS];
    size_t temporary;
};

/* Takes over `what`. */
static void
report(struct check *ck, enum fault fault, json_t *what)
{
    BUG_ON(!what);
    if (ck->found[fault]++ < CHECK_SHOWN)
        BUG_ON(json_array_append_new(ck->shown[fault], what));
    else
        json_decref(what);
}

/* The public id of a workspace, or NULL when there is none of this number. */
static const char *
name_of(const struct check *ck, int64_t workspace)
{
    for (size_t i = 0; i < ck->n_tenants; i++) {
        if (ck->tenants[i].number == workspace)
            return ck->tenants[i].public_id;
    }
    return NULL;
}

static json_t *
describe_blob(const struct check *ck, const struct blob_key *key, int64_t size)
{
    char text[ID_TEXT_LEN];

    id_format(&key->id, ID_DOCUMENT, ID_UUID, text);
    return json_pack("{s:s?, s:s, s:I}", "workspace", name_of(ck, key->workspace), "blob", text,
                     "size_bytes", (json_int_t)size);
}

static enum rc
add_tenant(struct tx *tx, const struct workspace *w, void *arg, struct err *err)
{
    struct check *ck = arg;

    (void)tx;
    (void)err;
    ck->tenants = talloc_realloc(ck->pool, ck->tenants, struct tenant, (unsigned)ck->n_tenants + 1);
    BUG_ON(!ck->tenants);
    ck->tenants[ck->n_tenants++] = (struct tenant){w->number, mem_strdup(ck->pool, w->public_id)};
    return RC_OK;
}

static enum rc
read_tenants(struct tx *tx, void *arg, struct err *err)
{
    return workspace_each(tx, add_tenant, arg, err);
}

/* Rows to bytes. */

/* Reads all of the blob and compares; *ret_fault is FAULTS when it is what the row says. */
static enum rc
compare_bytes(struct blob_reader *r, const struct census_row *row, enum fault *ret_fault,
              struct err *err)
{
    SCOPED(sha256) hash = sha256_new();
    SCOPED_POOL(pool);
    char *chunk = mem_zalloc(pool, CHUNK);
    uint8_t sum[SHA256_LEN];
    int64_t at = 0;
    size_t len = 0;
    enum rc rc;

    *ret_fault = WRONG_SIZE;
    if (blob_reader_size(r) != row->size_bytes)
        return RC_OK;
    do {
        rc = blob_read(r, at, chunk, CHUNK, &len, err);
        if (rc)
            break;
        sha256_add(hash, chunk, len);
        at += (int64_t)len;
    } while (len > 0);
    if (rc) {
        *ret_fault = UNREADABLE;
        return rc == RC_IO ? RC_OK : rc;
    }
    sha256_done(&hash, sum);
    *ret_fault = !sha256_known(row->sha256) || memcmp(sum, row->sha256, SHA256_LEN) == 0
                     ? FAULTS
                     : WRONG_HASH;
    return RC_OK;
}

static enum rc
look_at_bytes(struct check *ck, const struct blob_key *key, const struct census_row *row,
              enum fault *ret_fault, struct err *err)
{
    SCOPED(blob_reader) r = NULL;
    enum rc rc = blob_read_open(ck->app->blobs, key, &r, err);

    if (rc == RC_NOT_FOUND || rc == RC_IO) {
        *ret_fault = rc == RC_IO ? UNREADABLE : MISSING;
        return RC_OK;
    }
    return rc ? rc : compare_bytes(r, row, ret_fault, err);
}

struct page {
    int64_t workspace;
    bool of_objects;
    struct id after;
    const char *after_path;
    struct census_row *rows;
    size_t n;
    const struct census_row *again; /* still_there(): the row in question */
    bool stands;
};

/* Bytes go only after their row, so a row that is still there cannot excuse what was seen. */
static enum rc
still_there(struct tx *tx, void *arg, struct err *err)
{
    struct page *p = arg;

    return p->of_objects ? object_has_blob(tx, p->workspace, &p->again->blob_id, &p->stands, err)
                         : document_has_blob(tx, p->workspace, &p->again->blob_id, &p->stands, err);
}

static json_t *
describe_row(const struct check *ck, const struct page *p, const struct census_row *row)
{
    struct blob_key key = {.workspace = p->workspace, .id = row->blob_id};
    json_t *what = describe_blob(ck, &key, row->size_bytes);
    char text[ID_TEXT_LEN];

    BUG_ON(json_object_set_new(what, "storage_path", js_text(row->storage_path)));
    if (row->is_object)
        return what;
    id_format(&row->document_id, ID_DOCUMENT, ID_RECORDS, text);
    BUG_ON(json_object_set_new(what, "document_id", json_string(text)));
    return what;
}

static enum rc
check_row(struct check *ck, struct page *p, const struct census_row *row, struct err *err)
{
    SCOPED_POOL(pool);
    struct blob_key key = {.workspace = p->workspace, .id = row->blob_id};
    enum fault fault = FAULTS;
    enum rc rc = look_at_bytes(ck, &key, row, &fault, err);

    ck->objects += row->is_object;
    if (rc || fault == FAULTS)
        return rc;
    p->again = row;
    rc = engine_read(ck->app->engine, pool, still_there, p, err);
    if (!rc && p->stands)
        report(ck, fault, describe_row(ck, p, row));
    return rc;
}

static enum rc
read_page(struct tx *tx, void *arg, struct err *err)
{
    struct page *p = arg;

    if (p->of_objects)
        return census_objects(tx, p->workspace, p->after_path, PAGE, &p->rows, &p->n, err);
    return census_documents(tx, p->workspace, &p->after, PAGE, &p->rows, &p->n, err);
}

static enum rc
check_rows(struct check *ck, int64_t workspace, bool of_objects, struct err *err)
{
    struct page p = {.workspace = workspace, .of_objects = of_objects, .n = PAGE};
    SCOPED_POOL(before);
    enum rc rc = RC_OK;

    p.after_path = "";
    while (!rc && p.n == PAGE) {
        TALLOC_CTX *pool = base_pool_new(NULL);

        rc = engine_read(ck->app->engine, pool, read_page, &p, err);
        for (size_t i = 0; !rc && i < p.n; i++)
            rc = check_row(ck, &p, &p.rows[i], err);
        if (!rc && p.n > 0) {
            p.after = p.rows[p.n - 1].document_id;
            p.after_path = p.rows[p.n - 1].storage_path;
        }
        base_pool_free(&before); /* the path that the page began behind */
        before = pool;
    }
    return rc;
}

/* Bytes to rows. */

static enum rc
count_blob(void *arg, const struct orphan *blob, bool *ret, struct err *err)
{
    struct check *ck = arg;

    (void)err;
    ck->blobs++;
    ck->bytes += blob->size;
    *ret = true;
    return RC_OK;
}

/* Another node may be about to name it; and what a dead one has left is the sweep's. */
static bool
may_be_named(const struct check *ck, const struct orphan *o)
{
    return o->mtime_ms > ck->now_ms - GRACE_MS ||
           (engine_is_shared(ck->app->engine) && o->mtime_ms >= ck->orphan_before_ms);
}

static enum rc
found_orphan(void *arg, const struct orphan *o, struct err *err)
{
    struct check *ck = arg;
    bool erased = false;
    enum rc rc = RC_OK;

    if (may_be_named(ck, o)) {
        ck->in_flight++;
        return RC_OK;
    }
    report(ck, ORPHAN, describe_blob(ck, &o->key, o->size));
    if (ck->repair && o->mtime_ms < ck->orphan_before_ms)
        rc = orphan_erase(ck->app, o, &erased, err);
    ck->mended[ORPHAN] += erased;
    return rc;
}

static void
found_stranger(void *arg, const char *relative_path)
{
    struct check *ck = arg;
    json_t *path = json_string(relative_path);

    /* a foreign name may be no UTF-8 */
    report(ck, STRANGER, path ? path : json_string("(a name that cannot be shown)"));
}

static enum rc
check_blobs(struct check *ck, struct err *err)
{
    struct orphan_search search = {.app = ck->app,
                                   .wanted = count_blob,
                                   .found = found_orphan,
                                   .stranger = found_stranger,
                                   .arg = ck};
    enum rc rc = orphan_each(&search, err);

    if (!rc && ck->repair)
        rc = blob_sweep_temporary(ck->app->blobs, ck->orphan_before_ms, &ck->temporary, err);
    return rc;
}

/* Erasures that are late. */

struct late {
    int64_t due_ms;
    int64_t max;
    struct purge *list;
    size_t n;
    bool *stands;
};

static enum rc
read_late(struct tx *tx, void *arg, struct err *err)
{
    struct late *l = arg;

    return purge_due(tx, l->due_ms, INT64_MAX, l->max, &l->list, &l->n, err);
}

static enum rc
look_again(struct tx *tx, void *arg, struct err *err)
{
    struct late *l = arg;
    enum rc rc = RC_OK;

    for (size_t i = 0; i < l->n && !rc; i++)
        rc = purge_has_blob(tx, l->list[i].workspace, &l->list[i].blob_id, &l->stands[i], err);
    return rc;
}

static enum rc
erase_late(struct check *ck, int64_t due_ms, struct err *err)
{
    struct purge_round round = {0};
    enum rc rc = RC_OK;
    bool more = true;

    while (more)
        rc = purge_batch(ck->app, due_ms, INT64_MAX, &round, &more, err);
    if (round.erased + round.failed > (size_t)ck->found[OVERDUE]) /* one page was looked at */
        ck->found[OVERDUE] = (int64_t)(round.erased + round.failed);
    ck->mended[OVERDUE] = (int64_t)round.erased;
    return rc == RC_COMMIT_UNKNOWN ? rc : RC_OK; /* what stays is in the report */
}

/* An entry whose bytes are gone already, or were left behind by an import, is no fault. */
static enum rc
check_late(struct check *ck, const struct purge *p, struct err *err)
{
    struct blob_key key = {.workspace = p->workspace, .id = p->blob_id};
    char due[CLOCK_TEXT_LEN];
    int64_t size;
    json_t *what;
    enum rc rc = blob_stat(ck->app->blobs, &key, &size, err);

    if (rc)
        return rc == RC_NOT_FOUND ? RC_OK : rc;
    what = describe_blob(ck, &key, p->size_bytes);
    clock_format(p->due_ms, due);
    BUG_ON(json_object_set_new(what, "due_at", json_string(due)));
    report(ck, OVERDUE, what);
    return RC_OK;
}

static enum rc
read_and_check_late(struct check *ck, TALLOC_CTX *pool, struct late *l, struct err *err)
{
    size_t known = l->n;
    enum rc rc = engine_read(ck->app->engine, pool, read_late, l, err);

    if (rc || l->n <= known)
        return rc;
    l->stands = MEM_ARRAY(pool, bool, l->n);
    rc = engine_read(ck->app->engine, pool, look_again, l, err);
    for (size_t i = known; i < l->n && !rc; i++) {
        if (l->stands[i])
            rc = check_late(ck, &l->list[i], err);
    }
    return rc;
}

static enum rc
check_overdue(struct check *ck, struct err *err)
{
    SCOPED_POOL(pool);
    struct late l = {.due_ms = ck->now_ms - GRACE_MS, .max = PAGE};
    enum rc rc = read_and_check_late(ck, pool, &l, err);

    /* as long as all of them are without bytes, there may be one with bytes behind them */
    while (!rc && (int64_t)l.n == l.max && ck->found[OVERDUE] == 0) {
        l.max *= LATE_GROWTH;
        rc = read_and_check_late(ck, pool, &l, err);
    }
    if (!rc && ck->repair && ck->found[OVERDUE] > 0)
        rc = erase_late(ck, l.due_ms, err);
    return rc;
}

/* Rows against rows. */

struct ledger {
    int64_t workspace;
    const struct tenant *tenant;
    const uint8_t *audit_key; /* to check signed heads with */
    struct usage stated;
    int64_t documents;
    int64_t bytes;
    struct id *dangling;
    size_t n_dangling;
    struct audit_report audit;
};

static enum rc
read_totals(struct tx *tx, struct ledger *l, struct err *err)
{
    enum rc rc = usage_read(tx, l->workspace, &l->stated, err);

    return rc ? rc : census_totals(tx, l->workspace, &l->documents, &l->bytes, err);
}

static enum rc
read_ledger(struct tx *tx, void *arg, struct err *err)
{
    struct ledger *l = arg;
    const struct workspace w = {.number = l->workspace, .public_id = l->tenant->public_id};
    const struct audit_claim nothing = {.lines = 0};
    enum rc rc = read_totals(tx, l, err);

    if (!rc)
        rc =
            census_dangling_links(tx, l->workspace, CHECK_SHOWN, &l->dangling, &l->n_dangling, err);
    return rc ? rc : audit_verify(tx, &w, l->audit_key, &nothing, &l->audit, err);
}

static enum rc
correct_totals(struct tx *tx, void *arg, struct err *err)
{
    struct ledger *l = arg;
    enum rc rc = read_totals(tx, l, err);

    return rc ? rc
              : usage_add(tx, l->workspace, l->documents - l->stated.documents,
                          l->bytes - l->stated.bytes, err);
}

static void
report_ledger(struct check *ck, const struct tenant *t, const struct ledger *l)
{
    char text[ID_TEXT_LEN];

    for (size_t i = 0; i < l->n_dangling; i++) {
        id_format(&l->dangling[i], ID_LINK, ID_RECORDS, text);
        report(ck, DANGLING_LINK,
               json_pack("{s:s, s:s}", "workspace", t->public_id, "link_id", text));
    }
    if (l->audit.fault == AUDIT_INTACT)
        return;
    id_format(&l->audit.broken_at, ID_LOG, ID_RECORDS, text);
    report(ck, AUDIT_BROKEN,
           json_pack("{s:s, s:s, s:s, s:I}", "workspace", t->public_id, "fault",
                     audit_fault_name(l->audit.fault), "broken_at", text, "lines",
                     (json_int_t)l->audit.lines));
}

static enum rc
check_ledger(struct check *ck, const struct tenant *t, struct err *err)
{
    SCOPED_POOL(pool);
    uint8_t audit_key[ED25519_PUBLIC_LEN];
    struct ledger l = {.workspace = t->number, .tenant = t, .audit_key = audit_key};
    enum rc rc;

    crypto_ed25519_public(ck->app->secret.audit_sign, audit_key);
    rc = engine_read(ck->app->engine, pool, read_ledger, &l, err);

    if (rc)
        return rc;
    ck->documents += l.documents;
    report_ledger(ck, t, &l);
    if (l.documents == l.stated.documents && l.bytes == l.stated.bytes)
        return RC_OK;
    report(ck, USAGE_DRIFT,
           json_pack("{s:s, s:{s:I, s:I}, s:{s:I, s:I}}", "workspace", t->public_id, "stated",
                     "documents", (json_int_t)l.stated.documents, "bytes",
                     (json_int_t)l.stated.bytes, "actual", "documents", (json_int_t)l.documents,
                     "bytes", (json_int_t)l.bytes));
    if (ck->repair)
        rc = engine_write_sole(ck->app->engine, t->number, pool, correct_totals, &l, err);
    ck->mended[USAGE_DRIFT] += ck->repair && !rc;
    return rc;
}

static json_t *
result(struct check *ck)
{
    json_t *counts = json_object(), *all;
    bool ok = true;

    all =
        json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "documents", (json_int_t)ck->documents,
                  "objects", (json_int_t)ck->objects, "blobs", (json_int_t)ck->blobs, "bytes",
                  (json_int_t)ck->bytes, "in_flight", (json_int_t)ck->in_flight);
    BUG_ON(!counts || !all);
    for (int i = 0; i < FAULTS; i++) {
        ok = ok && ck->found[i] <= ck->mended[i];
        BUG_ON(json_object_set(all, fault_names[i], ck->shown[i]) ||
               json_object_set_new(counts, fault_names[i], json_integer(ck->found[i])));
    }
    BUG_ON(json_object_set_new(all, "counts", counts) ||
           json_object_set_new(all, "ok", json_boolean(ok)) ||
           json_object_set_new(
               all, "repaired",
               json_pack("{s:I, s:I, s:I, s:I}", "orphans", (json_int_t)ck->mended[ORPHAN], "usage",
                         (json_int_t)ck->mended[USAGE_DRIFT], "overdue",
                         (json_int_t)ck->mended[OVERDUE], "temporary", (json_int_t)ck->temporary)));
    return all;
}

static enum rc
check_all(struct check *ck, struct err *err)
{
    enum rc rc = engine_read(ck->app->engine, ck->pool, read_tenants, ck, err);

    for (size_t i = 0; i < ck->n_tenants && !rc; i++) {
        rc = check_rows(ck, ck->tenants[i].number, false, err);
        if (!rc)
            rc = check_rows(ck, ck->tenants[i].number, true, err);
        if (!rc)
            rc = check_ledger(ck, &ck->tenants[i], err);
    }
    if (!rc)
        rc = check_blobs(ck, err);
    return rc ? rc : check_overdue(ck, err);
}

/* First: what the rows say is worth nothing when an index lies about them. */
static enum rc
read_sound(struct tx *tx, void *arg, struct err *err)
{
    (void)arg;
    return db_verify(tx->conn, true, err);
}

enum rc
check_run(struct app *app, bool repair, json_t **ret, struct err *err)
{
    SCOPED_POOL(pool);
    struct check ck = {.app = app,
                       .pool = pool,
                       .repair = repair,
                       .now_ms = clock_wall_ms(),
                       .orphan_before_ms = job_older_than(app->settings.orphan_ms)};
    enum rc rc;

    for (int i = 0; i < FAULTS; i++)
        ck.shown[i] = json_array();
    rc = engine_read(app->engine, pool, read_sound, NULL, err);
    if (!rc)
        rc = check_all(&ck, err);
    if (!rc)
        *ret = result(&ck);
    for (int i = 0; i < FAULTS; i++)
        json_decref(ck.shown[i]);
    return rc;
}
