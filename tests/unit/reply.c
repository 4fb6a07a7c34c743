// SPDX-License-Identifier: Apache-2.0
/* reply: how answers are built, written once, and dropped. */
#include "support.h"

#include "http/reply.h"

static void
check_text(struct reply *rp, int status, const char *text)
{
    reply_render(rp);
    assert_int_equal(rp->status, status);
    assert_int_equal(rp->text_len, strlen(text));
    assert_string_equal(rp->text, text);
}

static void
test_bodies(void **state)
{
    SCOPED_POOL(pool);
    struct reply rp;

    (void)state;
    reply_init(&rp, pool);
    reply_json(&rp, 201, json_pack("{s:i}", "a", 1));
    check_text(&rp, 201, "{\"a\":1}");
    reply_render(&rp); /* once is enough */
    check_text(&rp, 201, "{\"a\":1}");
    reply_clear(&rp);
    reply_data(&rp, 200, json_array());
    check_text(&rp, 200, "{\"data\":[]}");
    reply_clear(&rp);
    reply_list(&rp, "documents", json_array(), reply_page_meta(2, 20, 41));
    check_text(&rp, 200,
               "{\"data\":{\"documents\":[]},\"meta\":{\"page\":2,\"per_page\":20,\"total\":41}}");
    reply_clear(&rp);
    reply_empty(&rp, 204);
    reply_render(&rp);
    assert_true(rp.status == 204 && !rp.text);
    reply_text(&rp, 200, "text/plain", "hi", 2);
    check_text(&rp, 200, "hi");
    assert_string_equal(rp.media_type, "text/plain");
    reply_clear(&rp);
}

static void
test_clear(void **state)
{
    SCOPED_POOL(pool);
    struct reply rp;

    (void)state;
    reply_init(&rp, pool);
    reply_json(&rp, 200, json_object());
    rp.details = json_object();
    for (int i = 0; i < REPLY_HEADERS_MAX; i++)
        reply_header(&rp, "X", "y");
    reply_clear(&rp);
    assert_true(rp.status == 0 && rp.n_headers == 0 && !rp.json && !rp.details && !rp.text);
    assert_ptr_equal(rp.pool, pool);
    reply_clear(&rp);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_clear),
    };

    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
