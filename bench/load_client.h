/* load_client: one client of the load generator. It sends a round of `depth` requests at once,
 * waits for all replies, and sends the next.
 *
 * The load owns the clients; a client's bytes go out and come in only in client_send and
 * client_receive, which never block. */
#ifndef RESPGRES_BENCH_LOAD_CLIENT_H
#define RESPGRES_BENCH_LOAD_CLIENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "histogram.h"
#include "sample.h"

enum pattern {
    PATTERN_PING,
    PATTERN_SET,
    PATTERN_GET,
    PATTERN_INCR,     /* any of the keys */
    PATTERN_INCR_HOT, /* the first key only */
    PATTERN_SESSION,  /* GET, then SETEX: of the bytes that came, or of others */
    PATTERN_FILL,     /* SETEX of each key once, in order */
    PATTERN_REWRITE,  /* SETEX of each key in turn, other bytes each time */
    PATTERN_GROW,     /* the same, but the value is the start of one text and gets longer */
};

/* What all clients share. */
struct load {
    /* what to do: */
    enum pattern pattern;
    const char *prefix; /* of the keys */
    uint64_t keys;
    int depth;
    size_t size;
    uint64_t same_percent; /* of the session pattern's writes */
    int ttl_s;
    uint64_t requests; /* 0 = as many as the time allows */
    struct sample sample;
    struct random random;
    /* what was done: */
    uint64_t issued; /* requests, counted when they are sent */
    uint64_t completed;
    bool measuring; /* the warm-up is over */
    uint64_t measured;
    uint64_t missing; /* a GET that found nothing, or a value of another size */
    uint64_t errors;
    char first_error[200];
    struct histogram latency;
};

struct slot;

struct client {
    int fd;
    bool waits_to_write;
    bool parked; /* has nothing to do until the load lets it go on */
    struct buf in;
    struct buf out;
    size_t sent; /* of out */
    int depth;
    int awaited;  /* replies of this round still to come */
    int round;    /* requests in this round */
    bool writing; /* second half of the session pattern */
    int64_t begun_ns;
    struct slot *slots; /* depth of them */
};

void client_init(struct client *c, int fd, int depth);
void client_release(struct client *c);

/* Prepares a round of up to `limit` requests; client_send sends it. */
void client_begin_round(struct client *c, struct load *load, int limit);

enum client_state { CLIENT_WAITS, CLIENT_IDLE, CLIENT_LOST };

/* Sends what the socket takes. */
enum client_state client_send(struct client *c);

/* Takes the replies that have come; CLIENT_IDLE when the round is complete. */
enum client_state client_receive(struct client *c, struct load *load);

#endif
