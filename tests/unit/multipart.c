// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "http/multipart.h"

#define CT "multipart/form-data; boundary=b"
#define CD "Content-Disposition: form-data; "
#define FILE_A CD "name=\"files\"; filename=\"a\"\r\n"
#define PART(head, body) "--b\r\n" head "\r\n" body "\r\n"
#define FIELD(params) PART(CD params "\r\n", "x") "--b--\r\n"
#define CLOSE "--b--\r\n"
#define STR(s) (s), sizeof(s) - 1

/* What is heard, written as (name,filename,type)content; with "-" for what is absent. */
struct heard {
    struct buf log;
    const char *fail_at; /* the event that fails, NULL for none */
};

static enum rc
outcome(struct heard *h, const char *event, struct err *err)
{
    if (h->fail_at && streq(h->fail_at, event))
        return err_set(err, RC_QUOTA, "%s fails", event);
    return RC_OK;
}

static enum rc
on_begin(void *arg, const struct multipart_part *part, struct err *err)
{
    struct heard *h = arg;

    buf_puts(&h->log, "(");
    buf_puts(&h->log, part->name);
    buf_puts(&h->log, ",");
    buf_puts(&h->log, part->filename ? part->filename : "-");
    buf_puts(&h->log, ",");
    buf_puts(&h->log, part->content_type ? part->content_type : "-");
    buf_puts(&h->log, ")");
    return outcome(h, "begin", err);
}

static enum rc
on_data(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct heard *h = arg;

    assert_true(len > 0);
    assert_true(buf_append(&h->log, bytes, len));
    return outcome(h, "data", err);
}

static enum rc
on_end(void *arg, struct err *err)
{
    struct heard *h = arg;

    buf_puts(&h->log, ";");
    return outcome(h, "end", err);
}

static const struct multipart_events events = {
    .part_begin = on_begin, .part_data = on_data, .part_end = on_end};
static const struct multipart_limits limits = {.parts = 3};
static const size_t splits[] = {1, 2, 3, 7, 4096};

/* Parses `body` in pieces of `step` bytes, each in memory of its own: ASan sees an overrun. */
static enum rc
parse(TALLOC_CTX *pool, struct heard *h, const char *type, const char *body, size_t len,
      size_t step)
{
    struct multipart *m = NULL;
    struct err err = {0};
    enum rc rc;

    buf_init(&h->log, pool, 1 << 20);
    buf_puts(&h->log, "");
    rc = multipart_new(pool, type, &limits, &events, h, &m, &err);
    if (rc)
        return rc;
    for (size_t at = 0; at < len; at += step) {
        size_t n = len - at < step ? len - at : step;
        char *piece = malloc(n);

        assert_non_null(piece);
        memcpy(piece, body + at, n);
        rc = multipart_feed(m, piece, n, &err);
        free(piece);
        if (rc)
            break;
    }
    if (rc) {
        struct err again = {0};

        assert_int_equal(rc, err.code);
        assert_int_equal(rc, multipart_feed(m, "x", 1, &again));
        assert_int_equal(rc, multipart_end(m, &again));
        assert_string_equal(err.detail, again.detail);
        return rc;
    }
    return multipart_end(m, &err);
}

static void
check_fails_at(const char *what, const char *fail_at, const char *type, const char *body,
               size_t len, enum rc want, const char *want_log)
{
    SCOPED_POOL(pool);

    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        struct heard h = {.fail_at = fail_at};
        enum rc rc = parse(pool, &h, type, body, len, splits[i]);

        /* What is heard before a failure is not spelled out, but is the same for all pieces. */
        if (!want_log)
            want_log = h.log.bytes;
        if (rc != want || !streq(h.log.bytes, want_log))
            fail_msg("%s, in pieces of %zu: %s, %s", what, splits[i], rc_info(rc)->name,
                     h.log.bytes);
    }
}

static void
check(const char *what, const char *type, const char *body, size_t len, enum rc want,
      const char *want_log)
{
    check_fails_at(what, NULL, type, body, len, want, want_log);
}

struct sample {
    const char *what;
    const char *body;
    size_t len;
    const char *log; /* NULL: MALFORMED */
};

static const struct sample framing[] = {
    {"one file", STR(PART(FILE_A, "hi") CLOSE), "(files,a,-)hi;"},
    {"two files", STR(PART(FILE_A, "1") PART(FILE_A, "2") CLOSE), "(files,a,-)1;(files,a,-)2;"},
    {"no line end behind the last", STR(PART(FILE_A, "hi") "--b--"), "(files,a,-)hi;"},
    {"empty file", STR(PART(FILE_A, "") CLOSE), "(files,a,-);"},
    {"empty file, one line end", STR("--b\r\n" FILE_A "\r\n--b--\r\n"), "(files,a,-);"},
    {"no parts", STR(CLOSE), ""},
    {"preamble", STR("hello\r\n" PART(FILE_A, "hi") CLOSE), "(files,a,-)hi;"},
    {"empty line first", STR("\r\n" PART(FILE_A, "hi") CLOSE), "(files,a,-)hi;"},
    {"preamble like a delimiter", STR("--c\r\n-\r\n" PART(FILE_A, "hi") CLOSE), "(files,a,-)hi;"},
    {"preamble without line end", STR("x" PART(FILE_A, "hi") CLOSE), ""},
    {"epilogue", STR(PART(FILE_A, "hi") CLOSE "bye\n\r\n--b\r\n"), "(files,a,-)hi;"},
    {"padding", STR("--b \t\r\n" FILE_A "\r\nhi\r\n--b \r\n" FILE_A "\r\nho\r\n--b-- \t\r\n"),
     "(files,a,-)hi;(files,a,-)ho;"},
    {"padding at the end", STR(PART(FILE_A, "hi") "--b-- "), "(files,a,-)hi;"},
    {"content of line ends", STR(PART(FILE_A, "\r\n\r\n\n\r\r") CLOSE),
     "(files,a,-)\r\n\r\n\n\r\r;"},
    {"content like a delimiter", STR(PART(FILE_A, "\r\n--\r\n--a\r\n-\r--b\n--b") CLOSE),
     "(files,a,-)\r\n--\r\n--a\r\n-\r--b\n--b;"},
    {"delimiter behind a CR", STR(PART(FILE_A, "x\r") CLOSE), "(files,a,-)x\r;"},
    {"delimiter behind half a delimiter", STR(PART(FILE_A, "x\r\n-\r\n--") CLOSE),
     "(files,a,-)x\r\n-\r\n--;"},
    {"content begins like a delimiter", STR(PART(FILE_A, "--c") CLOSE), "(files,a,-)--c;"},
    {"content begins with a dash", STR(PART(FILE_A, "-") CLOSE), "(files,a,-)-;"},
    {"content is dashes", STR(PART(FILE_A, "--") CLOSE), "(files,a,-)--;"},
    {"nothing", STR(""), NULL},
    {"no delimiter", STR("hello"), NULL},
    {"cut in the delimiter", STR("--"), NULL},
    {"cut behind the delimiter", STR("--b"), NULL},
    {"cut in the header", STR("--b\r\n" FILE_A), NULL},
    {"cut in the content", STR("--b\r\n" FILE_A "\r\nhi"), NULL},
    {"cut before the dashes", STR(PART(FILE_A, "hi") "--b"), NULL},
    {"cut between the dashes", STR(PART(FILE_A, "hi") "--b-"), NULL},
    {"cut in the last line end", STR(PART(FILE_A, "hi") "--b--\r"), NULL},
    {"not closed", STR(PART(FILE_A, "hi") "--b\r\n"), NULL},
    {"bare LF behind the delimiter", STR("--b\n" FILE_A "\r\nhi\r\n" CLOSE), NULL},
    {"bare LF in the header", STR("--b\r\n" CD "name=a\n\r\nhi\r\n" CLOSE), NULL},
    {"bare LF behind the header", STR("--b\r\n" FILE_A "\nhi\r\n" CLOSE), NULL},
    {"bare LF before the delimiter", STR("--b\r\n" FILE_A "\r\nhi\n" CLOSE), NULL},
    {"bare LF behind the last", STR(PART(FILE_A, "hi") "--b--\n"), NULL},
    {"bare CR in the header", STR("--b\r\n" CD "name=a\r\r\n\r\nhi\r\n" CLOSE), NULL},
    {"bare CR behind the delimiter", STR("--b\r--b\r\n" FILE_A "\r\nhi\r\n" CLOSE), NULL},
    {"longer delimiter", STR("--bb\r\n" FILE_A "\r\nhi\r\n" CLOSE), NULL},
    {"longer last delimiter", STR(PART(FILE_A, "hi") "--b--x"), NULL},
    {"one dash", STR(PART(FILE_A, "hi") "--b-\r\n"), NULL},
    {"text behind the padding", STR("--b x\r\n" FILE_A "\r\nhi\r\n" CLOSE), NULL},
};

static const struct sample headers[] = {
    {"no header", STR(PART("", "x") CLOSE), NULL},
    {"no disposition", STR(PART("Content-Type: text/plain\r\n", "x") CLOSE), NULL},
    {"two dispositions", STR(PART(FILE_A FILE_A, "x") CLOSE), NULL},
    {"attachment", STR(PART("Content-Disposition: attachment; name=a\r\n", "x") CLOSE), NULL},
    {"form-data2", STR(PART("Content-Disposition: form-data2; name=a\r\n", "x") CLOSE), NULL},
    {"no name", STR(FIELD("filename=\"a\"")), NULL},
    {"two names", STR(FIELD("name=a; name=b")), NULL},
    {"two file names", STR(FIELD("name=a; filename=b; filename=c")), NULL},
    {"name without value", STR(FIELD("name")), NULL},
    {"name of nothing", STR(FIELD("name=")), NULL},
    {"open quote", STR(FIELD("name=\"a")), NULL},
    {"open quote behind a backslash", STR(FIELD("name=a; filename=\"a\\\"")), NULL},
    {"text behind the quote", STR(FIELD("name=\"a\"b")), NULL},
    {"no token", STR(FIELD("name=a/b")), NULL},
    {"no colon", STR(PART("Content-Disposition\r\n" FILE_A, "x") CLOSE), NULL},
    {"space before the colon", STR(PART("A : b\r\n" FILE_A, "x") CLOSE), NULL},
    {"space first", STR(PART(" " FILE_A, "x") CLOSE), NULL},
    {"NUL in the header", STR(PART("A: \0\r\n" FILE_A, "x") CLOSE), NULL},
    {"control byte in the header", STR(PART("A: \x01\r\n" FILE_A, "x") CLOSE), NULL},
    {"name is no UTF-8", STR(FIELD("name=\"\xff\"")), NULL},
    {"C1 control in the name", STR(FIELD("name=\"\xc2\x85\"")), NULL},
    {"tab in the name", STR(FIELD("name=\"a\tb\"")), NULL},
    {"base64", STR(PART(FILE_A "Content-Transfer-Encoding: base64\r\n", "x") CLOSE), NULL},
    {"two types", STR(PART(FILE_A "Content-Type: a/b\r\nContent-Type: a/b\r\n", "x") CLOSE), NULL},
    {"binary", STR(PART(FILE_A "content-transfer-encoding: BINARY\r\n", "x") CLOSE),
     "(files,a,-)x;"},
    {"token names", STR(FIELD("name=a; filename=b.txt")), "(a,b.txt,-)x;"},
    {"empty names", STR(FIELD("name=\"\"; filename=\"\"")), "(,,-)x;"},
    {"order", STR(FIELD("filename=f; name=n")), "(n,f,-)x;"},
    {"white space",
     STR(PART("Content-Disposition:  \t form-data \t;\tname=a  ;filename=b; \r\n", "x") CLOSE),
     "(a,b,-)x;"},
    {"no white space", STR(PART("content-disposition:Form-Data;NAME=a;FileName=b\r\n", "x") CLOSE),
     "(a,b,-)x;"},
    {"unknown parameter", STR(FIELD("size=3; name=a; x=\"; name=b\"")), "(a,-,-)x;"},
    {"unknown header", STR(PART("X-A: b\r\nContent-Length: 1\r\n" FILE_A, "x") CLOSE),
     "(files,a,-)x;"},
    {"type", STR(PART(FILE_A "Content-Type: \tText/Plain; a=b \r\n", "x") CLOSE),
     "(files,a,Text/Plain; a=b)x;"},
    {"empty type", STR(PART(FILE_A "Content-Type:\r\n", "x") CLOSE), "(files,a,-)x;"},
    {"folded",
     STR(PART("Content-Disposition: form-data;\r\n name=a;\r\n\tfilename=b\r\n", "x") CLOSE),
     "(a,b,-)x;"},
    {"escapes", STR(FIELD("name=a; filename=\"a\\\"b\\\\c\"")), "(a,a\"b\\c,-)x;"},
    {"Windows path", STR(FIELD("name=a; filename=\"C:\\temp\\new.txt\"")),
     "(a,C:\\temp\\new.txt,-)x;"},
    {"%22", STR(FIELD("name=\"a%22\"; filename=\"%22b%22%2\"")), "(a\",\"b\"%2,-)x;"},
    {"other percents", STR(FIELD("name=a; filename=\"%0D%0A%41%\"")), "(a,%0D%0A%41%,-)x;"},
    {"UTF-8", STR(FIELD("name=a; filename=\"\xc3\xa9.pdf\"")), "(a,\xc3\xa9.pdf,-)x;"},
    {"semicolon in quotes", STR(FIELD("name=a; filename=\"a;b=c\"")), "(a,a;b=c,-)x;"},
    {"filename*", STR(FIELD("name=a; filename*=utf-8''%C3%A9%22.pdf")), "(a,\xc3\xa9\".pdf,-)x;"},
    {"filename* with a language", STR(FIELD("name=a; filename*=UTF-8'en'b")), "(a,b,-)x;"},
    {"filename* wins", STR(FIELD("name=a; filename*=UTF-8''b; filename=c")), "(a,b,-)x;"},
    {"name*", STR(FIELD("name*=utf-8''%C3%A9")), "(\xc3\xa9,-,-)x;"},
    {"filename* in latin 1", STR(FIELD("name=a; filename*=iso-8859-1''%E9")), NULL},
    {"filename* without quotes", STR(FIELD("name=a; filename*=utf-8")), NULL},
    {"filename* with one quote", STR(FIELD("name=a; filename*=utf-8'b")), NULL},
    {"filename* with a broken escape", STR(FIELD("name=a; filename*=utf-8''%4")), NULL},
    {"filename* with NUL", STR(FIELD("name=a; filename*=utf-8''%00")), NULL},
    {"filename* with a line end", STR(FIELD("name=a; filename*=utf-8''%0A")), NULL},
    {"filename* that is no UTF-8", STR(FIELD("name=a; filename*=utf-8''%FF")), NULL},
};

static void
check_samples(const struct sample *s, size_t count)
{
    for (; count > 0; s++, count--) {
        check(s->what, CT, s->body, s->len, s->log ? RC_OK : RC_MALFORMED, s->log);
    }
}

static void
test_framing(void **state UNUSED)
{
    check_samples(framing, ARRAY_LEN(framing));
}

static void
test_headers(void **state UNUSED)
{
    check_samples(headers, ARRAY_LEN(headers));
}

/* As sent by the clients, byte for byte. */
static void
test_clients(void **state UNUSED)
{
#define REQUESTS "9f3c8a5e0f4d4f6e8d1b2c3a4f5e6d7c"
    static const char requests[] =
        "--" REQUESTS "\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n"
        "--" REQUESTS "\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.pdf\"\r\n"
        "Content-Type: application/pdf\r\n\r\n%PDF-1.7\r\n--" REQUESTS "--\r\n";
#define CURL "------------------------d74496d66958873e"
    static const char curl[] =
        "--" CURL "\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\\\"b.txt\"\r\n"
        "Content-Type: text/plain\r\n\r\nhi\n\r\n--" CURL "--\r\n";
#define WEBKIT "----WebKitFormBoundary7MA4YWxkTrZu0gW"
    static const char webkit[] =
        "--" WEBKIT "\r\nContent-Disposition: form-data; name=\"files\"; filename=\"\"\r\n"
        "Content-Type: application/octet-stream\r\n\r\n\r\n--" WEBKIT "--\r\n";
#define GECKO "---------------------------9051914041544843365972754266"
    static const char gecko[] =
        "--" GECKO "\r\nContent-Disposition: form-data; name=\"files\"; filename=\"%22.txt\"\r\n"
        "Content-Type: text/plain\r\n\r\nhi\r\n--" GECKO "--\r\n";
#define GO "4d5e1bd2f1f4c1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"
    static const char go[] =
        "--" GO "\r\nContent-Disposition: form-data; name=\"files\"; filename=\"x\"\r\n"
        "Content-Type: application/octet-stream\r\n\r\nhi\r\n--" GO "--\r\n";
#define UNDICI "----formdata-undici-012345678901"
    static const char undici[] =
        "--" UNDICI "\r\nContent-Disposition: form-data; name=\"files\"; filename=\"x\"\r\n"
        "Content-Type: text/plain\r\n\r\nhi\r\n--" UNDICI "--";
#define EMAIL "===============2769186123456789=="
    static const char email[] =
        "--" EMAIL "\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\nMIME-Version: 1.0\r\n"
        "Content-Transfer-Encoding: 7bit\r\nContent-Disposition: form-data; name=\"files\";\r\n"
        " filename*=utf-8''%E2%82%AC.txt\r\n\r\nhi\r\n--" EMAIL "--\r\n";
#define TYPE "multipart/form-data; boundary="

    check("requests", TYPE REQUESTS, STR(requests), RC_OK,
          "(note,-,-)hello;(files,a.pdf,application/pdf)%PDF-1.7;");
    check("curl", TYPE CURL, STR(curl), RC_OK, "(files,a\"b.txt,text/plain)hi\n;");
    check("WebKit", TYPE WEBKIT, STR(webkit), RC_OK, "(files,,application/octet-stream);");
    check("Gecko", TYPE GECKO, STR(gecko), RC_OK, "(files,\".txt,text/plain)hi;");
    check("Go", TYPE GO, STR(go), RC_OK, "(files,x,application/octet-stream)hi;");
    check("undici", TYPE UNDICI, STR(undici), RC_OK, "(files,x,text/plain)hi;");
    check("email", TYPE "\"" EMAIL "\"", STR(email), RC_OK,
          "(files,\xe2\x82\xac.txt,text/plain; charset=\"us-ascii\")hi;");
    check("email, no quotes", TYPE EMAIL, STR(email), RC_OK, NULL);
}

static void
test_content_type(void **state UNUSED)
{
    static const struct {
        const char *type;
        const char *boundary; /* NULL: MALFORMED */
    } cases[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"Multipart/Form-Data;BOUNDARY=\"abc\"", "abc"},
        {" multipart/form-data ; charset=utf-8 ; boundary=abc ;", "abc"},
        {"multipart/form-data; boundary=\"a b'()+_,-./:=?c\"", "a b'()+_,-./:=?c"},
        {"multipart/form-data; boundary="
         "1234567890123456789012345678901234567890123456789012345678901234567890",
         "1234567890123456789012345678901234567890123456789012345678901234567890"},
        {"multipart/form-data; boundary="
         "12345678901234567890123456789012345678901234567890123456789012345678901",
         NULL},
        {NULL, NULL},
        {"", NULL},
        {"multipart/form-data", NULL},
        {"multipart/form-data;", NULL},
        {"multipart/form-data boundary=abc", NULL},
        {"multipart/form-data; boundary", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"\"", NULL},
        {"multipart/form-data; boundary=\"abc ", NULL},
        {"multipart/form-data; boundary=\"abc \"", NULL},
        {"multipart/form-data; boundary=a*b", NULL},
        {"multipart/form-data; boundary=\"a\\\"b\"", NULL},
        {"multipart/form-data; boundary=\"a\r\nb\"", NULL},
        {"multipart/form-data; boundary=\xc3\xa9", NULL},
        {"multipart/form-data; boundary=a; boundary=a", NULL},
        {"multipart/form-data; boundary=a, multipart/form-data; boundary=a", NULL},
        {"multipart/mixed; boundary=abc", NULL},
        {"multipart/form-data2; boundary=abc", NULL},
        {"application/json", NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SCOPED_POOL(pool);
        const char *b = cases[i].boundary ? cases[i].boundary : "abc";
        char *body = mem_printf(pool, "--%s\r\n" FILE_A "\r\nhi\r\n--%s--\r\n", b, b);

        check(cases[i].type ? cases[i].type : "(none)", cases[i].type, body, strlen(body),
              cases[i].boundary ? RC_OK : RC_MALFORMED, cases[i].boundary ? "(files,a,-)hi;" : "");
    }
}

static char *
repeated(TALLOC_CTX *pool, const char *text, size_t times)
{
    size_t len = strlen(text);
    char *out = mem_zalloc(pool, len * times + 1);

    for (size_t i = 0; i < times; i++)
        memcpy(out + i * len, text, len);
    return out;
}

static void
check_text(const char *what, const char *body, enum rc want)
{
    check(what, CT, body, strlen(body), want, NULL);
}

static void
test_limits(void **state UNUSED)
{
    SCOPED_POOL(pool);
    const char *part = PART(FILE_A, "x");
    /* "X: " and two line ends, and FILE_A, are what the header block has besides. */
    size_t room = MULTIPART_HEAD_MAX - strlen(FILE_A) - strlen("X: \r\n\r\n");

    check_text("3 parts", mem_printf(pool, "%s" CLOSE, repeated(pool, part, 3)), RC_OK);
    check_text("4 parts", mem_printf(pool, "%s" CLOSE, repeated(pool, part, 4)), RC_TOO_LARGE);
    check_text("preamble", mem_printf(pool, "%s\r\n" CLOSE, repeated(pool, "x", 1024)), RC_OK);
    check_text("long preamble", mem_printf(pool, "%s\r\n" CLOSE, repeated(pool, "x", 1025)),
               RC_MALFORMED);
    check_text("preamble of line ends", mem_printf(pool, "%s" CLOSE, repeated(pool, "\r\n", 513)),
               RC_OK);
    check_text("epilogue", mem_printf(pool, CLOSE "%s", repeated(pool, "x", 1024)), RC_OK);
    check_text("long epilogue", mem_printf(pool, CLOSE "%s", repeated(pool, "x", 1025)),
               RC_MALFORMED);
    check_text("long padding", mem_printf(pool, "--b%s\r\n", repeated(pool, " ", 1025)),
               RC_MALFORMED);
    check_text(
        "16 headers",
        mem_printf(pool, "--b\r\n%s" FILE_A "\r\nx\r\n" CLOSE, repeated(pool, "A: b\r\n", 15)),
        RC_OK);
    check_text(
        "17 headers",
        mem_printf(pool, "--b\r\n%s" FILE_A "\r\nx\r\n" CLOSE, repeated(pool, "A: b\r\n", 16)),
        RC_MALFORMED);
    check_text(
        "8 KiB",
        mem_printf(pool, "--b\r\n" FILE_A "X: %s\r\n\r\nx\r\n" CLOSE, repeated(pool, "x", room)),
        RC_OK);
    check_text("over 8 KiB",
               mem_printf(pool, "--b\r\n" FILE_A "X: %s\r\n\r\nx\r\n" CLOSE,
                          repeated(pool, "x", room + 1)),
               RC_MALFORMED);
    check_text("folds count",
               mem_printf(pool, "--b\r\n" FILE_A "X: %s\r\n\r\nx\r\n" CLOSE,
                          repeated(pool, "\r\n ", room / 3 + 1)),
               RC_MALFORMED);
}

static void
test_event_errors(void **state UNUSED)
{
    const char *body = PART(FILE_A, "x") PART(FILE_A, "y") CLOSE;

    check_fails_at("begin", "begin", CT, body, strlen(body), RC_QUOTA, "(files,a,-)");
    check_fails_at("data", "data", CT, body, strlen(body), RC_QUOTA, "(files,a,-)x");
    check_fails_at("end", "end", CT, body, strlen(body), RC_QUOTA, "(files,a,-)x;");
}

/* Content of every length around the pieces' sizes, full of beginnings of delimiters. */
static void
test_content_lengths(void **state UNUSED)
{
    for (size_t n = 0; n < 64; n++) {
        SCOPED_POOL(pool);
        char *bytes = repeated(pool, "\r\n--\r\r\n-\n", 8);
        char *body;

        bytes[n] = '\0';
        body = mem_printf(pool, "--b\r\n" FILE_A "\r\n%s\r\n" CLOSE, bytes);
        check("lengths", CT, body, strlen(body), RC_OK, mem_printf(pool, "(files,a,-)%s;", bytes));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing),         cmocka_unit_test(test_headers),
        cmocka_unit_test(test_clients),         cmocka_unit_test(test_content_type),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_event_errors),
        cmocka_unit_test(test_content_lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
