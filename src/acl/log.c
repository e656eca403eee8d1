/* log: see log.h. */
#include "acl/log.h"

#include "base/list.h"
#include "base/mem.h"

enum { SAME_WITHIN_MS = 60 * 1000, LOOK_BACK = 10, OBJECT_MAX = 4096 };

struct entry {
    struct list node;
    int64_t count;
    enum acl_reason reason;
    enum acl_context context;
    struct buf object;
    struct buf user;
    struct buf client;
    int64_t at_ms;
};

struct acl_log {
    struct list entries; /* the latest first */
    size_t len;
};

struct acl_log *acl_log_new(void)
{
    struct acl_log *l = mem_zalloc(sizeof(*l));
    list_init(&l->entries);
    return l;
}

static void entry_free(struct acl_log *l, struct entry *e)
{
    list_remove(&e->node);
    l->len--;
    buf_release(&e->object);
    buf_release(&e->user);
    buf_release(&e->client);
    mem_free(e);
}

static void trim(struct acl_log *l, size_t max_len)
{
    while (l->len > max_len)
        entry_free(l, LIST_ITEM(l->entries.prev, struct entry, node));
}

void acl_log_reset(struct acl_log *l)
{
    trim(l, 0);
}

void acl_log_free(struct acl_log *l)
{
    if (l == NULL)
        return;
    trim(l, 0);
    mem_free(l);
}

/* A peer chooses the key: what is kept of it is bounded. */
static struct bytes cut(struct bytes object)
{
    return bytes_of(object.data, object.len < OBJECT_MAX ? object.len : OBJECT_MAX);
}

static bool is_same(const struct entry *e, const struct acl_refusal *f, int64_t now_ms)
{
    return e->reason == f->reason && e->context == f->context &&
           now_ms - e->at_ms <= SAME_WITHIN_MS && bytes_eq(buf_bytes(&e->object), cut(f->object)) &&
           bytes_eq(buf_bytes(&e->user), f->user);
}

static struct entry *find(struct acl_log *l, const struct acl_refusal *f, int64_t now_ms)
{
    int seen = 0;
    LIST_EACH(it, &l->entries)
    {
        struct entry *e = LIST_ITEM(it, struct entry, node);
        if (seen++ == LOOK_BACK)
            break;
        if (is_same(e, f, now_ms))
            return e;
    }
    return NULL;
}

static struct entry *make(struct acl_log *l, const struct acl_refusal *f)
{
    struct entry *e = mem_zalloc(sizeof(*e));
    e->reason = f->reason;
    e->context = f->context;
    buf_init(&e->object);
    buf_init(&e->user);
    buf_init(&e->client);
    buf_append_bytes(&e->object, cut(f->object));
    buf_append_bytes(&e->user, f->user);
    list_init(&e->node);
    l->len++;
    return e;
}

void acl_log_note(struct acl_log *l, const struct acl_refusal *f, int64_t now_ms, size_t max_len)
{
    if (max_len == 0) {
        trim(l, 0);
        return;
    }
    struct entry *e = find(l, f, now_ms);
    if (e == NULL)
        e = make(l, f);
    e->count++;
    e->at_ms = now_ms;
    e->client.len = 0;
    buf_append_bytes(&e->client, f->client);
    list_remove(&e->node);
    list_push_front(&l->entries, &e->node);
    trim(l, max_len);
}

static void reply_entry(struct reply *r, const struct entry *e, int64_t now_ms)
{
    static const char *const reasons[] = {"command", "key", "channel", "auth"};
    reply_map(r, 7);
    reply_bulk_cstr(r, "count");
    reply_int(r, e->count);
    reply_bulk_cstr(r, "reason");
    reply_bulk_cstr(r, reasons[e->reason]);
    reply_bulk_cstr(r, "context");
    reply_bulk_cstr(r, e->context == ACL_IN_MULTI    ? "multi"
                       : e->context == ACL_IN_SCRIPT ? "lua"
                                                     : "toplevel");
    reply_bulk_cstr(r, "object");
    reply_bulk(r, buf_bytes(&e->object));
    reply_bulk_cstr(r, "username");
    reply_bulk(r, buf_bytes(&e->user));
    reply_bulk_cstr(r, "age-seconds");
    reply_double(r, (double)(now_ms - e->at_ms) / 1000);
    reply_bulk_cstr(r, "client-info");
    reply_bulk(r, buf_bytes(&e->client));
}

void acl_log_reply(const struct acl_log *l, size_t count, int64_t now_ms, struct reply *r)
{
    if (count > l->len)
        count = l->len;
    reply_array(r, count);
    LIST_EACH(it, (struct list *)&l->entries)
    {
        if (count-- == 0)
            break;
        reply_entry(r, LIST_ITEM(it, struct entry, node), now_ms);
    }
}
