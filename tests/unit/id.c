// SPDX-License-Identifier: Apache-2.0
/* id: order, uniqueness over threads, and the three spellings there and back. */
#include "support.h"

#include <pthread.h>

#define THREADS 8
#define EACH 5000

static const struct {
    uint8_t b[16];
    const char *records; /* after the prefix */
    const char *uuid;
    const char *base36;
} spellings[] = {
    {{0},
     "00000000000000000000000000",
     "00000000-0000-0000-0000-000000000000",
     "00000000000000000000000000"},
    {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
      0xff},
     "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
     "ffffffff-ffff-ffff-ffff-ffffffffffff",
     "0f5lxx1zz5pnorynqglhzmsp33"},
    {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
      0xef},
     "014D2PF2DBSQQG28T5CY4TQKFF",
     "01234567-89ab-cdef-0123-456789abcdef",
     "002fapl4n1azs5kkwzrxa98bn3"},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 35},
     "00000000000000000000000013",
     "00000000-0000-0000-0000-000000000023",
     "0000000000000000000000000z"},
};

static const struct {
    enum id_kind kind;
    const char *prefix;
} kinds[] = {
    {ID_DOCUMENT, "doc_"}, {ID_LINK, "dlnk_"},  {ID_USER, "usr_"},  {ID_KEY, "key_"},
    {ID_LOG, "log_"},      {ID_FOLDER, "fld_"}, {ID_DOCS, "docs_"}, {ID_REQUEST, "req_"},
};

static void
test_spellings(void **state)
{
    char text[ID_TEXT_LEN], want[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        struct id id;

        memcpy(id.b, spellings[i].b, 16);
        id_format(&id, ID_DOCUMENT, ID_UUID, text);
        assert_string_equal(text, spellings[i].uuid);
        id_format(&id, ID_DOCUMENT, ID_BASE36, text);
        assert_string_equal(text, spellings[i].base36);
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            (void)snprintf(want, sizeof(want), "%s%s", kinds[k].prefix, spellings[i].records);
            id_format(&id, kinds[k].kind, ID_RECORDS, text);
            assert_string_equal(text, want);
        }
    }
}

static void
test_round_trip(void **state)
{
    char text[ID_TEXT_LEN];

    (void)state;
    for (int i = 0; i < 300; i++) {
        enum id_kind kind = kinds[(size_t)i % ARRAY_LEN(kinds)].kind;
        struct id id = id_new(), back;

        for (enum id_spelling how = ID_RECORDS; how <= ID_BASE36; how++) {
            memset(&back, 0xaa, sizeof(back));
            id_format(&id, kind, how, text);
            assert_true(id_parse(text, kind, &back));
            assert_true(id_equal(&id, &back));
        }
    }
}

static const char *const no_documents[] = {
    "",
    "doc_",
    "doc_014D2PF2DBSQQG28T5CY4TQKF",   /* one short */
    "doc_014D2PF2DBSQQG28T5CY4TQKFFF", /* one long */
    "usr_014D2PF2DBSQQG28T5CY4TQKFF",  /* another kind */
    "DOC_014D2PF2DBSQQG28T5CY4TQKFF",
    "doc_014d2pf2dbsqqg28t5cy4tqkff", /* lower case */
    "doc_014D2PF2DBSQQG28T5CY4TQKFI", /* no letter of Crockford's */
    "doc_014D2PF2DBSQQG28T5CY4TQKFU",
    "doc_80000000000000000000000000", /* 129 bits */
    "doc_ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
    "doc_014D2PF2DBSQQG28T5CY4TQKF ",
    "doc_014D2PF2DBSQQG28T5CY4TQK\xc3\xa9",
    "014D2PF2DBSQQG28T5CY4TQKFF", /* no prefix */
    "0f5lxx1zz5pnorynqglhzmsp34", /* one above 128 bits */
    "zzzzzzzzzzzzzzzzzzzzzzzzzz",
    "002fapl4n1azs5kkwzrxa98bn-",
    "01234567-89ab-cdef-0123-456789abcdeg",
    "01234567x89ab-cdef-0123-456789abcdef",
    "0123456789ab-cdef-0123-456789abcdef-",
    "{1234567-89ab-cdef-0123-456789abcde}",
    "0123456789abcdef0123456789abcdef",
    "../../../../../../../../../etc/passwd",
};

static void
test_no_ids(void **state)
{
    struct id id, untouched;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(no_documents); i++) {
        if (id_parse(no_documents[i], ID_DOCUMENT, &id))
            fail_msg("'%s' was read", no_documents[i]);
    }
    memset(&untouched, 0, sizeof(untouched));
    assert_true(id_parse("01234567-89AB-CDEF-0123-456789ABCDEF", ID_DOCUMENT, &id));
    assert_false(id_equal(&id, &untouched));
}

static void
test_order(void **state)
{
    int64_t before = clock_wall_ms();
    struct id last = id_new(), next;

    (void)state;
    assert_true(id_time_ms(&last) >= before);
    for (int i = 0; i < 20000; i++, last = next) {
        next = id_new();
        assert_true(memcmp(&last, &next, sizeof(last)) < 0);
        assert_int_equal(next.b[6] >> 4, 7); /* the version */
        assert_int_equal(next.b[8] >> 6, 2); /* the variant */
    }
    assert_in_range(id_time_ms(&last), before, clock_wall_ms() + 20);
}

/* An id of an earlier process, whose clock was ahead of this one's. */
static void
test_resume(void **state)
{
    struct id ahead = id_floor(clock_wall_ms() + 60000), next, last;

    (void)state;
    ahead.b[6] = 0x7f; /* as if many had been made in that millisecond */
    ahead.b[7] = 0xff;
    id_resume(&ahead);
    last = id_new();
    assert_true(memcmp(&ahead, &last, sizeof(ahead)) < 0);
    assert_in_range(id_time_ms(&last), id_time_ms(&ahead), id_time_ms(&ahead) + 20);
    ahead = id_floor(1000);
    id_resume(&ahead); /* one from long ago changes nothing */
    next = id_new();
    assert_true(memcmp(&last, &next, sizeof(last)) < 0);
}

static const struct {
    int64_t ms, floor_ms;
} floors[] = {{0, 0}, {1, 1}, {1776422700000, 1776422700000}, {-5, 0}, {INT64_MAX, 0xffffffffffff}};

static void
test_floor(void **state)
{
    struct id now = id_new(), bound;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(floors); i++) {
        bound = id_floor(floors[i].ms);
        assert_int_equal(id_time_ms(&bound), floors[i].floor_ms);
        assert_int_equal(bound.b[6], 0);
        assert_int_equal(bound.b[15], 0);
    }
    bound = id_floor(id_time_ms(&now));
    assert_true(memcmp(&bound, &now, sizeof(now)) < 0);
    bound = id_floor(id_time_ms(&now) + 1);
    assert_true(memcmp(&bound, &now, sizeof(now)) > 0);
}

static void *
make_ids(void *arg)
{
    struct id *ids = arg;

    for (int i = 0; i < EACH; i++)
        ids[i] = id_new();
    return NULL;
}

static int
by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct id));
}

/* Unique by their first 64 bits alone: the stamp is never handed out twice. */
static void
test_threads(void **state)
{
    SCOPED_POOL(pool);
    struct id *ids = MEM_ARRAY(pool, struct id, THREADS * EACH);
    pthread_t threads[THREADS];

    (void)state;
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, make_ids, ids + t * EACH), 0);
    for (int t = 0; t < THREADS; t++)
        (void)pthread_join(threads[t], NULL);
    for (int i = 1; i < THREADS * EACH; i++)
        assert_true(i % EACH == 0 || by_bytes(&ids[i - 1], &ids[i]) < 0);
    qsort(ids, THREADS * EACH, sizeof(*ids), by_bytes);
    for (int i = 1; i < THREADS * EACH; i++)
        assert_memory_not_equal(&ids[i - 1], &ids[i], 8);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_ids),    cmocka_unit_test(test_order),
        cmocka_unit_test(test_resume),    cmocka_unit_test(test_floor),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
