// SPDX-License-Identifier: Apache-2.0
/* keys and docs_library: who may grant and revoke what, and whose Docs objects are whose. */
#include "support.h"

#include "core/docs_library.h"
#include "core/keys.h"

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

static const struct secret secret = {.key_pepper = {1, 2, 3}};

static struct api_key
make_key(struct scratch *s, uint32_t permissions, int64_t expires_ms)
{
    struct api_key k = {
        .name = "k", .permissions = permissions, .tier = TIER_HIGH, .expires_ms = expires_ms};
    struct key_text text;

    EXPECT(RC_OK, keys_create(TX, ME, &secret, UINT32_MAX, &k, &text, ERR));
    return k;
}

static const struct {
    uint32_t wanted, may_grant;
    enum rc rc;
} grants[] = {
    {PERM_READ_DOCUMENTS, PERM_READ_DOCUMENTS, RC_OK},
    {PERM_READ_DOCUMENTS, PERM_READ_DOCUMENTS | PERM_ADMIN_API_KEYS, RC_OK},
    {PERM_READ_DOCUMENTS | PERM_WRITE_DOCS, PERM_READ_DOCUMENTS, RC_FORBIDDEN},
    {PERM_WRITE_DOCUMENTS, PERM_ADMIN_DOCUMENTS, RC_FORBIDDEN}, /* none implies another */
    {PERM_READ_DOCUMENTS, 0, RC_FORBIDDEN},
};

static void
test_create(void **state)
{
    struct scratch *s = *state;
    int64_t made = 0;

    for (size_t i = 0; i < ARRAY_LEN(grants); i++) {
        struct api_key k = {.name = "k", .permissions = grants[i].wanted, .expires_ms = -1}, back;
        uint8_t mac[SHA256_LEN];
        struct key_text text;

        EXPECT(grants[i].rc, keys_create(TX, ME, &secret, grants[i].may_grant, &k, &text, ERR));
        if (grants[i].rc)
            continue;
        made++;
        EXPECT(RC_OK, api_key_by_handle(TX, text.handle, &back, ERR));
        assert_true(id_equal(&back.id, &k.id));
        assert_int_equal(back.permissions, grants[i].wanted);
        assert_int_equal(strlen(back.prefix), KEY_PREFIX_LEN - 1);
        assert_memory_equal(back.prefix, text.text, KEY_PREFIX_LEN - 1);
        assert_true(id_equal(&back.user_id, &s->caller.user_id));
        key_text_mac(secret.key_pepper, &text, mac);
        assert_memory_equal(back.secret_mac, mac, SHA256_LEN);
    }
    assert_int_equal(audit_count(s, "create", "api_keys"), made);
}

/* The last key that may manage keys stays, unless the operator says otherwise. */
static void
test_last_admin(void **state)
{
    struct scratch *s = *state;
    struct api_key a = make_key(s, PERM_ADMIN_API_KEYS | PERM_READ_DOCS, -1);
    struct api_key b = make_key(s, PERM_ADMIN_API_KEYS, -1);
    struct api_key plain = make_key(s, PERM_READ_DOCS, -1);
    struct api_key expired = make_key(s, PERM_ADMIN_API_KEYS, s->tx.now_ms - 1);
    struct id nowhere = id_new();

    EXPECT(RC_NOT_FOUND, keys_revoke(TX, ME, &nowhere, false, ERR));
    EXPECT(RC_OK, keys_revoke(TX, ME, &a.id, false, ERR));
    EXPECT(RC_OK, keys_revoke(TX, ME, &a.id, false, ERR)); /* and stays so */
    EXPECT(RC_FORBIDDEN, keys_revoke(TX, ME, &b.id, false, ERR));
    EXPECT(RC_OK, keys_revoke(TX, ME, &plain.id, false, ERR));
    EXPECT(RC_OK, keys_revoke(TX, ME, &expired.id, false, ERR)); /* it manages nothing */
    EXPECT(RC_FORBIDDEN, keys_revoke(TX, ME, &b.id, false, ERR));
    EXPECT(RC_OK, keys_revoke(TX, ME, &b.id, true, ERR));
    assert_int_equal(audit_count(s, "delete", "api_keys"), 4);
}

static void
test_revoke_foreign(void **state)
{
    struct scratch *s = *state;
    struct caller other = support_caller(&s->other);
    struct api_key k = make_key(s, PERM_READ_DOCS, -1), back;

    EXPECT(RC_NOT_FOUND, keys_revoke(TX, &other, &k.id, true, ERR));
    EXPECT(RC_OK, api_key_read(TX, WS, &k.id, &back, ERR));
    assert_int_equal(back.revoked_ms, -1);
}

/* ---- Docs objects ---- */

#define A_ID "aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B_ID "bbbbbbbbbbbbbbbbbbbbbbbbbb"

/* One after the other in one database: whom each request means. */
static const struct {
    const char *id, *external;
    enum rc rc;
    const char *want_id, *want_external; /* NULL id: any */
} owners[] = {
    {A_ID, NULL, RC_INVALID, NULL, NULL},
    {A_ID, "ext-a", RC_OK, A_ID, "ext-a"},
    {A_ID, NULL, RC_OK, A_ID, "ext-a"},
    {NULL, "ext-a", RC_OK, A_ID, "ext-a"},
    {A_ID, "ext-a", RC_OK, A_ID, "ext-a"},
    {B_ID, "ext-a", RC_UNPROCESSABLE, NULL, NULL},
    {A_ID, "ext-b", RC_UNPROCESSABLE, NULL, NULL},
    {NULL, "ext-b", RC_OK, NULL, "ext-b"},
    {A_ID, "ext-b", RC_UNPROCESSABLE, NULL, NULL},
    {NULL, "Ext-A", RC_OK, NULL, "Ext-A"}, /* case matters */
};

static void
test_owners(void **state)
{
    struct scratch *s = *state;
    int64_t made = 0;

    for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
        struct docs d = {.type = "contract", .owner = {owners[i].id, owners[i].external}}, back;

        EXPECT(owners[i].rc, docs_library_create(TX, ME, &d, ERR));
        if (owners[i].rc)
            continue;
        made++;
        EXPECT(RC_OK, docs_read(TX, WS, &d.id, &back, ERR));
        assert_string_equal(back.status, "created");
        assert_string_equal(back.type, "contract");
        assert_string_equal(back.owner.external_id, owners[i].want_external);
        assert_string_equal(d.owner.id, back.owner.id);
        if (owners[i].want_id)
            assert_string_equal(back.owner.id, owners[i].want_id);
    }
    assert_int_equal(audit_count(s, "create", "docs"), made);
}

/* An owner of one workspace is unknown to another. */
static void
test_owner_elsewhere(void **state)
{
    struct scratch *s = *state;
    struct caller other = support_caller(&s->other);
    struct docs d = {.type = "t", .owner = {A_ID, "ext"}}, e = {.type = "t", .owner = {A_ID, NULL}};

    EXPECT(RC_OK, docs_library_create(TX, ME, &d, ERR));
    EXPECT(RC_INVALID, docs_library_create(TX, &other, &e, ERR));
    assert_string_equal(s->err.field, "owner.id");
}

static void
test_status(void **state)
{
    struct scratch *s = *state;
    struct caller other = support_caller(&s->other);
    struct docs d = {.type = "t", .owner = {NULL, "ext"}}, back;

    EXPECT(RC_OK, docs_library_create(TX, ME, &d, ERR));
    EXPECT(RC_OK, docs_library_set_status(TX, ME, &d.id, "signed", &back, ERR));
    assert_string_equal(back.status, "signed");
    assert_string_equal(back.owner.external_id, "ext");
    EXPECT(RC_NOT_FOUND, docs_library_set_status(TX, &other, &d.id, "lost", &back, ERR));
    EXPECT(RC_OK, docs_read(TX, WS, &d.id, &back, ERR));
    assert_string_equal(back.status, "signed");
    assert_int_equal(audit_count(s, "update", "docs"), 1);
}

static const struct {
    const char *text;
    bool id, type;
} spellings[] = {
    {"", false, false},
    {"contract", false, true},
    {"Contract", false, false},
    {"9lives", false, false},
    {"a-b_c9", false, true},
    {"a b", false, false},
    {"01234567890123456789", true, false},
    {"0123456789012345678", false, false},
    {"abcdefghijabcdefghijabcdefghijab", true, true},
    {"abcdefghijabcdefghijabcdefghijabc", false, true},
    {"abcdefghij-bcdefghij", false, true},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false, true},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false, false},
};

static void
test_spellings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        assert_int_equal(docs_id_valid(spellings[i].text), spellings[i].id);
        assert_int_equal(docs_type_valid(spellings[i].text), spellings[i].type);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_create),    CASE(test_last_admin),      CASE(test_revoke_foreign),
        CASE(test_owners),    CASE(test_owner_elsewhere), CASE(test_status),
        CASE(test_spellings),
    };

    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
