#include "command/event.h"

#include "base/mem.h"
#include "command/handler.h"

void events_note(struct events *ev, unsigned class, const char *name, const struct key *k)
{
    if ((ev->wanted & class) == 0)
        return;
    if (ev->n == ev->cap) {
        ev->cap = ev->cap == 0 ? 4 : ev->cap * 2;
        ev->list = mem_realloc(ev->list, ev->cap * sizeof(*ev->list));
    }
    ev->list[ev->n++] = (struct event){.name = name, .key = k->name, .db = k->db};
}

void events_note_first(struct events *ev, unsigned class, const char *name, const struct key *k)
{
    size_t before = ev->n;
    events_note(ev, class, name, k);
    if (ev->n == before || before == 0)
        return;
    struct event last = ev->list[before];
    memmove(ev->list + 1, ev->list, before * sizeof(*ev->list));
    ev->list[0] = last;
}

void events_release(struct events *ev)
{
    mem_free(ev->list);
    *ev = (struct events){0};
}

void key_looked_up(const struct command_ctx *ctx, int i, bool found)
{
    struct lookups *l = ctx->lookups;
    struct events *ev = ctx->events;
    if (l != NULL && i >= l->looked) {
        l->looked = i + 1;
        lookups_count(l, found);
    }
    if (found || ev == NULL || i < ev->missed)
        return;
    ev->missed = i + 1;
    events_note(ev, EVENT_KEY_MISS, "keymiss", ctx->keys[i]);
}

void key_new_event(struct command_ctx *ctx, int i)
{
    if (ctx->events != NULL && (ctx->events->wanted & EVENT_NEW) != 0 && key_find(ctx, i) == NULL)
        events_note(ctx->events, EVENT_NEW, "new", ctx->keys[i]);
}
