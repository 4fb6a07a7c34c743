// SPDX-License-Identifier: Apache-2.0
#include "http/openapi_answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/js.h"
#include "http/openapi_schema.h"

/* ---- what a row implies ---- */

bool
openapi_takes_key_header(const struct route *r)
{
    return !r->no_idempotency && (r->run == RUN_WRITE || r->run == RUN_STREAM);
}

static bool
takes_body(const struct route *r)
{
    return r->max_body > 0 || r->stream;
}

bool
openapi_sends_bytes(const struct route *r)
{
    return r->access == ACCESS_SIGNED && r->method == HTTP_GET;
}

static bool
any_required(const struct field *fields)
{
    for (const struct field *fd = fields; fd && fd->type; fd++) {
        if (fd->flags & FIELD_REQUIRED || any_required(fd->members))
            return true;
    }
    return false;
}

static void
add_error(struct openapi_errors *set, enum rc code)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->codes[i] == code)
            return;
    }
    BUG_ON(set->n == OPENAPI_ERRORS_MAX);
    set->codes[set->n++] = code;
}

static void
add_input_errors(const struct route *r, struct openapi_errors *set)
{
    if (r->query || r->max_body)
        add_error(set, RC_MALFORMED);
    if (any_required(r->query) || any_required(r->body))
        add_error(set, r->dialect->missing);
    if (r->query || takes_body(r))
        add_error(set, r->dialect->invalid);
    if (takes_body(r)) {
        add_error(set, RC_LENGTH_REQUIRED);
        add_error(set, RC_TOO_LARGE);
    }
    if (r->max_body)
        add_error(set, RC_MEDIA_TYPE);
    if (!openapi_takes_key_header(r))
        return;
    add_error(set, RC_INVALID);
    if (r->dialect->idempotency_required)
        add_error(set, RC_MISSING);
    add_error(set, r->dialect->repeat_conflicts ? RC_DUPLICATE : RC_MISMATCH);
}

static int
by_status(const void *a, const void *b)
{
    enum rc x = *(const enum rc *)a, y = *(const enum rc *)b;
    int difference = rc_info(x)->http - rc_info(y)->http;

    return difference ? difference : (int)x - (int)y;
}

struct openapi_errors
openapi_errors_of(const struct route *r)
{
    struct openapi_errors set = {.n = 0};

    add_input_errors(r, &set);
    if (r->access == ACCESS_KEY) {
        add_error(&set, RC_MALFORMED); /* a query with a broken escape */
        add_error(&set, RC_BAD_KEY);
        add_error(&set, RC_FORBIDDEN);
        add_error(&set, RC_RATE_LIMITED);
    }
    for (size_t i = 0; i < ROUTE_ERRORS_MAX && r->errors[i]; i++)
        add_error(&set, r->errors[i]);
    add_error(&set, RC_INTERNAL);
    add_error(&set, RC_BUSY);
    if (r->run == RUN_WRITE || r->run == RUN_STREAM)
        add_error(&set, RC_STORAGE_FULL);
    qsort(set.codes, set.n, sizeof(set.codes[0]), by_status);
    return set;
}

/* ---- answers ---- */

/* Headers of answers; a row's `when` says which have them. */
enum header_when {
    ALWAYS = 1,
    WITH_KEY,  /* of a route with a key, but 401: no budget is known then */
    RETRYABLE, /* 429 and 503 */
    CHALLENGE, /* 401 */
    REPLAYED,  /* 2xx of a route that takes an idempotency key and replays */
    CREATED,   /* 201 of the records dialect */
    BYTES,     /* 200 and 206 of a download */
    PART,      /* 206 and 416 */
};

static const struct {
    const char *name;
    enum header_when when;
    const char *type;
    const char *help;
} headers[] = {
    {"X-Request-ID", ALWAYS, "string", "Names this request in the server's log"},
    {"X-RateLimit-Limit", WITH_KEY, "integer", "Requests that the budget allows"},
    {"X-RateLimit-Remaining", WITH_KEY, "integer", "Requests that are left of it"},
    {"X-RateLimit-Reset", WITH_KEY, "integer", "When it is full again, in seconds since 1970"},
    {"Retry-After", RETRYABLE, "integer", "Seconds to wait before the next try"},
    {"WWW-Authenticate", CHALLENGE, "string", "Bearer"},
    {"Idempotent-Replayed", REPLAYED, "string", "true: this answer was kept from an earlier try"},
    {"Location", CREATED, "string", "Where the new object is, when it has a path of its own"},
    {"ETag", BYTES, "string", "Strong entity tag of the bytes"},
    {"Accept-Ranges", BYTES, "string", "bytes"},
    {"Content-Disposition", BYTES, "string", "The document's name (RFC 6266, RFC 8187)"},
    {"Content-Range", PART, "string", "The part that is sent, or * and the whole size"},
};

static bool
has_header(enum header_when when, const struct route *r, int status)
{
    switch (when) {
    case ALWAYS:
        return true;
    case WITH_KEY:
        return r->access == ACCESS_KEY && status != 401;
    case RETRYABLE:
        return status == 429 || status == 503;
    case CHALLENGE:
        return status == 401;
    case REPLAYED:
        return openapi_takes_key_header(r) && !r->dialect->repeat_conflicts && status < 300;
    case CREATED:
        return status == 201 && r->dialect == &dialect_records;
    case BYTES:
        return openapi_sends_bytes(r) && (status == 200 || status == 206);
    case PART:
        return status == 206 || status == 416;
    }
    return false;
}

static json_t *
answer_headers(const struct route *r, int status)
{
    json_t *out = json_object();

    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        if (has_header(headers[i].when, r, status))
            js_set(out, headers[i].name, openapi_ref("headers", headers[i].name));
    }
    return out;
}

json_t *
openapi_headers(void)
{
    json_t *out = json_object();

    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        json_t *h = json_object();

        openapi_set_text(h, "description", headers[i].help);
        if (headers[i].when == ALWAYS)
            js_set(h, "required", json_true());
        js_set(h, "schema", json_pack("{s:s}", "type", headers[i].type));
        js_set(out, headers[i].name, h);
    }
    return out;
}

/* The schema of a text that is not made from a shape. */
static json_t *
media_schema(const char *media_type)
{
    if (strncmp(media_type, "text/", strlen("text/")) == 0)
        return json_pack("{s:s}", "type", "string");
    return openapi_binary_schema();
}

/* NULL for an answer without a body. */
static json_t *
reply_content(const struct reply_doc *doc, json_t *schemas)
{
    if (doc->status == 204 || doc->status == 304)
        return NULL;
    if (doc->media_type)
        return openapi_content(doc->media_type, media_schema(doc->media_type), NULL);
    return openapi_content("application/json", openapi_answer_schema(doc, schemas),
                           openapi_answer_example(doc));
}

/* A second answer with the same status: its schema is a choice beside the first one's. */
static void
add_choice(json_t *response, json_t *media)
{
    json_t *first = json_object_get(json_object_get(response, "content"), "application/json");
    json_t *second = json_object_get(media, "application/json");
    json_t *choices = json_pack("{s:[O,O]}", "anyOf", json_object_get(first, "schema"),
                                json_object_get(second, "schema"));

    js_set(first, "schema", choices);
    json_decref(media);
}

static void
add_reply(json_t *responses, const struct route *r, const struct reply_doc *doc, json_t *schemas)
{
    json_t *media = reply_content(doc, schemas), *response;
    char status[16];

    (void)snprintf(status, sizeof(status), "%d", doc->status);
    response = json_object_get(responses, status);
    if (response) {
        add_choice(response, media);
        return;
    }
    response = json_object();
    openapi_set_text(response, "description", doc->help ? doc->help : r->summary);
    js_set(response, "headers", answer_headers(r, doc->status));
    if (media)
        js_set(response, "content", media);
    js_set(responses, status, response);
}

/* ---- errors ---- */

static const struct {
    const struct dialect *dialect;
    const char *prefix; /* of the names of its components */
    bool detail;        /* {"detail"} instead of {"error"} */
    bool docs;          /* the codes of that dialect; details are always there */
} envelopes[] = {
    {&dialect_records, "Records", false, false},
    {&dialect_upload, "Upload", true, false},
    {&dialect_docs, "Docs", false, true},
};

static size_t
envelope_of(const struct route *r)
{
    for (size_t i = 0; i < ARRAY_LEN(envelopes); i++) {
        if (envelopes[i].dialect == r->dialect)
            return i;
    }
    BUG_ON(true);
}

static json_t *
code_schema(bool docs)
{
    json_t *list = json_array(), *seen = json_object();

    for (int rc = RC_OK + 1; rc < RC_MAX_; rc++) {
        const char *code = docs ? rc_info((enum rc)rc)->docs_code : rc_info((enum rc)rc)->code;

        if (json_object_get(seen, code))
            continue;
        js_set(seen, code, json_true());
        (void)json_array_append_new(list, js_text(code));
    }
    json_decref(seen);
    return json_pack("{s:s,s:s,s:o}", "type", "string", "description", "For programs", "enum",
                     list);
}

static json_t *
details_schema(void)
{
    json_t *members = json_pack(
        "{s:{s:s,s:s,s:{s:s}},s:{s:s,s:s,s:{s:s}},s:{s:s,s:s}}", /* fields, references, id */
        "fields", "type", "object", "description", "What is wrong, by field",
        "additionalProperties", "type", "string", "references", "type", "array", "description",
        "What refers to the document; ten at most", "items", "type", "object", "id", "type",
        "string", "description", "What the first request with this key made");

    return json_pack("{s:s,s:s,s:o}", "type", "object", "description", "More about it",
                     "properties", members);
}

static json_t *
message_schema(void)
{
    return json_pack("{s:s,s:s}", "type", "string", "description", "For people");
}

static json_t *
envelope_schema(bool detail, bool docs)
{
    json_t *members, *required, *error;

    if (detail)
        return json_pack("{s:s,s:{s:o},s:[s],s:b}", "type", "object", "properties", "detail",
                         message_schema(), "required", "detail", "additionalProperties", 0);
    members = json_pack("{s:o,s:o,s:o}", "code", code_schema(docs), "message", message_schema(),
                        "details", details_schema());
    required = json_pack("[s,s]", "code", "message");
    if (docs)
        (void)json_array_append_new(required, js_text("details"));
    error = json_pack("{s:s,s:o,s:o,s:b}", "type", "object", "properties", members, "required",
                      required, "additionalProperties", 0);
    return json_pack("{s:s,s:{s:o},s:[s],s:b}", "type", "object", "properties", "error", error,
                     "required", "error", "additionalProperties", 0);
}

static json_t *
envelope_ref(size_t envelope, json_t *schemas)
{
    SCOPED_POOL(pool);
    const char *name = mem_printf(pool, "%sError", envelopes[envelope].prefix);

    if (!json_object_get(schemas, name))
        js_set(schemas, name,
               envelope_schema(envelopes[envelope].detail, envelopes[envelope].docs));
    return openapi_ref("schemas", name);
}

/* The first field of the route's body or query; faults are shown on it. */
static const char *
some_field(const struct route *r, enum rc code)
{
    if (openapi_takes_key_header(r) && code == RC_MISSING)
        return r->dialect->idempotency_header;
    if (r->body)
        return r->body[0].name;
    return r->query ? r->query[0].name : NULL;
}

static json_t *
example_details(const struct route *r, enum rc code)
{
    const char *field = some_field(r, code);

    if (code == RC_DUPLICATE)
        return json_pack("{s:s}", "id", "03e9x4k1m7q2w8r5t6y0u1i2o3");
    if (code == RC_IN_USE)
        return json_pack("{s:[{s:s,s:s}]}", "references", "type", "workflow", "id", "wf_17");
    if (field && (code == r->dialect->missing || code == RC_MISSING))
        return json_pack("{s:{s:s}}", "fields", field, "is required");
    if (field && code == r->dialect->invalid)
        return json_pack("{s:{s:s}}", "fields", field, "must be a string");
    return NULL;
}

static json_t *
error_example(const struct route *r, enum rc code)
{
    json_t *details = example_details(r, code);
    json_t *body = r->dialect->error(code, rc_info(code)->message, details);

    json_decref(details);
    return body;
}

/* The sentence of an error body of either envelope. */
static const char *
error_words(const json_t *body)
{
    const json_t *detail = json_object_get(body, "detail");

    if (!detail)
        detail = json_object_get(json_object_get(body, "error"), "message");
    return json_string_value(detail);
}

/* Adds the example unless an equal one is there, and its words to those of the response. */
static void
add_example(json_t *examples, json_t *words, enum rc code, json_t *body)
{
    const char *name;
    json_t *other;

    json_object_foreach (examples, name, other) {
        if (json_equal(json_object_get(other, "value"), body)) {
            json_decref(body);
            return;
        }
    }
    if (!json_object_get(words, error_words(body)))
        js_set(words, error_words(body), json_true());
    js_set(examples, rc_info(code)->name,
           json_pack("{s:s,s:o}", "summary", error_words(body), "value", body));
}

static char *
join(TALLOC_CTX *pool, json_t *words)
{
    char *text = mem_strdup(pool, "");
    const char *word;
    json_t *unused;

    json_object_foreach (words, word, unused)
        text = mem_printf(pool, "%s%s%s", text, *text ? "; " : "", word);
    return text;
}

/* One response for all outcomes that share a status. */
static json_t *
error_response(const struct route *r, const enum rc *codes, size_t n, json_t *schemas)
{
    SCOPED_POOL(pool);
    json_t *examples = json_object(), *words = json_object(), *media;
    json_t *response = json_object();

    for (size_t i = 0; i < n; i++)
        add_example(examples, words, codes[i], error_example(r, codes[i]));
    media = json_pack("{s:o}", "schema", envelope_ref(envelope_of(r), schemas));
    js_set(media, "examples", examples);
    openapi_set_text(response, "description", join(pool, words));
    js_set(response, "headers", answer_headers(r, rc_info(codes[0])->http));
    js_set(response, "content", json_pack("{s:o}", "application/json", media));
    json_decref(words);
    return response;
}

/* ---- together ---- */

/*
 * Keeps a response once, as "Records401", and refers to it. Others of the same status that differ,
 * by their examples or headers, become "Records401.2" and so on.
 */
static json_t *
shared_response(const struct route *r, int status, json_t *response, json_t *components)
{
    SCOPED_POOL(pool);
    json_t *responses = json_object_get(components, "responses"), *other;
    const char *base = mem_printf(pool, "%s%d", envelopes[envelope_of(r)].prefix, status);
    const char *name = base;

    for (int i = 2; (other = json_object_get(responses, name)) != NULL; i++) {
        if (json_equal(other, response))
            break;
        name = mem_printf(pool, "%s.%d", base, i);
    }
    if (other)
        json_decref(response);
    else
        js_set(responses, name, response);
    return openapi_ref("responses", name);
}

/* The answers of handlers, then the errors; a status that a handler documents is the handler's. */
json_t *
openapi_responses(const struct route *r, json_t *components)
{
    struct openapi_errors errors = openapi_errors_of(r);
    json_t *out = json_object(), *schemas = json_object_get(components, "schemas");
    char status[16];

    for (size_t i = 0; i < ARRAY_LEN(r->replies) && r->replies[i].status; i++)
        add_reply(out, r, &r->replies[i], schemas);
    for (size_t i = 0, n; i < errors.n; i += n) {
        int http = rc_info(errors.codes[i])->http;
        json_t *response;

        for (n = 1; i + n < errors.n && rc_info(errors.codes[i + n])->http == http;)
            n++;
        (void)snprintf(status, sizeof(status), "%d", http);
        if (json_object_get(out, status))
            continue;
        response = error_response(r, errors.codes + i, n, schemas);
        js_set(out, status, shared_response(r, http, response, components));
    }
    return out;
}
