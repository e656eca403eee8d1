/* check: assertions that stay on. For our own bugs only, never for input (STYLE: rule 16). */
#ifndef RESPGRES_BASE_CHECK_H
#define RESPGRES_BASE_CHECK_H

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Writes one line to stderr and aborts. */
_Noreturn void check_failed(const char *cond, const char *file, int line);

#endif
