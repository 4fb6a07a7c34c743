// SPDX-License-Identifier: Apache-2.0
/* Stands in for libFuzzer where a target is a plain test: tries each file of one directory. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define INPUT_MAX ((size_t)MIB(1))

static void
try_file(const char *dir, const char *name)
{
    SCOPED_POOL(pool);
    char *path = mem_printf(pool, "%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    uint8_t *all = mem_zalloc(pool, INPUT_MAX);
    uint8_t *exact;
    size_t n;

    BUG_ON(!file);
    n = fread(all, 1, INPUT_MAX, file);
    BUG_ON(ferror(file) || !feof(file));
    (void)fclose(file);
    /* of its own size, so that a sanitizer sees what reads past its end */
    exact = malloc(n ? n : 1);
    BUG_ON(!exact);
    memcpy(exact, all, n);
    (void)printf("%s\n", path);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

int
main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    size_t tried = 0;

    if (!dir) {
        (void)fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        try_file(argv[1], e->d_name);
        tried++;
    }
    (void)closedir(dir);
    return tried ? 0 : 1;
}
