// SPDX-License-Identifier: Apache-2.0
#include "blob/name.h"

#include "base/text.h"

void
name_of(const struct blob_key *key, char out[NAME_HEX + 1])
{
    uint8_t workspace[WORKSPACE_HEX / 2];

    for (int i = 0; i < WORKSPACE_HEX / 2; i++)
        workspace[i] = (uint8_t)((uint64_t)key->workspace >> (56 - 8 * i));
    crypto_hex(workspace, sizeof(workspace), out);
    out[WORKSPACE_HEX] = '-';
    crypto_hex(key->id.b, sizeof(key->id.b), out + WORKSPACE_HEX + 1);
}

bool
name_hex(const char *text, uint8_t *out, size_t len)
{
    if (strspn(text, "0123456789abcdef") < 2 * len)
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(text_hex(text[2 * i]) << 4 | text_hex(text[2 * i + 1]));
    return true;
}

bool
name_parse(const char *name, struct blob_key *ret)
{
    uint8_t workspace[WORKSPACE_HEX / 2];
    uint64_t n = 0;

    if (strlen(name) != NAME_HEX || !name_hex(name, workspace, sizeof(workspace)) ||
        name[WORKSPACE_HEX] != '-' ||
        !name_hex(name + WORKSPACE_HEX + 1, ret->id.b, sizeof(ret->id.b)))
        return false;
    for (int i = 0; i < WORKSPACE_HEX / 2; i++)
        n = n << 8 | workspace[i];
    ret->workspace = (int64_t)n;
    return n <= INT64_MAX;
}

void
name_path(const struct blob_key *key, char out[NAME_PATH_LEN + 1])
{
    char ab[5], name[NAME_HEX + 1];

    crypto_hex(key->id.b + 14, 2, ab);
    name_of(key, name);
    (void)snprintf(out, NAME_PATH_LEN + 1, NAME_FOLDER "%.2s/%.2s/%s", ab, ab + 2, name);
}

bool
name_parse_path(const char *path, struct blob_key *ret)
{
    char again[NAME_PATH_LEN + 1];

    if (strlen(path) != NAME_PATH_LEN || !name_parse(path + NAME_PATH_LEN - NAME_HEX, ret))
        return false;
    name_path(ret, again);
    return streq(again, path);
}
