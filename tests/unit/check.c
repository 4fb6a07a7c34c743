// SPDX-License-Identifier: Apache-2.0
/* check: what it finds of each kind of damage, and what it mends. */
#include "jobs_world.h"

#include "jobs/check.h"

static json_t *
check(struct world *w, bool repair)
{
    json_t *found = NULL;
    struct err err = {0};

    if (check_run(&w->app, repair, &found, &err))
        fail_msg("%s", err.detail);
    return found;
}

static int64_t
count_of(json_t *found, const char *fault)
{
    return json_integer_value(json_object_get(json_object_get(found, "counts"), fault));
}

static bool
is_ok(json_t *found)
{
    return json_is_true(json_object_get(found, "ok"));
}

static void
check_of_a_sound_store(void **state)
{
    struct world *w = *state;
    json_auto_t *found = NULL;
    struct blob_info info;

    (void)put_document(w, "doc");
    (void)put_object(w, "obj", 0);
    (void)put_blob(w, "under way", &info);
    found = check(w, false);
    assert_true(is_ok(found));
    assert_int_equal(json_integer_value(json_object_get(found, "documents")), 1);
    assert_int_equal(json_integer_value(json_object_get(found, "objects")), 1);
    assert_int_equal(json_integer_value(json_object_get(found, "blobs")), 3);
    assert_int_equal(json_integer_value(json_object_get(found, "bytes")), 8 + 5 + 9);
    assert_int_equal(json_integer_value(json_object_get(found, "in_flight")), 1);
}

static void
scribble(const struct world *w, const struct id *blob, const char *text)
{
    char path[200];
    int fd;

    path_of(w, blob, path);
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static void
check_finds_bytes_that_are_not_as_said(void **state)
{
    struct world *w = *state;
    struct document gone = put_document(w, "1"), cut = put_document(w, "2");
    struct document other = put_document(w, "3");
    struct id object = put_object(w, "4", 0);
    json_auto_t *found = NULL;
    json_auto_t *after = NULL;
    char path[200], text[ID_TEXT_LEN];
    json_t *first;

    path_of(w, &gone.blob_id, path);
    assert_int_equal(unlink(path), 0);
    path_of(w, &object, path);
    assert_int_equal(unlink(path), 0);
    scribble(w, &cut.blob_id, "doc");
    scribble(w, &other.blob_id, "Document");
    found = check(w, false);
    assert_false(is_ok(found));
    assert_int_equal(count_of(found, "missing"), 2);
    assert_int_equal(count_of(found, "wrong_size"), 1);
    assert_int_equal(count_of(found, "wrong_hash"), 1);
    first = json_array_get(json_object_get(found, "missing"), 0);
    id_format(&gone.id, ID_DOCUMENT, ID_RECORDS, text);
    assert_string_equal(json_string_value(json_object_get(first, "document_id")), text);
    assert_string_equal(json_string_value(json_object_get(first, "workspace")), "ws_1");
    after = check(w, true); /* rows are not its to remove */
    assert_false(is_ok(after));
    assert_int_equal(count_of(after, "missing"), 2);
}

static enum rc
plant(struct tx *tx, void *arg, struct err *err)
{
    static const struct sql link =
        SQL("INSERT INTO link (workspace_id, document_id, entity_type, entity_id, id)"
            " VALUES ($1, $2, 0, 'x', $2)");
    static const struct sql cut_tail = SQL("DELETE FROM audit WHERE workspace_id = $1");
    int64_t ws = ((struct world *)arg)->workspace.number;
    struct id id = id_new();
    enum rc rc;

    rc = db_exec(tx->conn, &link, DB_ARGS(db_int(ws), db_id(&id)), NULL, err);
    if (!rc)
        rc = db_script(tx->conn, &(struct sql)SQL("DROP TRIGGER audit_no_delete"), err);
    return rc ? rc : db_exec(tx->conn, &cut_tail, DB_ARGS(db_int(ws)), NULL, err);
}

static enum rc
drift(struct tx *tx, void *arg, struct err *err)
{
    return usage_add(tx, ((struct world *)arg)->workspace.number, 3, 33, err);
}

static void
check_finds_what_the_rows_get_wrong(void **state)
{
    struct world *w = *state;
    json_auto_t *found = NULL;
    char path[200];
    int fd;

    (void)put_document(w, "doc");
    write_tx(w, plant, w);
    (void)snprintf(path, sizeof(path), "%s/blobs/objects/NOTE", w->dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    found = check(w, true);
    assert_false(is_ok(found));
    assert_int_equal(count_of(found, "dangling_links"), 1);
    assert_int_equal(count_of(found, "audit_broken"), 1);
    assert_int_equal(count_of(found, "strangers"), 1);
    assert_int_equal(count_of(found, "missing"), 0);
}

static void
repair_mends_what_it_may(void **state)
{
    struct world *w = *state;
    json_auto_t *found = NULL;
    json_auto_t *mended = NULL;
    json_auto_t *after = NULL;
    struct blob_info info;
    struct id orphan = put_blob(w, "orphan", &info), late = put_blob(w, "late", &info);
    struct document d = put_document(w, "doc");

    age_blob(w, &orphan, 2 * HOUR_MS);
    age_blob(w, &d.blob_id, 2 * HOUR_MS);
    schedule(w, &late, NOW - 2 * HOUR_MS);
    write_tx(w, drift, w);
    found = check(w, false);
    assert_false(is_ok(found));
    assert_int_equal(count_of(found, "orphans"), 1);
    assert_int_equal(count_of(found, "overdue"), 1);
    assert_int_equal(count_of(found, "usage_drift"), 1);
    assert_true(has_blob(w, &orphan));
    mended = check(w, true);
    assert_true(is_ok(mended));
    assert_false(has_blob(w, &orphan));
    assert_false(has_blob(w, &late));
    assert_true(has_blob(w, &d.blob_id));
    assert_int_equal(audit_lines(w, "purge"), 1);
    after = check(w, false);
    assert_true(is_ok(after));
    assert_int_equal(count_of(after, "usage_drift"), 0);
    assert_int_equal(count_of(after, "orphans"), 0);
}

/* What an import has left behind, and more of it than is looked at at once. */
static void
erasures_without_bytes_are_no_fault(void **state)
{
    struct world *w = *state;
    json_auto_t *found = NULL;
    json_auto_t *late = NULL;
    struct blob_info info;
    struct id absent, there;

    for (int i = 0; i < 600; i++) {
        absent = id_new();
        schedule(w, &absent, NOW - 2 * HOUR_MS);
    }
    found = check(w, false);
    assert_true(is_ok(found));
    there = put_blob(w, "late", &info);
    schedule(w, &there, NOW - HOUR_MS);
    late = check(w, false);
    assert_int_equal(count_of(late, "overdue"), 1);
}

int
main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(check_of_a_sound_store),
        CASE(check_finds_bytes_that_are_not_as_said),
        CASE(check_finds_what_the_rows_get_wrong),
        CASE(repair_mends_what_it_may),
        CASE(erasures_without_bytes_are_no_fault),
    };

    return cmocka_run_group_tests_name("check", cases, NULL, NULL);
}
