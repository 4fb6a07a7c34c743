// SPDX-License-Identifier: Apache-2.0
/*
 * The rules of core/ on a real database: what documents, uploads and links
 * may do, what each costs of the quota, and that every effect leaves exactly one audit line.
 */
#include "support.h"

#include "core/library.h"
#include "core/linking.h"
#include "store/audit.h"

#define ERR (&s->err)
#define TX (&s->tx)
#define ME (&s->caller)
#define WS (s->ws.number)

static int
set_up(void **state)
{
    struct scratch *s = MEM_NEW(NULL, struct scratch);

    scratch_open(s, support_open_sqlite);
    *state = s;
    return 0;
}

static int
tear_down(void **state)
{
    struct scratch *s = *state;

    scratch_close(s);
    (void)talloc_free(s);
    return 0;
}

/* ---- what the cases ask ---- */

static int64_t
audit_count(struct scratch *s, const char *action, const char *type)
{
    struct audit_filter f = {
        .action = action, .resource_type = type, .from_ms = -1, .to_ms = -1, .limit = 1};
    struct audit_line *lines;
    int64_t total;
    size_t n;

    EXPECT(RC_OK, audit_list(TX, WS, &f, &lines, &n, &total, ERR));
    return total;
}

/* The newest line says this. */
static void
check_last_line(struct scratch *s, const char *action, const char *type, const char *details)
{
    struct audit_filter f = {.from_ms = -1, .to_ms = -1, .limit = 1};
    struct audit_line *lines;
    int64_t total;
    size_t n;

    EXPECT(RC_OK, audit_list(TX, WS, &f, &lines, &n, &total, ERR));
    assert_int_equal(n, 1);
    assert_string_equal(lines[0].action, action);
    assert_string_equal(lines[0].resource_type, type);
    assert_string_equal(lines[0].details ? lines[0].details : "", details);
    assert_true(id_equal(lines[0].key_id, &s->caller.key_id));
    assert_string_equal(lines[0].address, "192.0.2.1");
}

static void
check_usage(struct scratch *s, int64_t documents, int64_t bytes, int64_t pending)
{
    struct usage u;

    EXPECT(RC_OK, usage_read(TX, WS, &u, ERR));
    assert_int_equal(u.documents, documents);
    assert_int_equal(u.bytes, bytes);
    assert_int_equal(u.pending_purge_bytes, pending);
}

static struct document
record(const char *path, int64_t size)
{
    return (struct document){
        .name = "n.pdf", .mime_type = "application/pdf", .storage_path = path, .size_bytes = size};
}

static struct document
stored(const char *path, int64_t size)
{
    struct document d = record(path, size);

    d.id = id_new();
    d.has_blob = true;
    d.blob_id = id_new();
    memset(d.sha256, 0xab, SHA256_LEN);
    return d;
}

static struct object
object_at(struct scratch *s, const char *path, int64_t size)
{
    struct object o = {
        .storage_path = path, .blob_id = id_new(), .size_bytes = size, .created_ms = s->tx.now_ms};

    memset(o.sha256, 0xcd, SHA256_LEN);
    return o;
}

/* Bytes arrive at `path` by a URL of their own. */
static enum rc
receive(struct scratch *s, const struct object *o)
{
    struct upload_token token = {
        .workspace = WS, .id = id_new(), .expires_ms = s->tx.now_ms + 1000};

    return library_receive(TX, ME, &token, o, ERR);
}

/* ---- documents ---- */

static void
test_register(void **state)
{
    struct scratch *s = *state;
    struct document d = record("a", 100), unknown = record("b", -1), again = record("a", 1), back;

    EXPECT(RC_OK, library_register(TX, ME, &d, ERR));
    check_last_line(s, "create", "documents", "");
    EXPECT(RC_OK, library_register(TX, ME, &unknown, ERR));
    check_usage(s, 2, 100, 0);
    REFUSED(s, RC_STORAGE_CONFLICT, library_register(TX, ME, &again, ERR));
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    assert_true(id_equal(&back.created_by, &s->caller.user_id));
    assert_int_equal(back.updated_ms, id_time_ms(&back.id));
    assert_false(back.has_blob);
    check_usage(s, 2, 100, 0);
    assert_int_equal(audit_count(s, NULL, NULL), 2);
}

/* The same path in two workspaces is no conflict. */
static void
test_register_elsewhere(void **state)
{
    struct scratch *s = *state;
    struct caller other = support_caller(&s->other);
    struct document d = record("a", 100), e = d, back;

    EXPECT(RC_OK, library_register(TX, ME, &d, ERR));
    EXPECT(RC_OK, library_register(TX, &other, &e, ERR));
    EXPECT(RC_NOT_FOUND, document_read(TX, WS, &e.id, &back, ERR));
    check_usage(s, 1, 100, 0);
}

/* Bytes that came first go to the record that is registered over them. */
static void
test_adopt(void **state)
{
    struct scratch *s = *state;
    struct object o = object_at(s, "a", 100), gone;
    struct document wrong = record("a", 99), d = record("a", -1), back;

    EXPECT(RC_OK, receive(s, &o));
    check_usage(s, 0, 100, 0);
    REFUSED(s, RC_INVALID, library_register(TX, ME, &wrong, ERR));
    assert_string_equal(s->err.field, "size_bytes");
    EXPECT(RC_OK, object_read(TX, WS, "a", &gone, ERR));
    EXPECT(RC_OK, library_register(TX, ME, &d, ERR));
    EXPECT(RC_NOT_FOUND, object_read(TX, WS, "a", &gone, ERR));
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    assert_true(back.has_blob && id_equal(&back.blob_id, &o.blob_id));
    assert_int_equal(back.size_bytes, 100);
    assert_memory_equal(back.sha256, o.sha256, SHA256_LEN);
    check_usage(s, 1, 100, 0); /* the bytes are counted once */
    assert_int_equal(audit_count(s, "create", "documents"), 1);
    assert_int_equal(audit_count(s, "create", "uploads"), 1);
}

static void
test_verify_policy(void **state)
{
    struct scratch *s = *state;
    struct object o = object_at(s, "a", 5);
    struct document d = record("a", 5), again = record("a", 5);

    s->caller.workspace.verify_bytes = true;
    REFUSED(s, RC_INVALID, library_register(TX, ME, &d, ERR));
    assert_string_equal(s->err.field, "storage_path");
    EXPECT(RC_OK, receive(s, &o));
    EXPECT(RC_OK, library_register(TX, ME, &d, ERR));
    /* taken is taken, also where bytes are asked for */
    REFUSED(s, RC_STORAGE_CONFLICT, library_register(TX, ME, &again, ERR));
    check_usage(s, 1, 5, 0);
}

static void
test_store_and_update(void **state)
{
    struct scratch *s = *state;
    struct document d = stored("a", 70), again = stored("a", 1), changed, back;

    EXPECT(RC_OK, library_store(TX, ME, &d, ERR));
    REFUSED(s, RC_STORAGE_CONFLICT, library_store(TX, ME, &again, ERR));
    check_usage(s, 1, 70, 0);
    changed = d;
    changed.name = "other";
    for (int i = 0; i < 3; i++) {
        EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
        EXPECT(RC_OK, library_update(TX, ME, &back, &changed, ERR));
        assert_true(changed.updated_ms > back.updated_ms); /* in one millisecond too */
    }
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    assert_string_equal(back.name, "other");
    assert_int_equal(audit_count(s, "update", "documents"), 3);
    check_usage(s, 1, 70, 0);
}

/* ---- uploads ---- */

static void
test_receive_attaches(void **state)
{
    struct scratch *s = *state;
    struct document d = record("a", 30), back;
    struct object o = object_at(s, "a", 100), late = object_at(s, "a", 1), none;

    EXPECT(RC_OK, library_register(TX, ME, &d, ERR));
    check_usage(s, 1, 30, 0);
    EXPECT(RC_OK, receive(s, &o));
    EXPECT(RC_NOT_FOUND, object_read(TX, WS, "a", &none, ERR));
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    assert_true(back.has_blob && id_equal(&back.blob_id, &o.blob_id));
    assert_int_equal(back.size_bytes, 100);
    check_usage(s, 1, 100, 0); /* the real size in the place of the declared one */
    REFUSED(s, RC_STORAGE_CONFLICT, receive(s, &late));
    check_usage(s, 1, 100, 0);
    check_last_line(s, "create", "uploads", "{\"storage_path\":\"a\"}");
}

/* Unregistered bytes give way to newer ones, and are due for erasure. */
static void
test_receive_replaces(void **state)
{
    struct scratch *s = *state;
    struct object o = object_at(s, "a", 100), newer = object_at(s, "a", 40), back;
    bool waits;

    EXPECT(RC_OK, receive(s, &o));
    EXPECT(RC_OK, receive(s, &newer));
    EXPECT(RC_OK, object_read(TX, WS, "a", &back, ERR));
    assert_true(id_equal(&back.blob_id, &newer.blob_id));
    EXPECT(RC_OK, purge_has_blob(TX, WS, &o.blob_id, &waits, ERR));
    assert_true(waits);
    check_usage(s, 0, 40, 100);
    assert_int_equal(audit_count(s, "create", "uploads"), 2);
    assert_int_equal(audit_count(s, "delete", "uploads"), 1);
}

static void
test_receive_once(void **state)
{
    struct scratch *s = *state;
    struct upload_token token = {
        .workspace = WS, .id = id_new(), .expires_ms = s->tx.now_ms + 1000};
    struct object o = object_at(s, "a", 1), again = object_at(s, "b", 1);

    EXPECT(RC_OK, library_receive(TX, ME, &token, &o, ERR));
    REFUSED(s, RC_BAD_SIGNATURE, library_receive(TX, ME, &token, &again, ERR));
    check_usage(s, 0, 1, 0);
}

static void
test_abandon(void **state)
{
    struct scratch *s = *state;
    struct object o = object_at(s, "a", 100), none;
    struct purge *due;
    size_t n;

    EXPECT(RC_OK, receive(s, &o));
    EXPECT(RC_OK, library_abandon(TX, ME, &o, ERR));
    EXPECT(RC_NOT_FOUND, object_read(TX, WS, "a", &none, ERR));
    check_usage(s, 0, 0, 100);
    check_last_line(s, "delete", "uploads", "{\"storage_path\":\"a\"}");
    EXPECT(RC_OK, purge_due(TX, s->tx.now_ms, INT64_MAX, 10, &due, &n, ERR));
    assert_int_equal(n, 1);
    assert_false(due[0].has_document);
    EXPECT(RC_OK, library_purged(TX, ME, &due[0], ERR));
    check_last_line(s, "purge", "uploads", "");
    check_usage(s, 0, 0, 0);
}

/* ---- deletion ---- */

static const struct {
    bool hard;
    int64_t due_in;
    const char *details;
} removals[] = {{false, 900000, ""}, {true, 0, "{\"hard\":true}"}};

static void
check_removal(struct scratch *s, size_t row)
{
    bool hard = removals[row].hard;
    struct document d = stored(hard ? "h" : "s", 70), none;
    struct library_removal r;

    EXPECT(RC_OK, library_store(TX, ME, &d, ERR));
    EXPECT(RC_OK, library_delete(TX, ME, &d.id, hard, 900000, &r, ERR));
    check_last_line(s, "delete", "documents", removals[row].details);
    assert_int_equal(r.erase, hard);
    assert_int_equal(r.purge.due_ms, s->tx.now_ms + removals[row].due_in);
    assert_true(id_equal(&r.purge.blob_id, &d.blob_id));
    EXPECT(RC_NOT_FOUND, document_read(TX, WS, &d.id, &none, ERR));
    check_usage(s, 0, 0, 70);
    /* again: a soft delete is over, a hard one is taken up where it was cut short */
    EXPECT(RC_NOT_FOUND, library_delete(TX, ME, &d.id, false, 900000, &r, ERR));
    EXPECT(hard ? RC_OK : RC_NOT_FOUND, library_delete(TX, ME, &d.id, true, 900000, &r, ERR));
    assert_int_equal(r.erase, hard);
    r.purge = (struct purge){.workspace = WS,
                             .blob_id = d.blob_id,
                             .has_document = true,
                             .document_id = d.id,
                             .hard = hard};
    EXPECT(RC_OK, library_purged(TX, ME, &r.purge, ERR));
    check_last_line(s, "purge", "documents", removals[row].details);
    EXPECT(RC_OK, library_purged(TX, ME, &r.purge, ERR)); /* a second purger says nothing */
    check_usage(s, 0, 0, 0);
    EXPECT(RC_NOT_FOUND, library_delete(TX, ME, &d.id, hard, 900000, &r, ERR));
    assert_false(r.erase);
}

static void
test_delete(void **state)
{
    struct scratch *s = *state;

    for (size_t i = 0; i < ARRAY_LEN(removals); i++)
        check_removal(s, i);
    assert_int_equal(audit_count(s, "delete", "documents"), 2);
    assert_int_equal(audit_count(s, "purge", "documents"), 2);
}

/* A record without bytes leaves nothing to erase, hard or not. */
static void
test_delete_without_bytes(void **state)
{
    struct scratch *s = *state;

    for (int hard = 0; hard < 2; hard++) {
        struct document d = record("a", 50);
        struct library_removal r;

        EXPECT(RC_OK, library_register(TX, ME, &d, ERR));
        EXPECT(RC_OK, library_delete(TX, ME, &d.id, hard, 900000, &r, ERR));
        assert_false(r.erase);
        check_usage(s, 0, 0, 0);
    }
}

static void
test_delete_foreign(void **state)
{
    struct scratch *s = *state;
    struct caller other = support_caller(&s->other);
    struct document d = stored("a", 70), back;
    struct library_removal r;

    EXPECT(RC_OK, library_store(TX, ME, &d, ERR));
    EXPECT(RC_NOT_FOUND, library_delete(TX, &other, &d.id, false, 0, &r, ERR));
    EXPECT(RC_NOT_FOUND, library_delete(TX, &other, &d.id, true, 0, &r, ERR));
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    EXPECT(RC_OK, library_delete(TX, ME, &d.id, true, 0, &r, ERR));
    /* nor may another take up its hard delete */
    EXPECT(RC_NOT_FOUND, library_delete(TX, &other, &d.id, true, 0, &r, ERR));
}

static void
test_delete_in_use(void **state)
{
    struct scratch *s = *state;
    struct document d = stored("a", 70), back;
    struct library_removal r;

    EXPECT(RC_OK, library_store(TX, ME, &d, ERR));
    for (int i = 0; i < 15; i++)
        EXPECT(RC_OK, linking_set_reference(TX, ME, &d.id, REFERENCE_WORKFLOW,
                                            mem_printf(s->pool, "wf_%d", i), true, ERR));
    REFUSED(s, RC_IN_USE, library_delete(TX, ME, &d.id, true, 0, &r, ERR));
    assert_int_equal(r.n_references, LIBRARY_REFERENCES_SHOWN);
    EXPECT(RC_OK, document_read(TX, WS, &d.id, &back, ERR));
    for (int i = 0; i < 15; i++)
        EXPECT(RC_OK, linking_set_reference(TX, ME, &d.id, REFERENCE_WORKFLOW,
                                            mem_printf(s->pool, "wf_%d", i), false, ERR));
    EXPECT(RC_OK, library_delete(TX, ME, &d.id, true, 0, &r, ERR));
    check_usage(s, 0, 0, 70);
}

/* ---- the quota ---- */

static const struct {
    int64_t quota_bytes, quota_documents;
    int64_t first, second; /* sizes; -1: unknown */
    enum rc rc;            /* of the second */
} quotas[] = {
    {-1, -1, 1000, 1000, RC_OK}, {100, -1, 60, 40, RC_OK},          {100, -1, 60, 41, RC_QUOTA},
    {100, -1, 100, 0, RC_OK},    {100, -1, 100, -1, RC_OK},         {-1, 1, 1, 1, RC_QUOTA},
    {-1, 2, 1, 1, RC_OK},        {100, -1, 1, INT64_MAX, RC_QUOTA},
};

static void
test_quota(void **state)
{
    struct scratch *s = *state;

    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
        struct document a = record("a", quotas[i].first), b = record("b", quotas[i].second);

        EXPECT(RC_OK, db_savepoint(s->conn, ERR));
        s->caller.workspace.quota_bytes = quotas[i].quota_bytes;
        s->caller.workspace.quota_documents = quotas[i].quota_documents;
        EXPECT(RC_OK, library_register(TX, ME, &a, ERR));
        EXPECT(quotas[i].rc, library_register(TX, ME, &b, ERR));
        db_savepoint_rollback(s->conn);
    }
    check_usage(s, 0, 0, 0);
}

/* Bytes count when they arrive, wherever they go; what shrinks is never refused. */
static void
test_quota_of_uploads(void **state)
{
    struct scratch *s = *state;
    struct document d = record("a", 90);
    struct object big = object_at(s, "b", 11), fits = object_at(s, "b", 10),
                  grown = object_at(s, "a", 91), shrunk = object_at(s, "a", 10);

    s->caller.workspace.quota_bytes = 100;
    EXPECT(RC_OK, library_register(TX, ME, &d, ERR));
    REFUSED(s, RC_QUOTA, receive(s, &big));
    EXPECT(RC_OK, receive(s, &fits));
    REFUSED(s, RC_QUOTA, receive(s, &grown));
    s->caller.workspace.quota_bytes = 0;
    EXPECT(RC_OK, receive(s, &shrunk));
    check_usage(s, 1, 20, 0);
}

/* ---- paths ---- */

static const struct {
    const char *name, *type, *end;
} paths[] = {
    {"a.pdf", NULL, ".pdf"},
    {"A.PDF", NULL, ".pdf"},
    {"a.tar.gz", NULL, ".gz"},
    {"a.p/f", "application/pdf", ".pdf"},
    {"a.", "application/pdf", ".pdf"},
    {NULL, "application/pdf", ".pdf"},
    {"a.123456789", "application/pdf", ".pdf"},
    {"a.\xc3\xa9", "application/pdf", ".pdf"},
};

static void
test_make_path(void **state)
{
    struct scratch *s = *state;

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct id id = id_new();
        const char *path = library_make_path(s->pool, ME, &id, paths[i].name, paths[i].type);
        size_t len = strlen(path);

        assert_memory_equal(path, "workspaces/ws_1/documents/", 26);
        assert_string_equal(path + len - strlen(paths[i].end), paths[i].end);
        assert_int_equal(len, 26 + 26 + strlen(paths[i].end));
    }
}

/* ---- links and references ---- */

static void
test_link(void **state)
{
    struct scratch *s = *state;
    struct document d = stored("a", 1);
    struct entity e = {.type = ENTITY_DEAL, .id = "deal_1", .name = "One"};
    struct link l = {.entity_type = ENTITY_DEAL, .entity_id = "deal_1", .role = "first"}, again;
    struct link nowhere = l;
    bool is_new;

    EXPECT(RC_OK, library_store(TX, ME, &d, ERR));
    l.document_id = d.id;
    nowhere.document_id = id_new();
    EXPECT(RC_NOT_FOUND, linking_link(TX, ME, &l, &is_new, ERR));
    EXPECT(RC_OK, linking_put_entity(TX, ME, &e, true, &is_new, ERR));
    assert_true(is_new);
    EXPECT(RC_NOT_FOUND, linking_link(TX, ME, &nowhere, &is_new, ERR));
    EXPECT(RC_OK, linking_link(TX, ME, &l, &is_new, ERR));
    assert_true(is_new);
    again = l;
    again.role = "second";
    EXPECT(RC_OK, linking_link(TX, ME, &again, &is_new, ERR));
    assert_false(is_new);
    assert_true(id_equal(&again.id, &l.id));
    assert_string_equal(again.role, "first");
    assert_int_equal(audit_count(s, "link", "documents"), 1);
    EXPECT(RC_OK, linking_unlink(TX, ME, &d.id, &l.id, ERR));
    EXPECT(RC_NOT_FOUND, linking_unlink(TX, ME, &d.id, &l.id, ERR));
    assert_int_equal(audit_count(s, "unlink", "documents"), 1);
}

static void
test_open_entities(void **state)
{
    struct scratch *s = *state;

    EXPECT(RC_NOT_FOUND, linking_entity_exists(TX, ME, ENTITY_TASK, "t", ERR));
    s->caller.workspace.open_entities = true;
    EXPECT(RC_OK, linking_entity_exists(TX, ME, ENTITY_TASK, "t", ERR));
}

static void
test_entities(void **state)
{
    struct scratch *s = *state;
    struct document d = stored("a", 1);
    struct entity e = {.type = ENTITY_TASK, .id = "t", .name = "One"}, same = e, back;
    struct link l = {.entity_type = ENTITY_TASK, .entity_id = "t"}, *links;
    bool is_new;
    size_t n;

    EXPECT(RC_OK, library_store(TX, ME, &d, ERR));
    EXPECT(RC_OK, linking_put_entity(TX, ME, &e, false, &is_new, ERR));
    same.name = "Two";
    EXPECT(RC_OK, linking_put_entity(TX, ME, &same, false, &is_new, ERR));
    assert_false(is_new);
    assert_string_equal(same.name, "One");
    assert_int_equal(audit_count(s, NULL, "entities"), 1); /* nothing happened, nothing is said */
    same.name = "Two";
    EXPECT(RC_OK, linking_put_entity(TX, ME, &same, true, &is_new, ERR));
    EXPECT(RC_OK, entity_read(TX, WS, ENTITY_TASK, "t", &back, ERR));
    assert_string_equal(back.name, "Two");
    assert_int_equal(audit_count(s, "update", "entities"), 1);
    l.document_id = d.id;
    EXPECT(RC_OK, linking_link(TX, ME, &l, &is_new, ERR));
    EXPECT(RC_OK, linking_delete_entity(TX, ME, ENTITY_TASK, "t", ERR));
    EXPECT(RC_OK, link_of_document(TX, WS, &d.id, 10, 0, &links, &n, ERR));
    assert_int_equal(n, 0);
    EXPECT(RC_NOT_FOUND, linking_delete_entity(TX, ME, ENTITY_TASK, "t", ERR));
    assert_int_equal(audit_count(s, "delete", "entities"), 1);
}

static void
test_references(void **state)
{
    struct scratch *s = *state;
    struct document d = stored("a", 1);
    struct id nowhere = id_new();

    EXPECT(RC_OK, library_store(TX, ME, &d, ERR));
    for (int i = 0; i < 4; i++)
        EXPECT(RC_OK, linking_set_reference(TX, ME, &d.id, REFERENCE_TEMPLATE, "t", i < 2, ERR));
    assert_int_equal(audit_count(s, "update", "documents"), 2);
    check_last_line(s, "update", "documents", "{\"reference_removed\":\"template/t\"}");
    EXPECT(RC_NOT_FOUND,
           linking_set_reference(TX, ME, &nowhere, REFERENCE_TEMPLATE, "t", true, ERR));
    EXPECT(RC_NOT_FOUND,
           linking_set_reference(TX, ME, &nowhere, REFERENCE_TEMPLATE, "t", false, ERR));
}

static void
test_entity_ids(void **state)
{
    char longest[130];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[129] = '\0';
    assert_false(linking_id_valid(longest));
    longest[128] = '\0';
    assert_true(linking_id_valid(longest));
    assert_true(linking_id_valid("A.b_c:d-9"));
    assert_false(linking_id_valid(""));
    assert_false(linking_id_valid("a b"));
    assert_false(linking_id_valid("a/b"));
    assert_false(linking_id_valid("\xc3\xa9"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_register),
        CASE(test_register_elsewhere),
        CASE(test_adopt),
        CASE(test_verify_policy),
        CASE(test_store_and_update),
        CASE(test_receive_attaches),
        CASE(test_receive_replaces),
        CASE(test_receive_once),
        CASE(test_abandon),
        CASE(test_delete),
        CASE(test_delete_without_bytes),
        CASE(test_delete_foreign),
        CASE(test_delete_in_use),
        CASE(test_quota),
        CASE(test_quota_of_uploads),
        CASE(test_make_path),
        CASE(test_link),
        CASE(test_open_entities),
        CASE(test_entities),
        CASE(test_references),
        CASE(test_entity_ids),
    };

    return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}
