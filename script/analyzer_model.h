// SPDX-License-Identifier: Apache-2.0
/*
 * analyzer_model: what the static analyzer cannot see from one file: the err_*() functions return
 * the code they are given, so a path that failed is a path that returned non-zero.
 * Only `script/lint tidy` and `script/lint analyze` include it.
 */
#ifndef SCRIPT_ANALYZER_MODEL_H
#define SCRIPT_ANALYZER_MODEL_H
#include "base/err.h"

#define err_set(err, code, ...) ((err_set)(err, code, __VA_ARGS__), (code))
#define err_field(err, code, ...) ((err_field)(err, code, __VA_ARGS__), (code))
#define err_errno(err, code, what) ((err_errno)(err, code, what), (code))

#endif
