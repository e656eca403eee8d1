/* tls: see parts.h. */
#include <stdio.h>
#include <sys/stat.h>

#include "doctor/parts.h"
#include "tls/context.h"

enum { DAY_S = 24 * 60 * 60, SOON_DAYS = 30 };

static void look_at_validity(const struct tls_context *t, int64_t now_s, finding_cb found,
                             void *arg)
{
    const struct tls_validity *v = tls_context_validity(t);
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "The certificate for clients, %s, ", tls_context_subject(t));
    if (v->until_s <= now_s || v->from_s > now_s) {
        bool expired = v->until_s <= now_s;
        buf_append_cstr(&text, expired ? "expired on " : "is not valid before ");
        tls_append_time(&text, expired ? v->until_s : v->from_s);
        buf_append_cstr(&text, ": clients that check it do not connect.");
        found(arg, FINDING_WARNING, buf_cstr(&text),
              expired ? "Put a new one into tls-cert-file, and its key into tls-key-file; SIGHUP "
                        "reads them."
                      : "Wait, or look at the clock of this host.");
    } else {
        bool soon = v->until_s - now_s < (int64_t)SOON_DAYS * DAY_S;
        buf_append_cstr(&text, soon ? "expires on " : "is valid until ");
        tls_append_time(&text, v->until_s);
        buf_append_cstr(&text, ".");
        found(arg, soon ? FINDING_WARNING : FINDING_GOOD, buf_cstr(&text),
              soon ? "See that it is renewed; SIGHUP reads the new one." : NULL);
    }
    buf_release(&text);
}

static void look_at_key(const struct config *c, finding_cb found, void *arg)
{
    struct stat st;
    if (stat(c->tls_key_file, &st) != 0 || (st.st_mode & 0004) == 0)
        return;
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "Every user of this host or container can read tls-key-file (%s).",
               c->tls_key_file);
    found(arg, FINDING_NOTE, buf_cstr(&text),
          "Let nobody but the user that runs respgres read it (chmod 640).");
    buf_release(&text);
}

void doctor_tls(const struct config *c, int64_t now_s, finding_cb found, void *arg)
{
    if (c->tls_port == 0)
        return;
    struct buf error;
    buf_init(&error);
    struct tls_context *t = tls_context_new(c, &error);
    if (t == NULL) {
        found(arg, FINDING_BLOCKER, buf_cstr(&error),
              "Correct that option or its file, or set tls-port 0.");
    } else {
        look_at_validity(t, now_s, found, arg);
        look_at_key(c, found, arg);
    }
    tls_context_free(t);
    buf_release(&error);
}
