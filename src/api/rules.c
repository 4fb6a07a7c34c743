// SPDX-License-Identifier: Apache-2.0
#include "api/rules.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "core/docs_library.h"
#include "core/linking.h"
#include "core/media_type.h"
#include "core/path.h"

const char *const rule_entity_types[] = {"contact", "company", "deal", "event",
                                         "matter",  "task",    NULL};
const char *const rule_tiers[] = {"standard", "high", "unmetered", NULL};

const char *
rule_media_type(TALLOC_CTX *pool, const char *in, const char **ret)
{
    char *type;

    if (!media_type_normalise(pool, in, &type))
        return "must be a media type like application/pdf";
    *ret = type;
    return NULL;
}

const char *
rule_storage_path(TALLOC_CTX *pool, const char *in, const char **ret)
{
    const char *why = NULL;

    (void)pool;
    *ret = in;
    return path_storage_valid(in, &why) ? NULL : why;
}

const char *
rule_folder(TALLOC_CTX *pool, const char *in, const char **ret)
{
    const char *why = NULL;
    char *folder;

    if (!path_folder_normalise(pool, in, &folder, &why))
        return why;
    *ret = folder;
    return NULL;
}

static const char *
keep_if(bool good, const char *in, const char **ret, const char *why)
{
    *ret = in;
    return good ? NULL : why;
}

const char *
rule_sha256(TALLOC_CTX *pool, const char *in, const char **ret)
{
    uint8_t hash[SHA256_LEN];

    (void)pool;
    return keep_if(crypto_unhex(in, hash, SHA256_LEN), in, ret, "must be 64 hexadecimal digits");
}

const char *
rule_entity_id(TALLOC_CTX *pool, const char *in, const char **ret)
{
    (void)pool;
    return keep_if(linking_id_valid(in), in, ret,
                   "must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -");
}

const char *
rule_time(TALLOC_CTX *pool, const char *in, const char **ret)
{
    int64_t ms;

    (void)pool;
    return keep_if(clock_parse(in, &ms), in, ret, "must be an RFC 3339 time or date");
}

const char *
rule_docs_id(TALLOC_CTX *pool, const char *in, const char **ret)
{
    (void)pool;
    return keep_if(docs_id_valid(in), in, ret, "must be 20 to 32 of the characters 0-9 a-z");
}

const char *
rule_docs_type(TALLOC_CTX *pool, const char *in, const char **ret)
{
    (void)pool;
    return keep_if(docs_type_valid(in), in, ret,
                   "must begin with a-z and hold up to 64 of a-z 0-9 _ -");
}
