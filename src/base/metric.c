// SPDX-License-Identifier: Apache-2.0
#include "base/metric.h"

struct row {
    const char *kind;
    const char *prom;
    const char *help;
};

static const struct row rows[] = {
#define METRIC(name, kind, prom, help) {#kind, prom, help},
#include "base/metrics.def"
#undef METRIC
};

static int
family_len(const char *prom)
{
    return (int)strcspn(prom, "{");
}

static bool
same_family(const struct row *a, const struct row *b)
{
    int n = family_len(a->prom);

    return n == family_len(b->prom) && memcmp(a->prom, b->prom, (size_t)n) == 0;
}

void
metric_print(struct metrics *m, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        int n = family_len(r->prom);

        if (i == 0 || !same_family(r, r - 1))
            buf_printf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", n, r->prom, r->help, n, r->prom,
                       r->kind);
        buf_printf(out, "%s %lld\n", r->prom,
                   (long long)atomic_load_explicit(&m->value[i], memory_order_relaxed));
    }
}
