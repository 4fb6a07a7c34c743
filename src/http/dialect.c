// SPDX-License-Identifier: Apache-2.0
#include "http/dialect.h"

#include "base/js.h"

static json_t *
envelope(const char *code, const char *message, json_t *details)
{
    json_t *error = json_object(), *body = json_object();

    (void)json_object_set_new(error, "code", js_text(code));
    (void)json_object_set_new(error, "message", js_text(message));
    if (details)
        (void)json_object_set(error, "details", details);
    (void)json_object_set_new(body, "error", error);
    return body;
}

static json_t *
records_error(enum rc code, const char *message, json_t *details)
{
    return envelope(rc_info(code)->code, message, details);
}

static json_t *
docs_error(enum rc code, const char *message, json_t *details)
{
    json_t *always = details ? json_incref(details) : json_object(), *body;

    body = envelope(rc_info(code)->docs_code, message, always);
    json_decref(always);
    return body;
}

/* The texts of the vendor's own page, by status. */
static const struct {
    int http;
    const char *detail;
} upload_texts[] = {
    {400, "There was an error parsing the body"},
    {401, "Invalid or missing API key"},
    {403, "Insufficient permissions"},
    {413, "Request Entity Too Large"},
    {429, "Rate limit exceeded"},
    {500, "Failed to upload documents. Please try again later."},
    {503, "Failed to upload documents. Please try again later."},
    {507, "Failed to upload documents. Please try again later."},
};

static json_t *
upload_error(enum rc code, const char *message, json_t *details)
{
    json_t *body = json_object();

    for (size_t i = 0; i < ARRAY_LEN(upload_texts); i++) {
        if (upload_texts[i].http == rc_info(code)->http)
            message = upload_texts[i].detail;
    }
    (void)details;
    (void)json_object_set_new(body, "detail", js_text(message));
    return body;
}

const struct dialect dialect_records = {
    .name = "records",
    .spelling = ID_RECORDS,
    .idempotency_header = "Idempotency-Key",
    .missing = RC_INVALID,
    .invalid = RC_INVALID,
    .error = records_error,
};

const struct dialect dialect_upload = {
    .name = "upload",
    .spelling = ID_UUID,
    .idempotency_header = "Idempotency-Key",
    .missing = RC_MALFORMED,
    .invalid = RC_MALFORMED,
    .error = upload_error,
};

const struct dialect dialect_docs = {
    .name = "docs",
    .spelling = ID_BASE36,
    .idempotency_header = "X-Idempotency-Key",
    .idempotency_required = true,
    .repeat_conflicts = true,
    .by_entity = true,
    .missing = RC_MISSING,
    .invalid = RC_UNPROCESSABLE,
    .error = docs_error,
};
