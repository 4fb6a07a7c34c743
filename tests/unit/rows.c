// SPDX-License-Identifier: Apache-2.0
/* rows.h: one canonical form, read back as it was, and nothing else taken for it. */
#include "support.h"

#include "cmd/rows.h"

static const struct dump_column columns[] = {
    {"workspace_id", DUMP_INT, NULL},
    {"name", DUMP_TEXT, NULL},
    {"hash", DUMP_BLOB, NULL},
};
static const struct dump_table table = {"item", columns, ARRAY_LEN(columns), 1, ""};

struct place {
    char dir[64];
    char path[96];
    struct err err;
};

static int
set_up(void **state)
{
    struct place *p = MEM_NEW(NULL, struct place);

    support_make_dir(p->dir);
    (void)snprintf(p->path, sizeof(p->path), "%s/item.jsonl", p->dir);
    *state = p;
    return 0;
}

static int
tear_down(void **state)
{
    struct place *p = *state;

    support_remove_dir(p->dir);
    (void)talloc_free(p);
    return 0;
}

static void
put_text(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Writes rows of three values each. */
static struct rows_sum
write_rows(struct place *p, const char *path, const struct db_value *rows, size_t n)
{
    SCOPED(rows_writer) w = NULL;
    struct rows_sum sum = {0};

    EXPECT(RC_OK, rows_create(path, &table, &w, &p->err));
    for (size_t i = 0; i < n; i++)
        EXPECT(RC_OK, rows_write(w, &rows[3 * i], &p->err));
    EXPECT(RC_OK, rows_finish(w, &sum, &p->err));
    assert_int_equal(sum.rows, n);
    return sum;
}

static void
expect_file(const char *path, const char *text)
{
    char found[1024] = "";
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    found[fread(found, 1, sizeof(found) - 1, file)] = '\0';
    (void)fclose(file);
    assert_string_equal(found, text);
}

static const struct db_value some[] = {
    {DB_INT, INT64_MIN, NULL, 0},
    {DB_TEXT, 0, "", 0},
    {DB_BLOB, 0, "", 0},
    {DB_INT, INT64_MAX, NULL, 0},
    {DB_TEXT, 0, "\"\\/\x01\n\x1f\x7f\xc3\xa4\xf0\x9f\x93\x84\xef\xbf\xbf", 16},
    {DB_BLOB, 0, "\x00\x0a\xff", 3},
    {DB_NULL, 0, NULL, 0},
    {DB_NULL, 0, NULL, 0},
    {DB_NULL, 0, NULL, 0},
};
static const char some_text[] =
    "{\"workspace_id\":-9223372036854775808,\"name\":\"\",\"hash\":\"\"}\n"
    "{\"workspace_id\":9223372036854775807,\"name\":\"\\\"\\\\/\\u0001\\u000a\\u001f\x7f\xc3\xa4"
    "\xf0\x9f\x93\x84\xef\xbf\xbf\",\"hash\":\"000aff\"}\n"
    "{\"workspace_id\":null,\"name\":null,\"hash\":null}\n";

static void
expect_equal(const struct db_value *a, const struct db_value *b)
{
    assert_int_equal(a->type, b->type);
    assert_true(a->number == b->number);
    assert_int_equal(a->len, b->len);
    if (a->len > 0)
        assert_memory_equal(a->bytes, b->bytes, a->len);
}

static void
test_form(void **state)
{
    struct place *p = *state;
    SCOPED(rows_reader) r = NULL;
    const struct db_value *row;
    struct rows_sum sum = write_rows(p, p->path, some, 3), again = {0};

    expect_file(p->path, some_text);
    again = write_rows(p, NULL, some, 3);
    assert_memory_equal(sum.sha256, again.sha256, SHA256_LEN);
    EXPECT(RC_OK, rows_sum_file(p->path, &again, &p->err));
    assert_int_equal(again.rows, 3);
    assert_memory_equal(sum.sha256, again.sha256, SHA256_LEN);

    EXPECT(RC_OK, rows_open(p->path, &table, 0, &r, &p->err));
    for (size_t i = 0; i < 3; i++) {
        EXPECT(RC_OK, rows_read(r, &row, &p->err));
        for (size_t j = 0; j < 3; j++)
            expect_equal(&row[j], &some[3 * i + j]);
    }
    EXPECT(RC_OK, rows_read(r, &row, &p->err));
    assert_null(row);
    assert_int_equal(rows_at(r), strlen(some_text));
}

static void
test_any_place(void **state)
{
    struct place *p = *state;
    const struct db_value *row;
    int64_t at;

    (void)write_rows(p, p->path, some, 3);
    for (size_t i = 0; i < 3; i++) {
        SCOPED(rows_reader) first = NULL;
        SCOPED(rows_reader) second = NULL;

        EXPECT(RC_OK, rows_open(p->path, &table, 0, &first, &p->err));
        for (size_t j = 0; j < i; j++)
            EXPECT(RC_OK, rows_read(first, &row, &p->err));
        at = rows_at(first);
        EXPECT(RC_OK, rows_open(p->path, &table, at, &second, &p->err));
        EXPECT(RC_OK, rows_read(second, &row, &p->err));
        expect_equal(&row[1], &some[3 * i + 1]);
    }
}

/* A value of several megabytes, which is no less than an answer kept for a retry may be. */
static void
test_large(void **state)
{
    struct place *p = *state;
    SCOPED_POOL(pool);
    SCOPED(rows_reader) r = NULL;
    const struct db_value *row;
    size_t len = (size_t)MIB(5) + 1;
    uint8_t *bytes = mem_zalloc(pool, len);
    struct db_value values[3] = {db_int(1), db_text("a"), {DB_BLOB, 0, bytes, len}};

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 7);
    (void)write_rows(p, p->path, values, 1);
    EXPECT(RC_OK, rows_open(p->path, &table, 0, &r, &p->err));
    EXPECT(RC_OK, rows_read(r, &row, &p->err));
    expect_equal(&row[2], &values[2]);
}

static void
test_no_utf8(void **state)
{
    struct place *p = *state;
    SCOPED(rows_writer) w = NULL;
    const struct db_value row[] = {db_int(1), db_text("a\xff"), db_null()};

    EXPECT(RC_OK, rows_create(p->path, &table, &w, &p->err));
    EXPECT(RC_INVALID, rows_write(w, row, &p->err));
    assert_non_null(strstr(p->err.detail, "name"));
}

static void
test_damaged(void **state)
{
    static const char *const texts[] = {
        "\n",
        "{}\n",
        "[]\n",
        "{\"workspace_id\":1,\"name\":\"a\",\"hash\":\"00\"}", /* no line end */
        "{\"workspace_id\":1,\"name\":\"a\",\"hash\":\"0\"}\n",
        "{\"workspace_id\":1,\"name\":\"a\",\"hash\":\"0g\"}\n",
        "{\"workspace_id\":1,\"name\":\"a\",\"hash\":0}\n",
        "{\"workspace_id\":1,\"name\":1,\"hash\":\"00\"}\n",
        "{\"workspace_id\":\"1\",\"name\":\"a\",\"hash\":\"00\"}\n",
        "{\"workspace_id\":1.5,\"name\":\"a\",\"hash\":\"00\"}\n",
        "{\"workspace_id\":9223372036854775808,\"name\":\"a\",\"hash\":\"00\"}\n",
        "{\"workspace_id\":1,\"name\":\"a\\u0000\",\"hash\":\"00\"}\n",
        "{\"workspace_id\":1,\"name\":\"a\"}\n",
        "{\"workspace_id\":1,\"name\":\"a\",\"other\":\"00\"}\n",
        "{\"workspace_id\":1,\"name\":\"a\",\"hash\":\"00\",\"more\":1}\n",
        "{\"workspace_id\":1,\"name\":\"a\",\"hash\":\"00\"} 1\n",
    };
    struct place *p = *state;
    const struct db_value *row;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        SCOPED(rows_reader) r = NULL;

        put_text(p->path, texts[i], strlen(texts[i]));
        EXPECT(RC_OK, rows_open(p->path, &table, 0, &r, &p->err));
        if (rows_read(r, &row, &p->err) != RC_INVALID)
            fail_msg("taken for a row: %s", texts[i]);
    }
}

static void
test_absent(void **state)
{
    struct place *p = *state;
    struct rows_reader *r = NULL;
    struct rows_sum sum;

    EXPECT(RC_NOT_FOUND, rows_open(p->path, &table, 0, &r, &p->err));
    EXPECT(RC_NOT_FOUND, rows_sum_file(p->path, &sum, &p->err));
    put_text(p->path, "", 0);
    EXPECT(RC_OK, rows_sum_file(p->path, &sum, &p->err));
    assert_int_equal(sum.rows, 0);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest cases[] = {
        CASE(test_form),    CASE(test_any_place), CASE(test_large),
        CASE(test_no_utf8), CASE(test_damaged),   CASE(test_absent),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
