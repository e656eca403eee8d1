/* client: one connection's state as the engine sees it: name, database, protocol, MULTI, WATCH,
 * and its transactions in the order they were sent. The socket is net's: net feeds requests in,
 * is told when there is output, and takes the bytes.
 *
 * Owned by net from client_new to client_closed; then the engine frees it once its transactions
 * have ended. */
#ifndef RESPGRES_ENGINE_CLIENT_H
#define RESPGRES_ENGINE_CLIENT_H

#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"
#include "resp/reader.h"

struct client;
struct engine;

struct client_io {
    /* Bytes were appended to client_out(); net writes them at the end of the turn at the latest.
     * May be called any number of times per turn. */
    void (*output)(void *arg);
    /* Close once all output so far has been written (QUIT, CLIENT KILL of itself); `now` = at
     * once, unwritten output is dropped. Never frees the client within the call. */
    void (*close)(void *arg, bool now);
    /* The client owes fewer replies than before: reading may go on. */
    void (*resume)(void *arg);
};

struct client_info {
    char peer[108];   /* "127.0.0.1:51234", "[::1]:5", or "/path/to.sock:0" */
    char local[108];
    int fd;
    bool unix_socket;
    bool loopback;
};

struct client *client_new(struct engine *e, const struct client_io *io, void *io_arg,
                          const struct client_info *info);

/* One request; takes it. The reply appears in client_out() in order, now or later. */
void client_submit(struct client *c, struct request *r);

/* A protocol error: the reply `-text` goes out behind all earlier replies, then io.close(false). */
void client_protocol_error(struct client *c, const char *text);

/* The peer sends nothing more. What it has sent is answered; but who waits for a key is thought to have
 * gone, as Redis does. */
void client_input_over(struct client *c);

/* Bytes to be written; net consumes from the front. */
struct buf *client_out(struct client *c);

/* Some of the output has been written: what waited for room may go on. */
void client_wrote(struct client *c);

/* Requests taken but not yet answered, and the memory they hold: net stops reading above its
 * bounds and goes on when `resume` was called. */
size_t client_pending(const struct client *c);
size_t client_pending_memory(const struct client *c);

/* The memory of a MULTI block's commands. They wait for the client, so it must be read on. */
size_t client_queued_memory(const struct client *c);

bool client_authenticated(const struct client *c);
/* Bytes have come from it, or been taken by it. */
void client_note_activity(struct client *c);
/* Microseconds (clock_mono_us) of that, or of the last request or reply, for `timeout` and CLIENT LIST. */
int64_t client_last_active_us(const struct client *c);
/* Nothing of it is pending, nor held back by a pause. */
bool client_may_idle_out(const struct client *c);
/* Which of client-output-buffer-limit counts for it now. */
enum output_class client_output_class(const struct client *c);

/* For CLIENT LIST's qbuf: net tells before it matters; cheap. */
void client_set_query_memory(struct client *c, size_t bytes);

/* The connection is gone. */
void client_closed(struct client *c);

#endif
