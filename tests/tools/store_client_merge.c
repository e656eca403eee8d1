/* The commands of store_client that merge: items are gathered until a batch is sent. */
#include "store_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "store/postgres/postgres.h"

struct one_merge {
    struct merge_batch batch;
    struct merge_flush flush;
    char journal[40];
    char instance[64];
};

static struct merge_item *gathered;
static size_t ngathered;
static size_t cap;

static enum journal_base take_base(const char *word)
{
    return word[0] == 'u' ? BASE_UNKNOWN : word[0] == 'a' ? BASE_ABSENT : BASE_LIVE;
}

void merge_cmd_item(struct store *s, char **w, size_t n)
{
    size_t len;
    (void)s;
    (void)n;
    if (ngathered == cap) {
        cap = cap == 0 ? 1024 : cap * 2;
        gathered = mem_realloc(gathered, cap * sizeof(*gathered));
    }
    char *key = take_bytes(w[2], &len);
    gathered[ngathered++] =
        (struct merge_item){.db = (int)take_number(w[1]),
                            .key = bytes_of(key, len),
                            .value = take_value(w[3]),
                            .version = take_number(w[4]),
                            .value_version = take_number(w[5]),
                            .expires_us = w[6][0] == 'n' ? STORE_NEVER : take_number(w[6]),
                            .base = take_base(w[7]),
                            .base_version = take_number(w[8]),
                            .maybe_version = take_number(w[9]),
                            .group = (int32_t)take_number(w[10])};
}

static void free_items(struct merge_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free((char *)items[i].key.data);
        value_unref(items[i].value);
    }
    mem_free(items);
}

void merge_forget(void)
{
    free_items(gathered, ngathered);
    gathered = NULL;
    ngathered = 0;
}

static void on_merged(struct merge_batch *b)
{
    static const char *const names[] = {"applied", "same", "lost", "dropped"};
    printf("merge %s %" PRId64, result_name(b->result), b->replaced);
    for (size_t i = 0; b->result == STORE_OK && i < b->n; i++)
        printf(" %s %" PRId64, names[b->items[i].outcome], b->items[i].row_version);
    say(" %s\n", b->error);
    free_items(b->items, b->n);
    mem_free(b);
}

static struct one_merge *batch_new(char **w)
{
    struct one_merge *m = mem_zalloc(sizeof(*m));
    snprintf(m->journal, sizeof(m->journal), "%s", w[1]);
    snprintf(m->instance, sizeof(m->instance), "%s", w[2]);
    m->batch = (struct merge_batch){.journal = m->journal,
                                    .instance = m->instance,
                                    .number = (uint64_t)take_number(w[3]),
                                    .done = on_merged};
    return m;
}

void merge_cmd_merge(struct store *s, char **w, size_t n)
{
    struct one_merge *m = batch_new(w);
    (void)n;
    m->batch.items = gathered;
    m->batch.n = ngathered;
    gathered = NULL;
    ngathered = 0;
    cap = 0;
    postgres_merge(s, &m->batch);
}

void merge_cmd_flush(struct store *s, char **w, size_t n)
{
    struct one_merge *m = batch_new(w);
    (void)n;
    m->flush = (struct merge_flush){(int)take_number(w[4]), take_number(w[5])};
    m->batch.flush = &m->flush;
    postgres_merge(s, &m->batch);
}

static void on_number(void *arg, bool ok, uint64_t number)
{
    (void)arg;
    say("merged %s %" PRIu64 "\n", ok ? "yes" : "no", number);
}

void merge_cmd_merged(struct store *s, char **w, size_t n)
{
    (void)n;
    postgres_merged(s, w[1], on_number, NULL);
}
