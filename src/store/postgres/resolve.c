/* A job is a name under way. It belongs to its thread until that has put it into the mailbox, then
 * to the loop; the list of those who ask is the loop's alone. The mailbox is shared by the loop and
 * the threads and goes with the last of them. */
#include "store/postgres/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"

struct mailbox {
    pthread_mutex_t lock;
    int refs;          /* the loop's, and one per thread */
    bool closed;       /* the loop has gone */
    int fd;            /* eventfd: something is in `done` */
    struct list done;  /* jobs */
};

struct job {
    struct list node;  /* of resolver.running, then of mailbox.done */
    struct mailbox *box;
    char *name;
    struct addrinfo *found;
    int error;
    struct list askers;
};

struct resolve {
    struct list node;
    resolve_done done;
    void *arg;
};

struct resolver {
    struct mailbox *box;
    struct io *io;
    struct list running;
};

/* ---- both sides ---- */

/* With the lock held, which it gives up. */
static void release_mailbox(struct mailbox *box)
{
    bool last = --box->refs == 0;
    pthread_mutex_unlock(&box->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&box->lock);
    close(box->fd);
    mem_free(box);
}

static void free_job(struct job *j)
{
    if (j->found != NULL)
        freeaddrinfo(j->found);
    mem_free(j->name);
    mem_free(j);
}

static void ring(struct mailbox *box)
{
    uint64_t one = 1;
    ssize_t n = write(box->fd, &one, sizeof(one));
    (void)n; /* cannot fail: the counter is far from full */
}

/* ---- the thread ---- */

static void *look_up(void *arg)
{
    struct job *j = arg;
    struct mailbox *box = j->box;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    j->error = getaddrinfo(j->name, NULL, &hints, &j->found);
    if (j->error != 0)
        j->found = NULL;
    pthread_mutex_lock(&box->lock);
    if (box->closed) {
        free_job(j);
    } else {
        list_remove(&j->node);
        list_push_back(&box->done, &j->node);
        ring(box);
    }
    release_mailbox(box);
    return NULL;
}

/* Signals are the loop's: the thread takes none. */
static bool start_thread(struct job *j)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    pthread_attr_t attributes;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, look_up, j);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

/* ---- the loop ---- */

static void deliver(struct job *j)
{
    while (!list_empty(&j->askers)) {
        struct resolve *q = LIST_ITEM(j->askers.next, struct resolve, node);
        resolve_done done = q->done;
        void *arg = q->arg;
        resolve_cancel(q);
        done(arg, j->found, j->error);
    }
    free_job(j);
}

static void on_done(void *arg, int events)
{
    struct resolver *r = arg;
    struct list done;
    uint64_t count;
    (void)events;
    list_init(&done);
    pthread_mutex_lock(&r->box->lock);
    ssize_t n = read(r->box->fd, &count, sizeof(count));
    (void)n;
    list_append_all(&done, &r->box->done);
    pthread_mutex_unlock(&r->box->lock);
    while (!list_empty(&done)) {
        struct job *j = LIST_ITEM(done.next, struct job, node);
        list_remove(&j->node);
        deliver(j);
    }
}

struct resolver *resolver_new(struct loop *loop)
{
    struct resolver *r = mem_zalloc(sizeof(*r));
    struct mailbox *box = mem_zalloc(sizeof(*box));
    int rc = pthread_mutex_init(&box->lock, NULL);
    box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(rc == 0 && box->fd >= 0);
    box->refs = 1;
    list_init(&box->done);
    list_init(&r->running);
    r->box = box;
    r->io = io_new(loop, box->fd, on_done, r);
    io_want(r->io, IO_READ);
    return r;
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    io_free(r->io);
    pthread_mutex_lock(&r->box->lock);
    r->box->closed = true;
    LIST_EACH(it, &r->box->done)
        free_job(LIST_ITEM(it, struct job, node));
    LIST_EACH(it, &r->running)
        list_remove(it);
    release_mailbox(r->box);
    mem_free(r);
}

static struct job *start_job(struct resolver *r, const char *name)
{
    struct job *j = mem_zalloc(sizeof(*j));
    j->box = r->box;
    j->name = mem_strdup(name);
    list_init(&j->node);
    list_init(&j->askers);
    pthread_mutex_lock(&r->box->lock);
    list_push_back(&r->running, &j->node);
    r->box->refs++;
    if (!start_thread(j)) {
        j->error = EAI_AGAIN;
        list_remove(&j->node);
        list_push_back(&r->box->done, &j->node);
        r->box->refs--;
        ring(r->box);
    }
    pthread_mutex_unlock(&r->box->lock);
    return j;
}

static struct job *find_job(struct resolver *r, const char *name)
{
    struct job *found = NULL;
    pthread_mutex_lock(&r->box->lock);
    LIST_EACH(it, &r->running)
    {
        struct job *j = LIST_ITEM(it, struct job, node);
        if (strcmp(j->name, name) == 0)
            found = j;
    }
    pthread_mutex_unlock(&r->box->lock);
    return found;
}

/* A job that has been found cannot be delivered before the loop's next turn. */
struct resolve *resolve_ask(struct resolver *r, const char *name, resolve_done done, void *arg)
{
    struct resolve *q = mem_zalloc(sizeof(*q));
    struct job *j = find_job(r, name);
    if (j == NULL)
        j = start_job(r, name);
    q->done = done;
    q->arg = arg;
    list_push_back(&j->askers, &q->node);
    return q;
}

void resolve_cancel(struct resolve *q)
{
    list_remove(&q->node);
    mem_free(q);
}
