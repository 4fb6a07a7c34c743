// SPDX-License-Identifier: Apache-2.0
/* dialect: the words of each family's errors. */
#include "support.h"

#include "http/dialect.h"

static const struct {
    const struct dialect *dialect;
    enum rc rc;
    bool details;
    const char *body;
} errors[] = {
    {&dialect_records, RC_NOT_FOUND, false,
     "{\"error\":{\"code\":\"not_found\",\"message\":\"m\"}}"},
    {&dialect_records, RC_INVALID, true,
     "{\"error\":{\"code\":\"validation_error\",\"details\":{\"a\":1},\"message\":\"m\"}}"},
    {&dialect_docs, RC_NOT_FOUND, false,
     "{\"error\":{\"code\":\"NOT_FOUND\",\"details\":{},\"message\":\"m\"}}"},
    {&dialect_docs, RC_UNPROCESSABLE, true,
     "{\"error\":{\"code\":\"UNPROCESSABLE_ENTITY\",\"details\":{\"a\":1},\"message\":\"m\"}}"},
    {&dialect_upload, RC_BAD_KEY, false, "{\"detail\":\"Invalid or missing API key\"}"},
    {&dialect_upload, RC_MALFORMED, true, "{\"detail\":\"There was an error parsing the body\"}"},
    {&dialect_upload, RC_FORBIDDEN, false, "{\"detail\":\"Insufficient permissions\"}"},
    {&dialect_upload, RC_QUOTA, false, "{\"detail\":\"Request Entity Too Large\"}"},
    {&dialect_upload, RC_RATE_LIMITED, false, "{\"detail\":\"Rate limit exceeded\"}"},
    {&dialect_upload, RC_IO, false,
     "{\"detail\":\"Failed to upload documents. Please try again later.\"}"},
    {&dialect_upload, RC_MISMATCH, false, "{\"detail\":\"m\"}"},
};

static void
test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        json_auto_t *details = errors[i].details ? json_pack("{s:i}", "a", 1) : NULL;
        json_auto_t *body = errors[i].dialect->error(errors[i].rc, "m", details);
        char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);

        assert_string_equal(text, errors[i].body);
        free(text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_errors)};

    return cmocka_run_group_tests_name("dialect", tests, NULL, NULL);
}
