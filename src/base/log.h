/* log: one `key=value` line per event on stderr. Values with blanks are quoted. Never a session's
 * value, a password or a whole key (see key_log_name). */
#ifndef RESPGRES_BASE_LOG_H
#define RESPGRES_BASE_LOG_H

#include "base/check.h"

enum log_level { LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* `event` is a short-dashed-name; `fields` a printf format that yields `key=value ...` or "".
 * LOG_QUOTE below quotes a free-text value. */
void log_event(enum log_level level, const char *event, const char *fields, ...)
    PRINTF_LIKE(3, 4);

enum { LOG_QUOTE_SIZE = 512 };

/* `text` as a double-quoted value on one line, cut at LOG_QUOTE_SIZE; returns `out`. */
const char *log_quote(const char *text, char out[LOG_QUOTE_SIZE]);

#endif
