// SPDX-License-Identifier: Apache-2.0
/* What is accepted is one step that replaces /status, and its value is what comes out. */
#include "api/api.h"
#include "base/js.h"
#include "fuzz.h"

static const char *
member(const json_t *step, const char *name)
{
    const char *text = json_string_value(json_object_get(step, name));

    return text ? text : "";
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_auto_t *patch = NULL;
    const char *status = NULL;
    const json_t *step;
    struct err err;
    enum rc rc;

    if (js_read((const char *)data, size, &patch, &err))
        return 0;
    rc = docs_read_patch(patch, &status, &err);
    step = json_array_get(patch, 0);
    if (rc) {
        BUG_ON(status || (rc != RC_INVALID && rc != RC_UNPROCESSABLE));
        BUG_ON(rc == RC_UNPROCESSABLE && !streq(member(step, "path"), "/status"));
        return 0;
    }
    BUG_ON(!json_is_array(patch) || json_array_size(patch) != 1);
    BUG_ON(!streq(member(step, "op"), "replace") || !streq(member(step, "path"), "/status"));
    BUG_ON(!status || !streq(member(step, "value"), status));
    BUG_ON(!streq(status, "active") && !streq(status, "pending") && !streq(status, "block"));
    return 0;
}
