/* journal_make DIR N [STAY]: appends N writes (keys session:0 ...) to the journal of a folder, each
 * a group of its own, and prints its id. With STAY it goes on holding the lock until stdin ends. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "store/journal/journal.h"

struct maker {
    struct loop *loop;
    struct journal *j;
    int left;
    int next;
    bool waiting;
};

static void append(struct maker *m)
{
    char key[32];
    int n = snprintf(key, sizeof(key), "session:%d", m->next++);
    struct journal_item item = {.key = {key, (size_t)n},
                                .live = true,
                                .value = {"value", 5},
                                .version = m->next,
                                .value_version = m->next,
                                .expires_us = INT64_MAX,
                                .base = BASE_ABSENT};
    struct journal_record r = {.kind = JOURNAL_WRITE, .items = &item, .nitems = 1};
    if (journal_append(m->j, &r) == 0)
        exit(1);
    m->waiting = true;
    m->left--;
}

static bool on_turn_end(void *arg)
{
    struct maker *m = arg;
    if (!m->waiting && m->left == 0)
        loop_stop(m->loop);
    else if (!m->waiting)
        append(m);
    journal_flush(m->j);
    return false;
}

static void on_record(void *arg, const struct journal_record *r)
{
    struct maker *m = arg;
    (void)r;
    m->next++;
}

static void on_durable(void *arg, uint64_t position)
{
    struct maker *m = arg;
    (void)position;
    m->waiting = false;
}

static void on_failed(void *arg, const char *why)
{
    (void)arg;
    fprintf(stderr, "%s\n", why);
    exit(1);
}

int main(int argc, char **argv)
{
    struct maker m = {0};
    struct buf error;
    buf_init(&error);
    if (argc < 3)
        return 2;
    hash_seed();
    m.loop = loop_new();
    m.left = (int)strtol(argv[2], NULL, 10);
    struct journal_options o = {.dir = argv[1], .instance_name = "made"};
    struct journal_events e = {.record = on_record, .durable = on_durable, .failed = on_failed};
    m.j = journal_open(m.loop, &o, &e, &m, &error);
    if (m.j == NULL) {
        fprintf(stderr, "%s\n", buf_cstr(&error));
        loop_free(m.loop);
        buf_release(&error);
        return 1;
    }
    loop_run(m.loop, on_turn_end, &m);
    printf("%s\n", journal_id(m.j));
    fflush(stdout);
    if (argc > 3) {
        char c;
        while (read(STDIN_FILENO, &c, 1) > 0)
            ;
    }
    journal_close(m.j);
    loop_free(m.loop);
    buf_release(&error);
    return 0;
}
