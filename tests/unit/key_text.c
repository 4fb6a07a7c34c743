// SPDX-License-Identifier: Apache-2.0
/* key_text: what is made is read, and every typing error is found. */
#include "support.h"

#include "core/key_text.h"

static void
test_make(void **state)
{
    uint8_t pepper[SHA256_LEN] = {1}, mac[SHA256_LEN], other[SHA256_LEN];
    struct key_text a, b;

    (void)state;
    for (int i = 0; i < 200; i++) {
        key_text_make(&a);
        assert_int_equal(strlen(a.text), KEY_TEXT_LEN - 1);
        assert_int_equal(strspn(a.text + 4, "abcdefghijklmnopqrstuvwxyz0123456789"), 52);
        assert_true(key_text_parse(a.text, &b));
        assert_string_equal(a.handle, b.handle);
        assert_string_equal(a.secret, b.secret);
        assert_int_equal(strlen(a.handle), KEY_HANDLE_LEN - 1);
        assert_int_equal(strlen(a.secret), KEY_SECRET_LEN - 1);
        key_text_mac(pepper, &a, mac);
        key_text_mac(pepper, &b, other);
        assert_memory_equal(mac, other, SHA256_LEN);
        key_text_make(&b);
        assert_string_not_equal(a.handle, b.handle);
        key_text_mac(pepper, &b, other);
        assert_memory_not_equal(mac, other, SHA256_LEN);
    }
}

static void
test_typing_errors(void **state)
{
    struct key_text key, out;
    char text[KEY_TEXT_LEN + 1];

    (void)state;
    key_text_make(&key);
    for (size_t i = 0; i < KEY_TEXT_LEN - 1; i++) {
        memcpy(text, key.text, KEY_TEXT_LEN);
        text[i] = text[i] == 'q' ? 'r' : 'q';
        assert_false(key_text_parse(text, &out));
        text[i] = 'Q';
        assert_false(key_text_parse(text, &out));
        text[i] = '\0';
        assert_false(key_text_parse(text, &out));
    }
    (void)snprintf(text, sizeof(text), "%sq", key.text);
    assert_false(key_text_parse(text, &out));
    assert_false(key_text_parse("", &out));
    assert_false(key_text_parse("wbk_", &out));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_typing_errors),
    };

    return cmocka_run_group_tests_name("key_text", tests, NULL, NULL);
}
