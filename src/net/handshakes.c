/* handshakes: see handshakes.h. */
#include "net/handshakes.h"

#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"

enum {
    TURN_US = 10 * 1000, /* a signature with RSA 2048 takes half a millisecond, say */
    LINES_MAX = 10,      /* in WINDOW_US */
    WINDOW_US = 10 * 1000 * 1000
};

static void tell(struct handshakes *h, const char *peer, const char *reason)
{
    int64_t now_us = clock_mono_us();
    char quoted[LOG_QUOTE_SIZE];
    metrics.tls_handshakes_failed++;
    if (now_us - h->from_us > WINDOW_US) {
        h->from_us = now_us;
        h->lines = 0;
    }
    if (h->lines >= LINES_MAX) {
        h->untold++;
        return;
    }
    log_event(LOG_NOTICE, "tls-handshake-failed", "peer=%s reason=%s not-logged=%llu", peer,
              log_quote(reason, quoted), (unsigned long long)h->untold);
    h->lines++;
    h->untold = 0;
}

enum tls_status handshakes_step(struct handshakes *h, struct tls_channel *channel, const char *peer)
{
    if (h->spent_us >= TURN_US)
        return TLS_AGAIN;
    int64_t from_us = clock_mono_us();
    enum tls_status status = tls_channel_handshake(channel);
    h->spent_us += clock_mono_us() - from_us;
    if (status == TLS_OPEN)
        metrics.tls_handshakes++;
    else if (status == TLS_FAILED && !tls_channel_was_probe(channel))
        tell(h, peer, tls_channel_reason(channel));
    return status;
}

void handshakes_turn_end(struct handshakes *h)
{
    h->spent_us = 0;
}

void handshakes_give_up(struct handshakes *h, const char *peer)
{
    tell(h, peer, "not in time");
}
