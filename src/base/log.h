// SPDX-License-Identifier: Apache-2.0
/*
 * log: one line a record on standard error: time, level, text. Only the edges log (http/server.c,
 * jobs, cmd); libraries return errors. Control bytes in the text come out as '?'. Thread-safe.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H
#include "base/base.h"

enum log_level { LOG_DEBUG_LEVEL, LOG_INFO_LEVEL, LOG_WARN_LEVEL, LOG_ERROR_LEVEL };

/* Lines below `level` are dropped. Set once, before threads start. */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_debug(...) log_line(LOG_DEBUG_LEVEL, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO_LEVEL, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN_LEVEL, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR_LEVEL, __VA_ARGS__)

#endif
