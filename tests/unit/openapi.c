// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/text.h"
#include "http/openapi.h"
#include "http/route.h"

/* The value a "#/a/b" points to; the names of components hold no escapes. */
static const json_t *
resolve(const json_t *doc, const char *ref)
{
    SCOPED_POOL(pool);
    const json_t *at = doc;

    assert_int_equal(strncmp(ref, "#/", 2), 0);
    for (const char *p = ref + 1; *p == '/' && at;) {
        size_t len = strcspn(p + 1, "/");

        at = json_object_get(at, mem_strndup(pool, p + 1, len));
        p += 1 + len;
    }
    return at;
}

/* Calls itself for all below `value`; counts the references, which must lead somewhere. */
static size_t
check_refs(const json_t *doc, json_t *value)
{
    const char *name;
    json_t *below;
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(value); i++)
        n += check_refs(doc, json_array_get(value, i));
    json_object_foreach (value, name, below) {
        if (streq(name, "$ref")) {
            if (!resolve(doc, json_string_value(below)))
                fail_msg("%s leads nowhere", json_string_value(below));
            n++;
        } else {
            n += check_refs(doc, below);
        }
    }
    return n;
}

static void
test_refs(void **state UNUSED)
{
    json_auto_t *doc = openapi_document();

    assert_true(check_refs(doc, doc) > 100);
}

static json_t *
operation_of(const json_t *doc, const struct route *r)
{
    SCOPED_POOL(pool);
    char *method = mem_strdup(pool, http_method_name(r->method));

    text_lower(method);
    return json_object_get(json_object_get(json_object_get(doc, "paths"), r->path), method);
}

/* Each row is one operation, and there are no others. */
static void
test_operations(void **state UNUSED)
{
    json_auto_t *doc = openapi_document(), *ids = json_object();
    size_t rows = 0, operations = 0;
    const char *path;
    json_t *methods;

    for (const struct route *r = routes; r->op; r++, rows++) {
        json_t *op = operation_of(doc, r);

        assert_non_null(op);
        assert_string_equal(json_string_value(json_object_get(op, "operationId")), r->op);
        assert_null(json_object_get(ids, r->op));
        (void)json_object_set_new(ids, r->op, json_true());
    }
    json_object_foreach (json_object_get(doc, "paths"), path, methods)
        operations += json_object_size(methods);
    assert_int_equal(operations, rows);
}

/* Whether the operation lists a parameter of this name, and its `required`. */
static bool
has_param(const json_t *op, const char *name, bool *ret_required)
{
    const json_t *params = json_object_get(op, "parameters");

    for (size_t i = 0; i < json_array_size(params); i++) {
        const json_t *p = json_array_get(params, i);

        if (!streq(json_string_value(json_object_get(p, "name")), name))
            continue;
        *ret_required = json_is_true(json_object_get(p, "required"));
        return true;
    }
    return false;
}

static void
test_rows(void **state UNUSED)
{
    json_auto_t *doc = openapi_document();

    for (const struct route *r = routes; r->op; r++) {
        const json_t *op = operation_of(doc, r), *responses = json_object_get(op, "responses");
        bool writes = r->run == RUN_WRITE || r->run == RUN_STREAM, required = false;

        assert_int_equal(has_param(op, r->dialect->idempotency_header, &required),
                         writes && !r->no_idempotency);
        assert_int_equal(required,
                         writes && !r->no_idempotency && r->dialect->idempotency_required);
        assert_int_equal(json_object_get(op, "requestBody") != NULL,
                         r->max_body > 0 || r->stream != NULL);
        assert_int_equal(json_object_get(responses, "401") != NULL, r->access == ACCESS_KEY);
        assert_int_equal(json_object_get(responses, "429") != NULL, r->access == ACCESS_KEY);
        assert_int_equal(json_array_size(json_object_get(op, "security")) > 0,
                         r->access == ACCESS_KEY);
        assert_non_null(json_object_get(responses, "500"));
        for (const struct field *fd = r->query; fd && fd->type; fd++)
            assert_true(has_param(op, fd->name, &required));
        for (size_t i = 0; i < ROUTE_ERRORS_MAX && r->errors[i]; i++) {
            char status[16];

            (void)snprintf(status, sizeof(status), "%d", rc_info(r->errors[i])->http);
            assert_non_null(json_object_get(responses, status));
        }
    }
}

static void
test_no_content(void **state UNUSED)
{
    json_auto_t *doc = openapi_document();

    for (const struct route *r = routes; r->op; r++) {
        const json_t *responses = json_object_get(operation_of(doc, r), "responses");
        const json_t *empty = json_object_get(responses, "204");

        if (empty)
            assert_null(json_object_get(empty, "content"));
    }
}

static void
test_list(void **state UNUSED)
{
    json_auto_t *list = openapi_routes();
    size_t i = 0;

    for (const struct route *r = routes; r->op; r++, i++) {
        const json_t *row = json_array_get(list, i);

        assert_string_equal(json_string_value(json_object_get(row, "op")), r->op);
        assert_string_equal(json_string_value(json_object_get(row, "path")), r->path);
        assert_int_equal(json_is_null(json_object_get(row, "permission")), r->access != ACCESS_KEY);
        assert_int_equal(json_is_null(json_object_get(row, "elevated")), !r->elevated.query);
        assert_true(json_array_size(json_object_get(row, "replies")) > 0);
        assert_true(json_array_size(json_object_get(row, "errors")) > 1);
    }
    assert_int_equal(json_array_size(list), i);
}

static void
test_deterministic(void **state UNUSED)
{
    json_auto_t *first = openapi_document(), *second = openapi_document();
    char *a = json_dumps(first, JSON_COMPACT), *b = json_dumps(second, JSON_COMPACT);

    assert_string_equal(a, b);
    free(a);
    free(b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refs), cmocka_unit_test(test_operations),
        cmocka_unit_test(test_rows), cmocka_unit_test(test_no_content),
        cmocka_unit_test(test_list), cmocka_unit_test(test_deterministic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
