// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static enum log_level threshold = LOG_INFO_LEVEL;

void
log_set_level(enum log_level level)
{
    threshold = level;
}

void
log_line(enum log_level level, const char *fmt, ...)
{
    char line[1024], when[CLOCK_TEXT_LEN];
    va_list ap;
    int n, m;

    if (level < threshold)
        return;
    clock_format(clock_wall_ms(), when);
    n = snprintf(line, sizeof(line), "%s %-5s ", when, level_names[level]);
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n += m < 0 ? 0 : m;
    if (n > (int)sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    for (int i = 0; i < n; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nobody to tell */
}
