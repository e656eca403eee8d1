/* Two queues under one lock: the thread takes from `todo` and sleeps on a condition variable, the
 * loop takes from `finished` and is woken through an eventfd. Nobody spins. */
#include "store/journal/worker.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* the thread: there is something in `todo`, or `stop` */
    pthread_cond_t progress; /* worker_wait: there is something in `finished` */
    struct list todo;
    struct list finished;
    bool stop;
    int fd; /* eventfd: there is something in `finished` */
    struct io *io;
    size_t open; /* submitted and not yet given back; the loop's alone */
};

/* ---- the thread ---- */

static void *work_on(void *arg)
{
    struct worker *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (list_empty(&w->todo) && !w->stop)
            pthread_cond_wait(&w->wake, &w->lock);
        if (list_empty(&w->todo))
            break;
        struct work *work = LIST_ITEM(w->todo.next, struct work, node);
        list_remove(&work->node);
        pthread_mutex_unlock(&w->lock);
        work->run(work);
        pthread_mutex_lock(&w->lock);
        list_push_back(&w->finished, &work->node);
        pthread_cond_signal(&w->progress);
        uint64_t one = 1;
        ssize_t n = write(w->fd, &one, sizeof(one));
        (void)n; /* cannot fail: the counter is far from full */
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals are the loop's: the thread takes none. SIGXFSZ waits here for ever, too: the call that
 * went beyond a limit of the file's size fails with EFBIG. */
static bool start_thread(struct worker *w)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, work_on, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0;
}

/* ---- the loop ---- */

static void deliver(struct worker *w)
{
    struct list finished;
    list_init(&finished);
    pthread_mutex_lock(&w->lock);
    list_append_all(&finished, &w->finished);
    pthread_mutex_unlock(&w->lock);
    while (!list_empty(&finished)) {
        struct work *work = LIST_ITEM(finished.next, struct work, node);
        list_remove(&work->node);
        w->open--;
        work->done(work);
    }
}

static void on_finished(void *arg, int events)
{
    struct worker *w = arg;
    uint64_t count;
    (void)events;
    ssize_t n = read(w->fd, &count, sizeof(count));
    (void)n; /* nothing there: worker_wait was faster */
    deliver(w);
}

static void release(struct worker *w)
{
    io_free(w->io);
    close(w->fd);
    pthread_cond_destroy(&w->progress);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    mem_free(w);
}

struct worker *worker_new(struct loop *loop)
{
    struct worker *w = mem_zalloc(sizeof(*w));
    list_init(&w->todo);
    list_init(&w->finished);
    int rc = pthread_mutex_init(&w->lock, NULL);
    rc |= pthread_cond_init(&w->wake, NULL);
    rc |= pthread_cond_init(&w->progress, NULL);
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(rc == 0 && w->fd >= 0);
    w->io = io_new(loop, w->fd, on_finished, w);
    if (!start_thread(w)) {
        release(w);
        return NULL;
    }
    io_want(w->io, IO_READ);
    return w;
}

void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    CHECK(w->open == 0);
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    release(w);
}

void worker_submit(struct worker *w, struct work *work)
{
    w->open++;
    pthread_mutex_lock(&w->lock);
    list_push_back(&w->todo, &work->node);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void worker_wait(struct worker *w)
{
    while (w->open > 0) {
        pthread_mutex_lock(&w->lock);
        while (list_empty(&w->finished))
            pthread_cond_wait(&w->progress, &w->lock);
        pthread_mutex_unlock(&w->lock);
        deliver(w);
    }
}
