// SPDX-License-Identifier: Apache-2.0
/*
 * Every statement that a list of documents can build, by what SQLite says of it before it runs it:
 * none goes through a whole table, and none sorts what may be all of a workspace.
 *
 * The statements are seen where SQLite is asked to prepare them, which this program stands before.
 */
#include "support.h"

#include <dlfcn.h>
#include <sqlite3.h>

#include "store/digest.h"
#include "store/link.h"

#define PLANS_MAX 65536

/* What was prepared since, as EXPLAIN QUERY PLAN tells it. */
static struct {
    bool on;
    char text[PLANS_MAX];
    size_t statements;
} seen;

static void
explain(sqlite3 *db, const char *sql,
        int (*prepare)(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **))
{
    char *text = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql);
    sqlite3_stmt *stmt = NULL;

    assert_int_equal(prepare(db, text, -1, 0, &stmt, NULL), SQLITE_OK);
    (void)snprintf(seen.text + strlen(seen.text), PLANS_MAX - strlen(seen.text), "%s\n", sql);
    while (sqlite3_step(stmt) == SQLITE_ROW)
        (void)snprintf(seen.text + strlen(seen.text), PLANS_MAX - strlen(seen.text), "  | %s\n",
                       (const char *)sqlite3_column_text(stmt, 3));
    (void)sqlite3_finalize(stmt);
    sqlite3_free(text);
    seen.statements++;
}

int
sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags, sqlite3_stmt **stmt,
                   const char **tail)
{
    int (*prepare)(sqlite3 *, const char *, int, unsigned, sqlite3_stmt **, const char **) = NULL;
    void *real = dlsym(RTLD_NEXT, "sqlite3_prepare_v3");

    memcpy(&prepare, &real, sizeof(prepare));
    if (seen.on)
        explain(db, sql, prepare);
    return prepare(db, sql, len, flags, stmt, tail);
}

static const struct sql state =
    SQL("INSERT INTO digest (workspace_id, upto, documents) VALUES ($1, $2, 1000000)");
static const struct sql total =
    SQL("INSERT INTO facet_total (workspace_id, facet, value, documents)"
        " VALUES ($1, $2, $3, $4)");

static const struct sql block =
    SQL("INSERT INTO text_block (workspace_id, last_id, after_id, documents, texts)"
        " VALUES ($1, $2, x'', 1, x'00')");

static void
say(struct scratch *s, enum facet facet, const char *value, int64_t documents)
{
    EXPECT(RC_OK,
           db_exec(s->conn, &total,
                   DB_ARGS(db_int(s->ws.number), db_int(facet), db_text(value), db_int(documents)),
                   NULL, &s->err));
}

/* A million documents, as far as the sums say. */
static int
set_up(void **state_)
{
    struct scratch *s = MEM_NEW(NULL, struct scratch);
    struct id upto = id_floor(1000);

    scratch_open(s, support_open_sqlite);
    EXPECT(RC_OK,
           db_exec(s->conn, &state, DB_ARGS(db_int(s->ws.number), db_id(&upto)), NULL, &s->err));
    EXPECT(RC_OK,
           db_exec(s->conn, &block, DB_ARGS(db_int(s->ws.number), db_id(&upto)), NULL, &s->err));
    say(s, FACET_TAG, "half", 500000);
    say(s, FACET_TAG, "many", 100000);
    say(s, FACET_TAG, "few", 3);
    say(s, FACET_FOLDER, "/half", 500000);
    say(s, FACET_FOLDER, "/below/a", 400000);
    say(s, FACET_FOLDER, "/few", 3);
    say(s, FACET_FOLDER, "/few/a", 3);
    *state_ = s;
    return 0;
}

static int
tear_down(void **state_)
{
    scratch_close(*state_);
    (void)talloc_free(*state_);
    return 0;
}

static const char *const folders[] = {NULL, "/half", "/below", "/few", "/none"};
static const char *const searches[] = {NULL, "a", "acme"};
static const char *const tag_sets[][2] = {{NULL, NULL},    {"half", NULL},   {"few", NULL},
                                          {"none", NULL},  {"half", "many"}, {"half", "few"},
                                          {"many", "none"}};

static bool
has_line(const char *what)
{
    return strstr(seen.text, what) != NULL;
}

/* How many times something is sorted. */
static size_t
sorts(void)
{
    size_t n = 0;

    for (const char *p = seen.text; (p = strstr(p, "USE TEMP B-TREE")) != NULL; p++)
        n++;
    return n;
}

static void
judge(size_t sorts_max)
{
    bool whole = has_line("| SCAN d") || has_line("| SCAN x") || has_line("| SCAN t") ||
                 has_line("| SCAN link") || has_line("| SCAN facet") || has_line("| SCAN digest");

    if (whole || sorts() > sorts_max)
        fail_msg("%s", seen.text);
}

/* What is asked for is seldom, so it may be sorted; else only what is few in a part of a folder,
 * and the two pages that are
 * merged. */
static size_t
allowed(const struct document_filter *f, bool few)
{
    size_t pages = f->folder ? 2 : 0;

    if (few)
        return pages + 2;
    return pages + (f->folder && !(f->sort == SORT_CREATED && streq(f->folder, "/below")));
}

static void
list_one(struct scratch *s, const struct document_filter *f, bool counted, bool few)
{
    struct document *docs;
    int64_t n_all = -1;
    size_t n;

    seen.text[0] = '\0';
    seen.on = true;
    EXPECT(RC_OK,
           document_list(&s->tx, s->ws.number, f, &docs, &n, counted ? &n_all : NULL, &s->err));
    seen.on = false;
    judge(allowed(f, few));
}

static void
list_sorted(struct scratch *s, struct document_filter *f, bool few)
{
    for (int sort = SORT_CREATED; sort <= SORT_NAME; sort++) {
        for (int way = 0; way < 8; way++) {
            f->sort = (enum document_sort)sort;
            f->descending = way & 1;
            f->has_cursor = way & 2;
            f->cursor_id = id_floor(500);
            f->cursor_text = "name";
            list_one(s, f, way & 4, few);
        }
    }
}

static void
test_every_list(void **state_)
{
    struct scratch *s = *state_;

    for (size_t tags = 0; tags < ARRAY_LEN(tag_sets); tags++) {
        for (size_t folder = 0; folder < ARRAY_LEN(folders); folder++) {
            for (size_t other = 0; other < ARRAY_LEN(searches) * 4; other++) {
                struct document_filter f = {.limit = 25,
                                            .folder = folders[folder],
                                            .tags = (const char **)tag_sets[tags],
                                            .search = searches[other % ARRAY_LEN(searches)],
                                            .after_ms = other & 1 ? 5 : -1,
                                            .before_ms = other & 1 ? 900 : -1,
                                            .mime_type = other >= 6 ? "application/pdf" : NULL};

                while (f.n_tags < 2 && f.tags[f.n_tags])
                    f.n_tags++;
                list_sorted(s, &f, (tags > 1 && tags != 4) || folder > 2);
            }
        }
    }
    assert_true(seen.statements > 500);
}

static void
test_documents_of_an_entity(void **state_)
{
    struct scratch *s = *state_;
    struct linked_document *docs;
    int64_t n_all;
    size_t n;

    seen.text[0] = '\0';
    seen.on = true;
    EXPECT(RC_OK, link_documents(&s->tx, s->ws.number, ENTITY_DEAL, "deal_1", NULL, 25, 0, &docs,
                                 &n, &n_all, &s->err));
    assert_true(has_line("USING COVERING INDEX link_entity"));
    EXPECT(RC_OK, link_documents(&s->tx, s->ws.number, ENTITY_DEAL, "deal_1", "signed", 25, 0,
                                 &docs, &n, &n_all, &s->err));
    seen.on = false;
    judge(2); /* the page, each time */
    assert_false(has_line("link USING PRIMARY KEY"));
}

/* The eye of this test is open. */
static void
test_a_scan_is_seen(void **state_)
{
    static const struct sql scan = SQL("SELECT 1 FROM document d WHERE mime_type = 'x'");
    struct scratch *s = *state_;
    bool found;

    seen.text[0] = '\0';
    seen.on = true;
    EXPECT(RC_OK, db_exists(s->conn, &scan, DB_NO_ARGS, &found, &s->err));
    seen.on = false;
    assert_true(has_line("| SCAN d"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_documents_of_an_entity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_scan_is_seen, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
