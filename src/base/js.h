// SPDX-License-Identifier: Apache-2.0
/*
 * js: strict reading and compact writing of JSON (RFC 8259), over jansson.
 *
 * A json_t belongs to whoever holds its reference; json_auto_t drops it at the end of the scope.
 */
#ifndef BASE_JS_H
#define BASE_JS_H
#include <jansson.h>

#include "base/buf.h"

#define JS_DEPTH_MAX 32

/*
 * Call once, before any other use of jansson: its hashes cannot be guessed then, and a failed
 * allocation aborts as ours do.
 */
void js_start(void);

/*
 * Reads one whole text: UTF-8, no duplicate names, nothing behind it, at most JS_DEPTH_MAX deep.
 * MALFORMED otherwise. The caller owns *ret.
 */
MUST_CHECK enum rc js_read(const char *text, size_t len, json_t **ret, struct err *err);

/* The compact text of `value`, in `pool`. */
char *js_write(TALLOC_CTX *pool, const json_t *value, size_t *ret_len);

/* Appends a string with its quotes to a text that the caller puts together. Valid UTF-8. */
void js_put_text(struct buf *b, const char *text, size_t len);

/* A string, or null when `text` is NULL. The text is valid UTF-8: checked on its way in. */
json_t *js_text(const char *text);

/* Null when negative. */
json_t *js_number(int64_t number);

/* Wall milliseconds as RFC 3339; null when negative. */
json_t *js_time(int64_t ms);

/* Sets a member; takes `value`. */
void js_set(json_t *object, const char *name, json_t *value);

/* {"name":"text"}, or {"name":true} when `text` is NULL. */
char *js_member(TALLOC_CTX *pool, const char *name, const char *text);

#endif
