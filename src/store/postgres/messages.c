/* messages: what is published, to other instances and from them. It travels on the link that
 * listens (listen.c), which comes for this alone, too.
 *
 * Out: what is published gathers in a queue while the link is busy, and goes out in one statement
 * with many NOTIFYs: each commit of a NOTIFY holds a lock of the whole server. A message that
 * NOTIFY cannot carry goes into the table `messages`, and the NOTIFY says where. While nobody else
 * subscribes, only that is asked, and what had been published before the question is forgotten.
 *
 * Fenced: before a connection publishes, it raises the epoch in a row of `lanes`, which each
 * statement looks at and locks. One that the connection before has left under way has committed by
 * then, or does nothing: it cannot come out behind what is published later.
 *
 * At most once: what was in flight when the connection went, or found that for pg-timeout nothing could be
 * sent, is lost and counted. One that is long takes long: those behind it wait, and neither its length nor
 * its time is theirs. Nothing here is worth a wait for the disk: the link commits
 * asynchronously.
 *
 * In: packets come in the order in which their transactions committed. Our own come back, too, and
 * are known by their sender. A reference is fetched; what came behind it waits, so that the order
 * stays.
 *
 * Who cannot LISTEN (behind a pooler in transaction mode) polls: publishers put their packets into
 * the table as well while such an instance subscribes. Their transactions take turns then, so that
 * the rows' ids become visible in their order. Who polls keeps a row of its own there, a mark. A
 * crash of PostgreSQL empties the table, and ids begin anew (as of version 15); a pooler hides that
 * the connection was lost. The mark has gone then, and the instance registers again. */
#include "store/postgres/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/page.h"
#include "store/postgres/packet.h"

enum {
    BATCH_BYTES = 1024 * 1024,
    BATCH_MESSAGES = 10000,
    QUEUE_FULL = 4 * 1024 * 1024,     /* whoever can wait should */
    QUEUE_BYTES = 64 * 1024 * 1024,   /* of messages, and of large ones; from there on dropped */
    FETCH_BYTES = 16 * 1024 * 1024,   /* of bodies at a time, the last one aside */
    FETCH_REFERENCES = 4096,          /* at a time */
    WAITING_BYTES = 64 * 1024 * 1024, /* behind a body that is being fetched; beyond it dropped */
    POLL_US = 100 * 1000,
    POLL_ROWS = 1000,
    MARK_US = 20 * 1000 * 1000, /* less than a minute, when marks are swept */
    COMPLAIN_US = 10 * 1000 * 1000,
    LANE = -1, /* of our row in `lanes`; those that commit have theirs from 0 */
};

struct outgoing {
    struct list node;
    int64_t at_us;
    bool shard;
    size_t channel_len;
    size_t len;
    char data[]; /* channel, then message */
};

/* Behind a reference that is being fetched. */
struct incoming {
    struct list node;
    bool is_reference;
    uint64_t sender;
    uint64_t number;
    uint64_t size; /* as it was said, at least 1; 0: it has been asked for */
    bool known;    /* its frame is here, or will never be (then it is empty) */
    size_t memory;
    struct buf frame;
};

static struct messaging *of(struct link *k)
{
    return &k->store->messaging;
}

static struct bytes channel_of(const struct outgoing *o)
{
    return bytes_of(o->data, o->channel_len);
}

static struct bytes text_of(const struct outgoing *o)
{
    return bytes_of(o->data + o->channel_len, o->len - o->channel_len);
}

static bool is_large(size_t len)
{
    return len > BATCH_BYTES;
}

/* It has come to the queue, or left it. */
static void count(struct messaging *m, const struct outgoing *o)
{
    m->queued++;
    m->queue_bytes += o->len;
    m->large_bytes += is_large(o->len) ? o->len : 0;
}

static void uncount(struct messaging *m, const struct outgoing *o)
{
    m->queued--;
    m->queue_bytes -= o->len;
    m->large_bytes -= is_large(o->len) ? o->len : 0;
}

/* ---- life ---- */

void messages_init(struct pg_store *s)
{
    struct messaging *m = &s->messaging;
    random_bytes(&m->sender, sizeof(m->sender));
    list_init(&m->queue);
    list_init(&m->sent);
    list_init(&m->waiting);
}

/* The first n of a list; the number that there were. */
static size_t forget(struct messaging *m, struct list *from, size_t n)
{
    size_t forgotten = 0;
    while (forgotten < n && !list_empty(from)) {
        struct outgoing *o = LIST_ITEM(from->next, struct outgoing, node);
        list_remove(&o->node);
        if (from == &m->queue)
            uncount(m, o);
        mem_free(o);
        forgotten++;
    }
    return forgotten;
}

static void free_incoming(struct messaging *m, struct incoming *in)
{
    list_remove(&in->node);
    m->waiting_bytes -= in->memory;
    buf_release(&in->frame);
    mem_free(in);
}

void messages_free(struct pg_store *s)
{
    struct messaging *m = &s->messaging;
    forget(m, &m->queue, SIZE_MAX);
    forget(m, &m->sent, SIZE_MAX);
    LIST_EACH(it, &m->waiting)
    free_incoming(m, LIST_ITEM(it, struct incoming, node));
    buf_release(&m->raw);
    buf_release(&m->raw_in);
    buf_release(&m->text);
}

bool messages_are_on_the_way(const struct pg_store *s)
{
    return !list_empty(&s->messaging.queue) || !list_empty(&s->messaging.sent);
}

/* A statement that is under way ends in time, one way or the other. */
enum store_room messages_room(const struct pg_store *s)
{
    const struct link *k = s->listening.link;
    if (s->messaging.queue_bytes <= QUEUE_FULL)
        return STORE_ROOM;
    return s->state == STORE_ONLINE && k->usable && lane_state(k->lane) == LANE_BUSY
               ? STORE_NO_ROOM_YET
               : STORE_NO_ROOM;
}

/* The connection is gone. References can still be fetched by the next one. */
void messages_lost(struct pg_store *s)
{
    struct messaging *m = &s->messaging;
    if (!list_empty(&m->sent)) /* those behind it have waited for it until now */
        m->moved_us = clock_mono_us();
    m->lost += forget(m, &m->sent, SIZE_MAX);
    if (s->stopping || s->state != STORE_ONLINE)
        m->lost += forget(m, &m->queue, SIZE_MAX);
    m->fetching = false;
    m->epoch = 0;
    m->marking = 0;
}

/* ---- out ---- */

void messages_publish(struct pg_store *s, bool shard, struct bytes channel, struct bytes text)
{
    struct messaging *m = &s->messaging;
    size_t len = channel.len + text.len;
    size_t like_it = is_large(len) ? m->large_bytes : m->queue_bytes - m->large_bytes;
    if (s->stopping || s->state != STORE_ONLINE || len > UINT32_MAX / 2 || like_it >= QUEUE_BYTES) {
        m->lost++;
        return;
    }
    struct outgoing *o = mem_alloc(sizeof(*o) + len);
    *o = (struct outgoing){
        .at_us = clock_mono_us(), .shard = shard, .channel_len = channel.len, .len = len};
    if (channel.len > 0)
        memcpy(o->data, channel.data, channel.len);
    if (text.len > 0)
        memcpy(o->data + channel.len, text.data, text.len);
    list_push_back(&m->queue, &o->node);
    count(m, o);
    if (m->queued == 1)
        listen_wake(s);
}

/* Their time begins anew when those before them have gone. */
static void drop_late_ones(struct pg_store *s, int64_t now)
{
    struct messaging *m = &s->messaging;
    while (!list_empty(&m->queue)) {
        const struct outgoing *o = LIST_ITEM(m->queue.next, struct outgoing, node);
        int64_t since_us = o->at_us > m->moved_us ? o->at_us : m->moved_us;
        if (now - since_us <= store_timeout_us(s))
            return;
        m->lost += forget(m, &m->queue, 1);
    }
}

/* No reason to give the connection up: the others go on. */
static void complain(struct pg_store *s, const PGresult *error)
{
    struct messaging *m = &s->messaging;
    char why[160];
    char quoted[LOG_QUOTE_SIZE];
    int64_t now = clock_mono_us();
    if (m->complained_us != 0 && now - m->complained_us < COMPLAIN_US)
        return;
    m->complained_us = now;
    lane_error_text(error, why, sizeof(why));
    log_event(LOG_WARNING, "messages-failed", "why=%s", log_quote(why, quoted));
}

static bool is_true(const PGresult *r, int column)
{
    return PQntuples(r) > 0 && PQgetvalue(r, 0, column)[0] == 't';
}

static void on_asked(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    struct messaging *m = of(k);
    (void)lane;
    if (!boot_good(k, results, n, "who subscribes"))
        return;
    m->moved_us = clock_mono_us();
    m->others = is_true(results[0], 0) || is_true(results[0], 1);
    if (!m->others)
        m->unheard += forget(m, &m->queue, m->asked);
    listen_go_on(k);
}

static void ask(struct link *k)
{
    of(k)->asked = of(k)->queued;
    params_reset(&k->params);
    params_int4(&k->params, k->store->slot);
    link_begin(k);
    link_add(k, STMT_HEARERS, &k->params, false);
    lane_submit(k->lane, store_timeout_us(k->store), on_asked);
}

static void add_fenced_lane(struct link *k, enum statement_id id)
{
    struct params *p = &k->params;
    params_reset(p);
    params_int4(p, of(k)->slot);
    params_int8(p, of(k)->incarnation);
    params_int4(p, LANE);
    link_add(k, id, p, true);
}

static void on_terminated(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    (void)lane;
    if (boot_good(k, results, n, "end the lost connection's backend"))
        listen_go_on(k);
}

/* The lost connection's backend is still at it. It is asked to end, and what is queued waits;
 * behind a pooler it has its own time limits. */
static void wait_for_old_backend(struct link *k)
{
    if (k->store->config->pg_pooler != POOLER_NONE) {
        listen_go_on(k);
        return;
    }
    link_begin(k);
    add_fenced_lane(k, STMT_TERMINATE_LANE);
    lane_submit(k->lane, store_timeout_us(k->store), on_terminated);
}

static void on_fence_raised(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    struct messaging *m = of(k);
    (void)lane;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL && m->slot != 0 && strcmp(lane_sqlstate(error), "55P03") == 0) {
        wait_for_old_backend(k);
        return;
    }
    if (!boot_good(k, results, n, "claim the lane of messages"))
        return;
    const PGresult *r = results[n - 1];
    if (PQntuples(r) == 0) {
        link_lost(k, "the slot has another owner");
        return;
    }
    m->slot = k->store->slot; /* a slot that is lost takes this connection along */
    m->incarnation = k->store->incarnation;
    m->epoch = pg_int8(PQgetvalue(r, 0, 0));
    m->moved_us = clock_mono_us();
    listen_go_on(k);
}

/* Waits for a statement of an earlier connection, and fences one that has not begun. */
static void raise_fence(struct link *k)
{
    struct pg_store *s = k->store;
    struct messaging *m = of(k);
    if (s->slot == 0) {
        link_lost(k, "no slot yet");
        return;
    }
    char wait[24]; /* what others publish is not heard meanwhile */
    snprintf(wait, sizeof(wait), "%lld", (long long)(store_timeout_us(s) / 1000 / 16 + 20));
    struct params *p = &k->params;
    params_reset(p);
    params_text(p, wait);
    link_begin(k);
    link_add(k, STMT_LOCK_TIMEOUT, p, true);
    if (m->slot != 0 && (m->slot != s->slot || m->incarnation != s->incarnation))
        add_fenced_lane(k, STMT_SETTLE_LANE);
    params_reset(p);
    params_int4(p, s->slot);
    params_int8(p, s->incarnation);
    params_int4(p, LANE);
    params_int8(p, s->claimed_us);
    params_int4(p, s->config->pg_pooler == POOLER_TRANSACTION);
    link_add(k, STMT_CLAIM_LANE, p, true);
    lane_submit(k->lane, store_timeout_us(s), on_fence_raised);
}

static void on_published(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    struct messaging *m = of(k);
    (void)lane;
    const PGresult *error = lane_first_error(results, n);
    if (error == NULL && PQntuples(results[0]) == 0) {
        link_lost(k, "the lane was fenced");
        return;
    }
    size_t sent = forget(m, &m->sent, SIZE_MAX);
    m->moved_us = clock_mono_us();
    if (error != NULL) {
        m->lost += sent;
        complain(k->store, error);
    } else {
        m->others = is_true(results[0], 0) || is_true(results[0], 1);
        m->published += sent;
        m->batches++;
    }
    listen_go_on(k);
}

struct packing {
    struct messaging *m;
    struct params *p;
    int packets;
    int numbers;
    int bodies;
};

static void end_packet(struct packing *x)
{
    struct messaging *m = x->m;
    if (m->raw.len <= PACKET_HEADER)
        return;
    m->text.len = 0;
    packet_encode(&m->raw, &m->text);
    params_add_bytea(x->p, x->packets, buf_bytes(&m->text));
    packet_begin(&m->raw, m->sender, ++m->number);
}

static void pack(struct packing *x, const struct outgoing *o)
{
    struct messaging *m = x->m;
    size_t size = packet_frame_size(channel_of(o), text_of(o));
    bool large = PACKET_HEADER + size > PACKET_RAW_MAX;
    if (m->raw.len + (large ? PACKET_REFERENCE_SIZE : size) > PACKET_RAW_MAX)
        end_packet(x);
    if (!large) {
        packet_add(&m->raw, o->shard, channel_of(o), text_of(o));
        return;
    }
    struct buf body;
    buf_init(&body);
    packet_add(&body, o->shard, channel_of(o), text_of(o));
    packet_add_reference(&m->raw, ++m->number, size);
    params_add_int8(x->p, x->numbers, (int64_t)m->number);
    params_add_bytea(x->p, x->bodies, buf_bytes(&body));
    m->stored++;
    buf_release(&body);
}

static void send_batch(struct link *k)
{
    struct messaging *m = of(k);
    struct params *p = &k->params;
    size_t bytes = 0;
    params_reset(p);
    params_int4(p, m->slot);
    params_int8(p, m->incarnation);
    params_int4(p, LANE);
    params_int8(p, m->epoch);
    params_int8(p, (int64_t)m->sender);
    struct packing x = {.m = m, .p = p};
    x.packets = params_array(p, OID_TEXT);
    x.numbers = params_array(p, OID_INT8);
    x.bodies = params_array(p, OID_BYTEA);
    packet_begin(&m->raw, m->sender, ++m->number);
    for (int i = 0; i < BATCH_MESSAGES && bytes < BATCH_BYTES && !list_empty(&m->queue); i++) {
        struct outgoing *o = LIST_ITEM(m->queue.next, struct outgoing, node);
        list_remove(&o->node);
        uncount(m, o);
        list_push_back(&m->sent, &o->node);
        bytes += o->len;
        pack(&x, o);
    }
    end_packet(&x);
    params_text(p, k->store->config->pg_schema);
    link_begin(k);
    link_add(k, STMT_PUBLISH, p, false);
    lane_submit(k->lane,
                bytes > BATCH_BYTES ? STORE_BULK_TIMEOUT_MS * 1000 : store_timeout_us(k->store),
                on_published);
}

/* ---- in ---- */

static void tell(struct pg_store *s, const struct frame *f)
{
    s->messaging.received++;
    if (s->notices != NULL)
        s->notices->message(s->notices_arg, f->shard, f->channel, f->message);
}

/* Anybody may have said it: it is only used to ask for few at a time. */
static uint64_t plausible_size(uint64_t size)
{
    return size == 0 ? 1 : size > FETCH_BYTES ? FETCH_BYTES : size;
}

static void wait_behind(struct messaging *m, uint64_t sender, const struct frame *f)
{
    size_t size =
        sizeof(struct incoming) + (f->is_reference ? 0 : packet_frame_size(f->channel, f->message));
    if (m->waiting_bytes + size > WAITING_BYTES) {
        m->missed++;
        return;
    }
    struct incoming *in = mem_zalloc(sizeof(*in));
    in->is_reference = f->is_reference;
    in->sender = sender;
    in->number = f->number;
    in->size = plausible_size(f->size);
    in->known = !f->is_reference;
    buf_init(&in->frame);
    if (!f->is_reference)
        packet_add(&in->frame, f->shard, f->channel, f->message);
    in->memory = size;
    m->waiting_bytes += size;
    list_push_back(&m->waiting, &in->node);
}

void messages_take(struct link *k, const char *text)
{
    struct messaging *m = of(k);
    struct bytes frames;
    struct frame f;
    uint64_t sender;
    if ((k->store->listening.registered & STORE_WANT_MESSAGES) == 0 ||
        !packet_decode(text, &m->raw_in, &sender, &frames) || sender == m->sender)
        return;
    while (frame_next(&frames, &f)) {
        if (f.is_reference || !list_empty(&m->waiting))
            wait_behind(m, sender, &f);
        else
            tell(k->store, &f);
    }
    if (!list_empty(&m->waiting))
        listen_wake(k->store);
}

static void tell_those_known(struct pg_store *s)
{
    struct messaging *m = &s->messaging;
    while (!list_empty(&m->waiting)) {
        struct incoming *in = LIST_ITEM(m->waiting.next, struct incoming, node);
        struct bytes frames = buf_bytes(&in->frame);
        struct frame f;
        if (!in->known)
            return;
        if (frame_next(&frames, &f) && !f.is_reference) {
            m->fetched += in->is_reference;
            tell(s, &f);
        } else {
            m->missed++;
        }
        free_incoming(m, in);
    }
}

/* The row of a reference, or -1. Rows come in the order of the question, so it is looked for from
 * where the last one was. */
static int find_body(const PGresult *r, const struct incoming *in, int from)
{
    int n = PQntuples(r);
    for (int tried = 0; tried < n; tried++) {
        int row = (from + tried) % n;
        if (pg_int8(PQgetvalue(r, row, 0)) == (int64_t)in->sender &&
            pg_int8(PQgetvalue(r, row, 1)) == (int64_t)in->number)
            return row;
    }
    return -1;
}

/* Column 0 and 1: sender and number, 2: the body's length, 3: the body, or NULL if it has to be
 * asked for again, because those before it were long. */
static void take_bodies(struct messaging *m, const PGresult *r)
{
    int from = 0;
    LIST_EACH(it, &m->waiting)
    {
        struct incoming *in = LIST_ITEM(it, struct incoming, node);
        if (in->known || in->size != 0)
            continue;
        int row = find_body(r, in, from);
        if (row >= 0 && PQgetisnull(r, row, 3)) {
            in->size = plausible_size((uint64_t)pg_int8(PQgetvalue(r, row, 2)));
            from = row + 1;
            continue;
        }
        in->known = true;
        if (row < 0)
            continue;
        buf_append(&in->frame, PQgetvalue(r, row, 3), (size_t)PQgetlength(r, row, 3));
        in->memory += in->frame.len;
        m->waiting_bytes += in->frame.len;
        from = row + 1;
    }
}

static void on_fetched(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    struct messaging *m = of(k);
    (void)lane;
    m->fetching = false;
    const PGresult *error = lane_first_error(results, n);
    if (error != NULL)
        complain(k->store, error);
    take_bodies(m, results[0]);
    tell_those_known(k->store);
    listen_go_on(k);
}

/* The references at the front; true if there are any. */
static bool fetch(struct link *k)
{
    struct messaging *m = of(k);
    struct params *p = &k->params;
    uint64_t bytes = 0;
    params_reset(p);
    int senders = params_array(p, OID_INT8);
    int numbers = params_array(p, OID_INT8);
    int n = 0;
    LIST_EACH(it, &m->waiting)
    {
        struct incoming *in = LIST_ITEM(it, struct incoming, node);
        if (in->known)
            continue;
        if (n == FETCH_REFERENCES || (n > 0 && bytes + in->size > FETCH_BYTES))
            break;
        params_add_int8(p, senders, (int64_t)in->sender);
        params_add_int8(p, numbers, (int64_t)in->number);
        bytes += in->size;
        in->size = 0;
        n++;
    }
    if (n == 0)
        return false;
    params_int8(p, FETCH_BYTES);
    m->fetching = true;
    link_begin(k);
    link_add(k, STMT_FETCH_MESSAGES, p, true);
    lane_submit(k->lane, STORE_BULK_TIMEOUT_MS * 1000, on_fetched);
    return true;
}

/* ---- polling ---- */

static void add_mark(struct link *k)
{
    struct messaging *m = of(k);
    struct params *p = &k->params;
    m->marking = ++m->number;
    params_reset(p);
    params_int8(p, (int64_t)m->sender);
    params_int8(p, (int64_t)m->marking);
    link_add(k, STMT_MARK_MESSAGES, p, true);
}

static void marked(struct messaging *m, const PGresult *r)
{
    m->mark_id = pg_int8(PQgetvalue(r, 0, 0));
    m->mark_number = m->marking;
    m->marked_us = clock_mono_us();
    m->marking = 0;
}

/* What is published from now on has higher ids. */
void messages_add_start(struct link *k)
{
    params_reset(&k->params);
    link_add(k, STMT_LAST_MESSAGE, &k->params, false);
    add_mark(k);
}

void messages_started(struct link *k, PGresult **results)
{
    struct messaging *m = of(k);
    m->polled_id = strtoll(first_text(results[0], 0), NULL, 10);
    marked(m, results[1]);
    m->poll_at_us = 0;
}

static void on_polled(void *arg, struct lane *lane, PGresult **results, int n)
{
    struct link *k = arg;
    struct messaging *m = of(k);
    (void)lane;
    if (!boot_good(k, results, n, "poll"))
        return;
    if (pg_int8(PQgetvalue(results[0], 0, 0)) == 0) {
        link_lost(k, "the registry has forgotten what this instance wants to hear");
        return;
    }
    if (pg_int8(PQgetvalue(results[0], 0, 1)) == 0) {
        link_lost(k, "the table of messages has been emptied, or was not read for a minute");
        return;
    }
    const PGresult *r = results[1];
    for (int i = 0; i < PQntuples(r); i++) {
        m->polled_id = pg_int8(PQgetvalue(r, i, 0));
        messages_take(k, PQgetvalue(r, i, 1));
    }
    if (m->marking != 0)
        marked(m, results[2]);
    m->poll_at_us = clock_mono_us() + (PQntuples(r) == POLL_ROWS ? 0 : POLL_US);
    listen_go_on(k);
}

static void poll(struct link *k, int64_t now)
{
    struct pg_store *s = k->store;
    struct messaging *m = of(k);
    struct params *p = &k->params;
    params_reset(p);
    params_int4(p, s->slot);
    params_int8(p, s->incarnation);
    params_int8(p, s->claimed_us);
    params_int8(p, m->mark_id);
    params_int8(p, (int64_t)m->sender);
    params_int8(p, (int64_t)m->mark_number);
    link_begin(k);
    link_add(k, STMT_ENLISTED, p, true);
    params_reset(p);
    params_int8(p, m->polled_id);
    params_int8(p, POLL_ROWS);
    link_add(k, STMT_POLL_MESSAGES, p, true);
    if (now - m->marked_us >= MARK_US)
        add_mark(k);
    lane_submit(k->lane, store_timeout_us(s), on_polled);
}

/* ---- what is to be done next ---- */

bool messages_pump(struct link *k, int64_t now, int64_t *at_us)
{
    struct messaging *m = of(k);
    if (!m->fetching && !list_empty(&m->waiting) && fetch(k))
        return true;
    drop_late_ones(k->store, now);
    if (!list_empty(&m->queue)) {
        if (!m->others)
            ask(k);
        else if (m->epoch == 0)
            raise_fence(k);
        else
            send_batch(k);
        return true;
    }
    if (k->store->config->pg_pooler != POOLER_TRANSACTION ||
        (k->store->listening.registered & STORE_WANT_MESSAGES) == 0)
        return false;
    if (now >= m->poll_at_us) {
        poll(k, now);
        return true;
    }
    if (m->poll_at_us < *at_us)
        *at_us = m->poll_at_us;
    return false;
}

void messages_info(const struct pg_store *s, struct buf *out)
{
    const struct messaging *m = &s->messaging;
    buf_printf(out, "postgres_messages_sent:%llu\r\npostgres_messages_batches:%llu\r\n",
               (unsigned long long)m->published, (unsigned long long)m->batches);
    buf_printf(out, "postgres_messages_received:%llu\r\npostgres_messages_lost:%llu\r\n",
               (unsigned long long)m->received, (unsigned long long)(m->lost + m->missed));
    buf_printf(out, "postgres_messages_by_reference_sent:%llu\r\n"
                    "postgres_messages_by_reference_received:%llu\r\n",
               (unsigned long long)m->stored, (unsigned long long)m->fetched);
}

void messages_collect(const struct pg_store *s, struct metrics_page *p)
{
    const struct messaging *m = &s->messaging;
    page_put(p, METRIC_messages_sent, NULL, (int64_t)m->published);
    page_put(p, METRIC_messages_received, NULL, (int64_t)m->received);
    page_put(p, METRIC_messages_lost, NULL, (int64_t)(m->lost + m->missed));
    page_put(p, METRIC_messages_stored, "sent", (int64_t)m->stored);
    page_put(p, METRIC_messages_stored, "received", (int64_t)m->fetched);
}

void messages_reset_stats(struct pg_store *s)
{
    struct messaging *m = &s->messaging;
    m->published = m->batches = m->received = m->lost = m->missed = 0;
    m->stored = m->fetched = m->unheard = 0;
}
