/* ask: one question to a server of this host that speaks TLS, for --healthcheck. */
#ifndef RESPGRES_TLS_ASK_H
#define RESPGRES_TLS_ASK_H

#include <stddef.h>

#include "base/buf.h"
#include "config/config.h"

/* Shakes hands on `fd`, a connected blocking socket whose timeouts are set, and puts what `request`
 * is answered, up to the first line's end, into `answer`. The certificate is not judged: whether
 * somebody lives there is all that is asked. A server that wants a certificate is shown its own; if
 * it refuses that, it lives too, and the answer is "-". */
MUST_CHECK bool tls_ask(const struct config *c, int fd, const char *request, char *answer,
                        size_t size, struct buf *error);

#endif
