// SPDX-License-Identifier: Apache-2.0
/* route: which row a method and path find in the real table, and what is allowed where none is. */
#include "support.h"

#include "http/route.h"

static const struct {
    enum http_method method;
    const char *path;
    const char *op;    /* NULL: none */
    const char *allow; /* when none; NULL: no such path */
    const char *args[2];
} finds[] = {
    {HTTP_GET, "/v1/documents", "document.list", NULL, {NULL}},
    {HTTP_HEAD, "/v1/documents", "document.list", NULL, {NULL}},
    {HTTP_POST, "/v1/documents", "document.create", NULL, {NULL}},
    {HTTP_GET, "/v1/documents/x", "document.get", NULL, {"x"}},
    {HTTP_GET, "/v1/documents/a%20b%2Fc", "document.get", NULL, {"a b/c"}},
    {HTTP_GET, "/v1/documents/%41", "document.get", NULL, {"A"}},
    {HTTP_GET, "/v1/documents/..", "document.get", NULL, {".."}},
    {HTTP_POST, "/v1/documents/upload-url", "upload_url.create", NULL, {NULL}},
    {HTTP_GET, "/v1/documents/upload-url", NULL, "POST, OPTIONS", {NULL}},
    {HTTP_DELETE, "/v1/documents/d/links/l", "link.delete", NULL, {"d", "l"}},
    {HTTP_POST, "/v1/entities/batch", "entity.batch", NULL, {NULL}},
    {HTTP_PUT, "/v1/entities/batch/1", "entity.put", NULL, {"batch", "1"}},
    {HTTP_POST, "/api/v1/upload", "upload.create", NULL, {NULL}},
    {HTTP_POST, "/functions/v1/api-gateway/v1/documents", "document.create", NULL, {NULL}},
    {HTTP_PUT, "/v1/documents", NULL, "GET, HEAD, POST, OPTIONS", {NULL}},
    {HTTP_OPTIONS, "/v1/documents/x", NULL, "GET, HEAD, PATCH, DELETE, OPTIONS", {NULL}},
    {HTTP_GET, "/functions/v1/api-gateway", NULL, NULL, {NULL}},
    {HTTP_POST, "/functions/v1/api-gateway/api/v1/upload", NULL, NULL, {NULL}},
    {HTTP_GET, "/v1/documents/", NULL, NULL, {NULL}},
    {HTTP_GET, "/v1/documents/x/", NULL, NULL, {NULL}},
    {HTTP_GET, "/v1//documents", NULL, NULL, {NULL}},
    {HTTP_GET, "//v1/documents", NULL, NULL, {NULL}},
    {HTTP_GET, "/V1/documents", NULL, NULL, {NULL}},
    {HTTP_GET, "/v1/%64ocuments", NULL, NULL, {NULL}}, /* spelled as it is, or not at all */
    {HTTP_GET, "/v1/document", NULL, NULL, {NULL}},
    {HTTP_GET, "/v1/documentsx", NULL, NULL, {NULL}},
    {HTTP_GET, "/v1/documents/x/y/z/w/v", NULL, NULL, {NULL}},
    {HTTP_GET, "/", NULL, NULL, {NULL}},
    {HTTP_GET, "", NULL, NULL, {NULL}},
    {HTTP_OPTIONS, "*", NULL, NULL, {NULL}},
};

static void
check_find(size_t i)
{
    SCOPED_POOL(pool);
    const char *path = finds[i].path;
    struct route_match m;

    route_find(pool, finds[i].method, path, strlen(path), &m);
    if (!finds[i].op) {
        assert_null(m.route);
        assert_int_equal(m.methods != 0, finds[i].allow != NULL);
        if (finds[i].allow)
            assert_string_equal(route_allow(pool, m.methods), finds[i].allow);
        return;
    }
    if (!m.route || !streq(m.route->op, finds[i].op))
        fail_msg("%s found %s", path, m.route ? m.route->op : "nothing");
    for (size_t a = 0; a < 2; a++) {
        if (finds[i].args[a])
            assert_string_equal(m.args[a], finds[i].args[a]);
        else
            assert_null(m.args[a]);
    }
}

static void
test_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(finds); i++)
        check_find(i);
}

static void
test_broken_escapes(void **state)
{
    static const char *const paths[] = {"/v1/documents/%", "/v1/documents/%4", "/v1/documents/%zz",
                                        "/v1/documents/a%00b"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        SCOPED_POOL(pool);
        struct route_match m;

        route_find(pool, HTTP_GET, paths[i], strlen(paths[i]), &m);
        assert_string_equal(m.args[0], "");
    }
}

/* Every row is found by its own path: none stands in another's shadow. */
static void
test_every_row(void **state)
{
    struct err err;

    (void)state;
    EXPECT(RC_OK, route_check_table(routes, &err));
    for (const struct route *r = routes; r->op; r++) {
        SCOPED_POOL(pool);
        char *path = mem_strdup(pool, r->path);
        struct route_match m;

        for (char *p = path; *p; p++) {
            if (*p == '{' || *p == '}')
                *p = 'x';
        }
        route_find(pool, r->method, path, strlen(path), &m);
        assert_ptr_equal(m.route, r);
        assert_true(m.methods & r->method);
    }
}

static enum rc
handler(struct request *rq, struct tx *tx, struct reply *rp, struct err *err)
{
    (void)rq;
    (void)tx;
    (void)rp;
    (void)err;
    return RC_OK;
}

static const struct field no_fields[] = {{0}};
static const struct route good_row = {.op = "a",
                                      .method = HTTP_GET,
                                      .path = "/a",
                                      .run = RUN_READ,
                                      .access = ACCESS_KEY,
                                      .permission = PERM_READ_DOCUMENTS,
                                      .dialect = &dialect_records,
                                      .handler = handler,
                                      .summary = "A",
                                      .tag = "A"};

/* A table of `first`, `second` and the end must be refused, and the refusal name `second`. */
static void
check_refused(struct route first, struct route second, const char *why)
{
    const struct route table[] = {first, second, {0}};
    struct err err;

    EXPECT(RC_INTERNAL, route_check_table(table, &err));
    if (!strstr(err.detail, why) || !strstr(err.detail, second.op))
        fail_msg("'%s' does not say '%s' of %s", err.detail, why, second.op);
}

#define BROKEN(change, why)                                                                        \
    do {                                                                                           \
        struct route r = good_row;                                                                 \
                                                                                                   \
        r.op = "b";                                                                                \
        r.path = "/b";                                                                             \
        r.change;                                                                                  \
        check_refused(good_row, r, why);                                                           \
    } while (0)

static void
test_tables_that_break_a_rule(void **state)
{
    (void)state;
    BROKEN(access = 0, "no default");
    BROKEN(run = 0, "no default");
    BROKEN(dialect = NULL, "no default");
    BROKEN(handler = NULL, "no default");
    BROKEN(summary = NULL, "no default");
    BROKEN(tag = NULL, "no default");
    BROKEN(permission = 0, "ACCESS_KEY");
    BROKEN(access = ACCESS_PUBLIC, "ACCESS_KEY");
    BROKEN(run = RUN_STREAM, "RUN_STREAM");
    BROKEN(stream = (const struct stream *)no_fields, "RUN_STREAM");
    BROKEN(body = no_fields, "max_body");
    BROKEN(query = no_fields, "query_size");
    BROKEN(op = good_row.op, "duplicate op");
    BROKEN(path = good_row.path, "duplicate method and path");
}

static void
test_methods(void **state)
{
    static const char *const unknown[] = {"", "get", "TRACE", "CONNECT", "GETS", "G"};

    (void)state;
    for (enum http_method m = HTTP_GET; m <= HTTP_OPTIONS; m *= 2)
        assert_int_equal(http_method_parse(http_method_name(m)), m);
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        assert_int_equal(http_method_parse(unknown[i]), 0);
    assert_string_equal(http_method_name(0), "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),      cmocka_unit_test(test_broken_escapes),
        cmocka_unit_test(test_every_row), cmocka_unit_test(test_tables_that_break_a_rule),
        cmocka_unit_test(test_methods),
    };

    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
