// SPDX-License-Identifier: Apache-2.0
/* field: what the tables let in from bodies and queries, and the reasons they give. */
#include "support.h"

#include "base/js.h"
#include "http/field.h"

struct item {
    struct value kind, size;
};

struct in {
    struct value name, note, code, color, even, size, page, flag, when, tags, words;
    struct value owner_id, owner_name; /* the members of "owner" */
    struct value items;
};

static const char *
even_rule(TALLOC_CTX *pool, const char *in, const char **ret)
{
    if (strlen(in) % 2)
        return "must have an even length";
    *ret = mem_printf(pool, "<%s>", in);
    return NULL;
}

static const char *const colors[] = {"red", "green", NULL};

#define AT(member) .offset = offsetof(struct in, member)

static const struct field owner_members[] = {
    {.name = "id", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .max = 5, AT(owner_id)},
    {.name = "name", .type = FIELD_TEXT, .max = 5, AT(owner_name)},
    {0},
};

static const struct field item_members[] = {
    {.name = "kind",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .max = 5,
     .offset = offsetof(struct item, kind)},
    {.name = "size", .type = FIELD_INT, .max = 9, .offset = offsetof(struct item, size)},
    {0},
};

static const struct field body[] = {
    {.name = "name", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 5, AT(name)},
    {.name = "note", .type = FIELD_TEXT, .flags = FIELD_NULLABLE | FIELD_LINES, .max = 8, AT(note)},
    {.name = "code", .type = FIELD_TEXT, AT(code)},
    {.name = "color", .type = FIELD_TEXT, .choices = colors, AT(color)},
    {.name = "even", .type = FIELD_TEXT, .max = 8, .rule = even_rule, AT(even)},
    {.name = "size", .type = FIELD_INT, .min = 0, .max = 10, AT(size)},
    {.name = "page", .type = FIELD_INT, .flags = FIELD_CLAMP, .min = 1, .max = 10, AT(page)},
    {.name = "flag", .type = FIELD_BOOL, AT(flag)},
    {.name = "when", .type = FIELD_TIME, AT(when)},
    {.name = "tags", .type = FIELD_TEXTS, .min = 1, .max = 4, .max_items = 3, AT(tags)},
    {.name = "owner", .type = FIELD_OBJECT, .members = owner_members, AT(owner_id)},
    {.name = "items",
     .type = FIELD_OBJECTS,
     .members = item_members,
     .item_size = sizeof(struct item),
     .max_items = 3,
     AT(items)},
    {0},
};

/* What one body gives: the faults as JSON, "" for none. */
static const struct {
    const char *body;
    const char *faults;
    bool missing;
} bodies[] = {
    {"{\"name\":\"n\"}", ""},
    {"{\"name\":\"n\",\"unknown\":{}}", ""},
    {"{}", "{\"name\":\"is required\"}", true},
    {"{\"name\":null}", "{\"name\":\"is required\"}", true},
    {"{\"name\":\"\"}", "{\"name\":\"must be 1 to 5 characters long\"}"},
    {"{\"name\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}", ""},
    {"{\"name\":\"123456\"}", "{\"name\":\"must be 1 to 5 characters long\"}"},
    {"{\"name\":1}", "{\"name\":\"must be a string\"}"},
    {"{\"name\":[\"n\"]}", "{\"name\":\"must be a string\"}"},
    {"{\"name\":\"a\\nb\"}", "{\"name\":\"must be valid UTF-8 without control or"
                             " direction-changing characters\"}"},
    {"{\"name\":\"\\u202e\"}", "{\"name\":\"must be valid UTF-8 without control or"
                               " direction-changing characters\"}"},
    {"{\"name\":\"n\",\"note\":\"a\\nb\"}", ""},
    {"{\"name\":\"n\",\"note\":\"123456789\"}", "{\"note\":\"must be at most 8 characters long\"}"},
    {"{\"name\":\"n\",\"note\":null}", ""},
    {"{\"name\":\"n\",\"color\":\"green\"}", ""},
    {"{\"name\":\"n\",\"color\":\"Green\"}", "{\"color\":\"must be one of red, green\"}"},
    {"{\"name\":\"n\",\"color\":\"\"}", "{\"color\":\"must be one of red, green\"}"},
    {"{\"name\":\"n\",\"even\":\"odd\"}", "{\"even\":\"must have an even length\"}"},
    {"{\"name\":\"n\",\"size\":10}", ""},
    {"{\"name\":\"n\",\"size\":11}", "{\"size\":\"must be 0 to 10\"}"},
    {"{\"name\":\"n\",\"size\":-1}", "{\"size\":\"must be 0 to 10\"}"},
    {"{\"name\":\"n\",\"size\":1.0}", "{\"size\":\"must be an integer\"}"},
    {"{\"name\":\"n\",\"size\":\"1\"}", "{\"size\":\"must be an integer\"}"},
    {"{\"name\":\"n\",\"page\":0}", ""},
    {"{\"name\":\"n\",\"flag\":true}", ""},
    {"{\"name\":\"n\",\"flag\":1}", "{\"flag\":\"must be true or false\"}"},
    {"{\"name\":\"n\",\"when\":\"2026-04-17\"}", ""},
    {"{\"name\":\"n\",\"when\":\"soon\"}", "{\"when\":\"must be an RFC 3339 time\"}"},
    {"{\"name\":\"n\",\"when\":5}", "{\"when\":\"must be an RFC 3339 time\"}"},
    {"{\"name\":\"n\",\"tags\":[]}", ""},
    {"{\"name\":\"n\",\"tags\":[\"a\",\"b\",\"c\",\"d\"]}",
     "{\"tags\":\"must hold 0 to 3 strings\"}"},
    {"{\"name\":\"n\",\"tags\":\"a\"}", "{\"tags\":\"must be an array of strings\"}"},
    {"{\"name\":\"n\",\"tags\":[1]}", "{\"tags\":\"must be an array of strings\"}"},
    {"{\"name\":\"n\",\"tags\":[\"12345\"]}", "{\"tags\":\"must be 1 to 4 characters long\"}"},
    {"{\"name\":\"n\",\"owner\":{\"id\":\"x\"}}", ""},
    {"{\"name\":\"n\",\"owner\":{}}", "{\"owner.id\":\"is required\"}", true},
    {"{\"name\":\"n\",\"owner\":[]}", "{\"owner\":\"must be an object\"}"},
    {"{\"name\":\"n\",\"owner\":null}", ""},
    {"{\"name\":\"n\",\"owner\":{\"id\":7,\"name\":\"123456\"}}",
     "{\"owner.id\":\"must be a string\",\"owner.name\":\"must be at most 5 characters long\"}"},
    {"{\"name\":\"n\",\"items\":[]}", "{\"items\":\"must be an array of 1 to 3 objects\"}"},
    {"{\"name\":\"n\",\"items\":{}}", "{\"items\":\"must be an array of 1 to 3 objects\"}"},
    {"{\"name\":\"n\",\"items\":[1]}", "{\"items\":\"must be an array of objects\"}"},
    {"{\"name\":\"n\",\"items\":[{\"kind\":\"k\"},{\"size\":10}]}",
     "{\"items[1].kind\":\"is required\",\"items[1].size\":\"must be 0 to 9\"}", true},
    {"{\"size\":\"x\",\"flag\":\"y\"}",
     "{\"flag\":\"must be true or false\",\"name\":\"is required\","
     "\"size\":\"must be an integer\"}",
     true},
};

static void
check_faults(const struct faults *f, const char *want, bool missing, const char *input)
{
    char *got = f->fields ? json_dumps(f->fields, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    if (!streq(got ? got : "", want) || f->missing != missing)
        fail_msg("%s\n  gave %s", input, got ? got : "nothing");
    free(got);
}

static void
test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        SCOPED_POOL(pool);
        struct faults f = {.pool = pool};
        json_auto_t *json = json_loads(bodies[i].body, 0, NULL);
        struct in in = {0};

        assert_non_null(json);
        field_read_body(body, json, &in, &f);
        check_faults(&f, bodies[i].faults, bodies[i].missing, bodies[i].body);
        faults_free(&f);
    }
}

/* A body with all of it, and where each value lands. */
static void
test_values(void **state)
{
    static const char text[] =
        "{\"name\":\"n\xc3\xa9\",\"note\":null,\"code\":\"anything at all\",\"even\":\"ab\","
        "\"size\":7,\"page\":99,\"flag\":false,\"when\":\"1970-01-01T00:00:01Z\","
        "\"tags\":[\"b\",\"a\",\"b\"],\"owner\":{\"id\":\"x\"},"
        "\"items\":[{\"kind\":\"k\",\"size\":3},{\"kind\":\"l\"}]}";
    SCOPED_POOL(pool);
    json_auto_t *json = json_loads(text, 0, NULL);
    struct faults f = {.pool = pool};
    const struct item *items;
    struct in in = {0};

    (void)state;
    field_read_body(body, json, &in, &f);
    assert_null(f.fields);
    assert_string_equal(in.name.text, "n\xc3\xa9");
    assert_true(in.note.given && in.note.null);
    assert_string_equal(in.code.text, "anything at all");
    assert_false(in.color.given);
    assert_string_equal(in.even.text, "<ab>");
    assert_int_equal(in.size.number, 7);
    assert_int_equal(in.page.number, 10);
    assert_true(in.flag.given && in.flag.number == 0);
    assert_int_equal(in.when.number, 1000);
    assert_int_equal(in.tags.n, 2);
    assert_string_equal(in.tags.texts[0], "b");
    assert_string_equal(in.tags.texts[1], "a");
    assert_string_equal(in.owner_id.text, "x");
    assert_false(in.owner_name.given);
    assert_int_equal(in.items.n, 2);
    items = in.items.items;
    assert_string_equal(items[0].kind.text, "k");
    assert_int_equal(items[0].size.number, 3);
    assert_string_equal(items[1].kind.text, "l");
    assert_false(items[1].size.given);
    assert_int_equal(value_number(&in.size, 42), 7);
    assert_int_equal(value_number(&in.note, 42), 42);
    assert_int_equal(value_number(&items[1].size, 42), 42);
}

static const struct field query[] = {
    {.name = "name", .type = FIELD_TEXT, .max = 5, AT(name)},
    {.name = "size", .type = FIELD_INT, .flags = FIELD_REQUIRED, .max = 10, AT(size)},
    {.name = "page", .type = FIELD_INT, .flags = FIELD_CLAMP, .min = 1, .max = 10, AT(page)},
    {.name = "flag", .type = FIELD_BOOL, AT(flag)},
    {.name = "when", .type = FIELD_TIME, AT(when)},
    {.name = "tags", .type = FIELD_TEXTS, .max = 4, .max_items = 2, AT(tags)},
    {0},
};

static const struct {
    struct query_param params[4];
    const char *faults;
    bool missing;
} queries[] = {
    {{{"size", "10"}}, ""},
    {{{"size", "0"}, {"other", "x"}}, ""},
    {{{NULL, NULL}}, "{\"size\":\"is required\"}", true},
    {{{"size", "11"}}, "{\"size\":\"must be 0 to 10\"}"},
    {{{"size", "-1"}}, "{\"size\":\"must be 0 to 10\"}"},
    {{{"size", "+1"}}, ""},
    {{{"size", ""}}, "{\"size\":\"must be an integer\"}"},
    {{{"size", "-"}}, "{\"size\":\"must be an integer\"}"},
    {{{"size", "--1"}}, "{\"size\":\"must be an integer\"}"},
    {{{"size", "1x"}}, "{\"size\":\"must be an integer\"}"},
    {{{"size", "99999999999999999999999"}}, "{\"size\":\"must be 0 to 10\"}"},
    {{{"size", "1"}, {"page", "99999999999999999999999"}}, ""},
    {{{"size", "1"}, {"page", "-99999999999999999999999"}}, ""},
    {{{"size", "1"}, {"size", "1"}}, "{\"size\":\"may be given once\"}"},
    {{{"size", "1"}, {"flag", "1"}}, ""},
    {{{"size", "1"}, {"flag", "yes"}}, "{\"flag\":\"must be true, false, 1 or 0\"}"},
    {{{"size", "1"}, {"when", "2026-04-17 10:00:00Z"}}, ""},
    {{{"size", "1"}, {"when", ""}}, "{\"when\":\"must be an RFC 3339 time or date\"}"},
    {{{"size", "1"}, {"tags", "a"}, {"tags", "b"}}, ""},
    {{{"size", "1"}, {"tags", "a"}, {"tags", "b"}, {"tags", "c"}},
     "{\"tags\":\"may be given 2 times\"}"},
    {{{"size", "1"}, {"tags", "12345"}}, "{\"tags\":\"must be at most 4 characters long\"}"},
    {{{"size", "1"}, {"name", "\xff"}},
     "{\"name\":\"must be valid UTF-8 without control or direction-changing characters\"}"},
    {{{"size", "1"}, {"Name", "123456"}}, ""},
};

static void
test_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        SCOPED_POOL(pool);
        struct faults f = {.pool = pool};
        struct in in = {0};
        size_t n = 0;

        while (n < 4 && queries[i].params[n].name)
            n++;
        field_read_query(query, queries[i].params, n, &in, &f);
        check_faults(&f, queries[i].faults, queries[i].missing,
                     n ? queries[i].params[n - 1].value : "no parameters");
        if (in.page.given)
            assert_in_range(in.page.number, 1, 10);
        faults_free(&f);
    }
}

/* The first reason given for a name stands. */
static void
test_faults(void **state)
{
    SCOPED_POOL(pool);
    struct faults f = {.pool = pool};

    (void)state;
    faults_add(&f, "a", "first");
    faults_add(&f, "a", "second");
    faults_add(&f, "b", "other");
    check_faults(&f, "{\"a\":\"first\",\"b\":\"other\"}", false, "faults_add");
    faults_free(&f);
    assert_null(f.fields);
    faults_free(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_faults),
    };

    return cmocka_run_group_tests_name("field", tests, NULL, NULL);
}
