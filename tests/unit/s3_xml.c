// SPDX-License-Identifier: Apache-2.0
/* blob/s3/xml: the answers of a store, whole and otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "blob/s3/xml.h"

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static const char objects[] =
    HEAD "<ListBucketResult" NS "><Name>b</Name><Prefix>p/</Prefix><MaxKeys>1000</MaxKeys>"
         "<IsTruncated>true</IsTruncated><NextContinuationToken>to/ken+1=</NextContinuationToken>"
         "<Contents><Key>p/a &amp; b</Key><LastModified>2013-05-24T00:00:01.123Z</LastModified>"
         "<ETag>&quot;x&quot;</ETag><Size>12</Size><StorageClass>STANDARD</StorageClass>"
         "<Owner><ID>1</ID><DisplayName>Key</DisplayName></Owner></Contents>"
         "<Contents><Key>c</Key><LastModified>2013-05-24T00:00:02Z</LastModified><Size>0</Size>"
         "</Contents><KeyCount>2</KeyCount></ListBucketResult>";

static void
test_objects(void **state)
{
    SCOPED_POOL(pool);
    struct s3_list list;

    (void)state;
    assert_true(s3_xml_objects(pool, objects, strlen(objects), &list));
    assert_int_equal(list.n, 2);
    assert_true(list.more);
    assert_string_equal(list.token, "to/ken+1=");
    assert_string_equal(list.entries[0].key, "p/a & b");
    assert_int_equal(list.entries[0].size, 12);
    assert_int_equal(list.entries[0].time_ms, 1369353601000);
    assert_string_equal(list.entries[1].key, "c");
    assert_int_equal(list.entries[1].size, 0);
    /* the beginning of an answer is no answer */
    for (size_t len = 0; len < strlen(objects); len++)
        assert_false(s3_xml_objects(pool, objects, len, &list));
}

static void
test_uploads(void **state)
{
    static const char text[] = HEAD
        "<ListMultipartUploadsResult" NS "><Bucket>b</Bucket><NextKeyMarker>p/k</NextKeyMarker>"
        "<NextUploadIdMarker>2~x</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
        "<Upload><Key>p/k</Key><UploadId>2~x</UploadId><Initiator><ID>i</ID></Initiator>"
        "<Initiated>2013-05-24T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>";
    SCOPED_POOL(pool);
    struct s3_list list;

    (void)state;
    assert_true(s3_xml_uploads(pool, text, strlen(text), &list));
    assert_int_equal(list.n, 1);
    assert_true(list.more);
    assert_string_equal(list.next_key, "p/k");
    assert_string_equal(list.next_upload, "2~x");
    assert_string_equal(list.entries[0].key, "p/k");
    assert_string_equal(list.entries[0].upload_id, "2~x");
    assert_int_equal(list.entries[0].time_ms, 1369353600000);
    assert_false(s3_xml_objects(pool, text, strlen(text), &list));
}

/* Lists that must not be taken for one: an object would be missed, or the walk would not end. */
static const char *const wrong_lists[] = {
    "",
    "hello",
    HEAD,
    "<Error><Code>InternalError</Code></Error>",
    "<ListBucketResult></ListBucketResult><ListBucketResult/>",
    "<ListMultipartUploadsResult/>",
    "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
    "<ListBucketResult><Contents/></ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key><LastModified>2013-05-24T00:00:01Z</LastModified>"
    "</Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key><LastModified>2013-05-24T00:00:01Z</LastModified>"
    "<Size>-1</Size></Contents></ListBucketResult>",
    "<ListBucketResult><Contents><Key>a</Key><LastModified>yesterday</LastModified>"
    "<Size>1</Size></Contents></ListBucketResult>",
    "<!DOCTYPE x [<!ENTITY e \"eeee\">]><ListBucketResult></ListBucketResult>",
    "<ListBucketResult><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></ListBucketResult>",
    "<ListBucketResult><averyveryveryveryveryveryveryverylongname/></ListBucketResult>",
};

static void
test_wrong_lists(void **state)
{
    static const char empty[] = "<ListBucketResult><IsTruncated>false</IsTruncated>"
                                "</ListBucketResult>";
    SCOPED_POOL(pool);
    struct s3_list list;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong_lists); i++) {
        if (s3_xml_objects(pool, wrong_lists[i], strlen(wrong_lists[i]), &list))
            fail_msg("taken: %s", wrong_lists[i]);
    }
    assert_true(s3_xml_objects(pool, empty, strlen(empty), &list));
    assert_int_equal(list.n, 0);
    assert_false(list.more);
}

static void
test_too_much(void **state)
{
    SCOPED_POOL(pool);
    struct s3_list list;
    struct buf b;

    (void)state;
    buf_init(&b, pool, (size_t)MIB(1));
    buf_puts(&b, "<ListBucketResult>");
    for (int i = 0; i < 1001; i++)
        buf_puts(&b, "<Contents><Key>a</Key><LastModified>2013-05-24</LastModified><Size>1</Size>"
                     "</Contents>");
    buf_puts(&b, "</ListBucketResult>");
    assert_false(s3_xml_objects(pool, b.bytes, b.len, &list));
    b.len = 0;
    buf_puts(&b, "<ListBucketResult><Name>");
    for (int i = 0; i < 4097; i++)
        buf_puts(&b, "a");
    buf_puts(&b, "</Name></ListBucketResult>");
    assert_false(s3_xml_objects(pool, b.bytes, b.len, &list));
}

static void
test_error(void **state)
{
    static const char text[] = HEAD "<Error><Code>SlowDown</Code><Message>Please &lt;wait&gt;"
                                    "</Message><Details><Code>Other</Code></Details></Error>";
    struct s3_error e;

    (void)state;
    s3_xml_error(text, strlen(text), &e);
    assert_string_equal(e.code, "SlowDown");
    assert_string_equal(e.message, "Please <wait>");
    s3_xml_error(text, strlen(text) - 1, &e);
    assert_string_equal(e.code, "");
    s3_xml_error("<html><Code>SlowDown</Code></html>", 34, &e);
    assert_string_equal(e.code, "");
    s3_xml_error("", 0, &e);
    assert_string_equal(e.code, "");
}

static void
test_child(void **state)
{
    static const char text[] = HEAD "<CopyObjectResult" NS "><LastModified>x</LastModified>"
                                    "<ETag>&#34;abc&#34;</ETag></CopyObjectResult>";
    SCOPED_POOL(pool);
    const char *got = NULL;

    (void)state;
    assert_true(s3_xml_child(pool, text, strlen(text), "CopyObjectResult", "ETag", &got));
    assert_string_equal(got, "\"abc\"");
    assert_true(s3_xml_child(pool, text, strlen(text), "CopyObjectResult", "None", &got));
    assert_string_equal(got, "");
    assert_false(s3_xml_child(pool, text, strlen(text), "CopyPartResult", "ETag", &got));
    assert_false(s3_xml_child(pool, text, strlen(text) - 1, "CopyObjectResult", "ETag", &got));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),     cmocka_unit_test(test_uploads),
        cmocka_unit_test(test_wrong_lists), cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_error),       cmocka_unit_test(test_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
