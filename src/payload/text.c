/* text: what is readable as it is. Control characters other than blanks mean that it is something
 * else. */
#include "payload/internal.h"

#include "base/num.h"

static bool is_readable(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return false;
    }
    return is_clean_utf8(s);
}

bool decode_text(struct bytes in, struct emit *e)
{
    int64_t n;
    if (!is_readable(in))
        return emit_unknown(e);
    if (num_int64(in, &n))
        emit_int(e, n);
    else
        emit_text(e, in);
    return emit_ok(e);
}
