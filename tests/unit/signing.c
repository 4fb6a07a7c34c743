// SPDX-License-Identifier: Apache-2.0
/* signing: tokens there and back, and that a changed, expired or foreign one is worth nothing. */
#include "support.h"

#include "core/signing.h"

#define NOW 1000000

static const struct secret ours = {.upload_url = {1}, .download_url = {2}};
static const struct secret theirs = {.upload_url = {3}, .download_url = {4}};

static const struct {
    int64_t size;
    bool has_sha256;
    const char *type, *path;
} uploads[] = {
    {-1, false, NULL, "a"},
    {5, true, "application/pdf", "workspaces/ws_1/x.pdf"},
    {0, false, "text/plain; charset=utf-8", "caf\xc3\xa9"},
};

static void
test_upload(void **state)
{
    SCOPED_POOL(pool);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(uploads); i++) {
        struct upload_token t = {.workspace = 7,
                                 .id = id_new(),
                                 .expires_ms = NOW + 1,
                                 .key_id = id_new(),
                                 .user_id = id_new(),
                                 .size_bytes = uploads[i].size,
                                 .has_sha256 = uploads[i].has_sha256,
                                 .sha256 = {9},
                                 .mime_type = uploads[i].type,
                                 .storage_path = uploads[i].path},
                            back;
        char *text = signing_upload(pool, &ours, &t);
        struct err err;

        EXPECT(RC_OK, signing_read_upload(pool, &ours, text, NOW, &back, &err));
        assert_true(back.workspace == 7 && back.expires_ms == NOW + 1);
        assert_true(id_equal(&back.id, &t.id) && id_equal(&back.key_id, &t.key_id));
        assert_true(id_equal(&back.user_id, &t.user_id));
        assert_int_equal(back.size_bytes, t.size_bytes);
        assert_int_equal(back.has_sha256, t.has_sha256);
        if (t.has_sha256)
            assert_memory_equal(back.sha256, t.sha256, SHA256_LEN);
        assert_string_equal(back.storage_path, t.storage_path);
        assert_int_equal(back.mime_type == NULL, t.mime_type == NULL);
        if (t.mime_type)
            assert_string_equal(back.mime_type, t.mime_type);
        EXPECT(RC_BAD_SIGNATURE, signing_read_upload(pool, &ours, text, NOW + 1, &back, &err));
        EXPECT(RC_BAD_SIGNATURE, signing_read_upload(pool, &theirs, text, NOW, &back, &err));
    }
}

static void
test_download(void **state)
{
    SCOPED_POOL(pool);
    struct download_token t = {.workspace = 7, .document_id = id_new(), .expires_ms = NOW + 1},
                          back;
    struct upload_token other;
    char *text = signing_download(pool, &ours, &t);
    struct err err;

    (void)state;
    EXPECT(RC_OK, signing_read_download(pool, &ours, text, NOW, &back, &err));
    assert_true(back.workspace == 7 && id_equal(&back.document_id, &t.document_id));
    EXPECT(RC_BAD_SIGNATURE, signing_read_download(pool, &ours, text, NOW + 1, &back, &err));
    EXPECT(RC_BAD_SIGNATURE, signing_read_download(pool, &theirs, text, NOW, &back, &err));
    EXPECT(RC_BAD_SIGNATURE, signing_read_upload(pool, &ours, text, NOW, &other, &err));
}

static void
test_tampered(void **state)
{
    SCOPED_POOL(pool);
    struct download_token t = {.workspace = 7, .document_id = id_new(), .expires_ms = NOW + 1},
                          back;
    char *text = signing_download(pool, &ours, &t), *huge = mem_zalloc(pool, 100001);
    size_t len = strlen(text);
    struct err err;

    (void)state;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        text[i] = c == 'A' ? 'B' : 'A';
        EXPECT(RC_BAD_SIGNATURE, signing_read_download(pool, &ours, text, NOW, &back, &err));
        text[i] = '\0';
        EXPECT(RC_BAD_SIGNATURE, signing_read_download(pool, &ours, text, NOW, &back, &err));
        text[i] = c;
    }
    EXPECT(RC_OK, signing_read_download(pool, &ours, text, NOW, &back, &err));
    memset(huge, 'A', 100000);
    EXPECT(RC_BAD_SIGNATURE, signing_read_download(pool, &ours, huge, NOW, &back, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload),
        cmocka_unit_test(test_download),
        cmocka_unit_test(test_tampered),
    };

    return cmocka_run_group_tests_name("signing", tests, NULL, NULL);
}
