/* What the files of store_client share. */
#ifndef RESPGRES_TESTS_STORE_CLIENT_H
#define RESPGRES_TESTS_STORE_CLIENT_H

#include "store/store.h"

enum { MAX_WORDS = 20000 };

void say(const char *format, ...) PRINTF_LIKE(1, 2);
size_t split(char *line, char **words, size_t max);
/* Allocated; the caller frees. */
char *take_bytes(const char *word, size_t *len);
/* A reference, or NULL for "-". */
struct value *take_value(const char *word);
int64_t take_number(const char *word);
const char *result_name(enum store_result r);

/* ---- store_client_merge.c ---- */

void merge_cmd_item(struct store *s, char **w, size_t n);
void merge_cmd_merge(struct store *s, char **w, size_t n);
void merge_cmd_flush(struct store *s, char **w, size_t n);
void merge_cmd_merged(struct store *s, char **w, size_t n);
void merge_forget(void);

#endif
