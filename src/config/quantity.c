/* quantity: see quantity.h. */
#include "config/quantity.h"

#include <inttypes.h>

#include "base/num.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* redis.conf: "1k => 1000 bytes, 1kb => 1024 bytes, ... units are case insensitive". */
static const struct unit memory_units[] = {
    {"", 1},
    {"b", 1},
    {"k", 1000},
    {"kb", 1024},
    {"m", 1000 * 1000},
    {"mb", 1024 * 1024},
    {"g", 1000LL * 1000 * 1000},
    {"gb", 1024LL * 1024 * 1024},
    {NULL, 0},
};

static const struct unit second_units[] = {
    {"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}, {NULL, 0},
};

static const struct unit milli_units[] = {
    {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

/* Digits, then one of the units. */
static bool parse_units(struct bytes text, const struct unit *units, int64_t *out)
{
    int64_t v = 0;
    size_t n = 0;
    for (; n < text.len && text.data[n] >= '0' && text.data[n] <= '9'; n++) {
        if (!num_mul(v, 10, &v) || !num_add(v, text.data[n] - '0', &v))
            return false;
    }
    if (n == 0)
        return false;
    struct bytes rest = bytes_of(text.data + n, text.len - n);
    for (const struct unit *u = units; u->name != NULL; u++) {
        if (bytes_ieq(rest, u->name))
            return num_mul(v, u->factor, out);
    }
    return false;
}

static bool parse_octal(struct bytes text, int64_t *out)
{
    int64_t v = 0;
    if (text.len == 0 || text.len > 12)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '7')
            return false;
        v = v * 8 + (text.data[i] - '0');
    }
    *out = v;
    return true;
}

bool quantity_parse(enum option_kind kind, struct bytes text, int64_t *out)
{
    switch (kind) {
    case OPTION_INT:
        return num_int64(text, out);
    case OPTION_MEMORY:
        return parse_units(text, memory_units, out);
    case OPTION_SECONDS:
        return parse_units(text, second_units, out);
    case OPTION_MILLIS:
        return parse_units(text, milli_units, out);
    case OPTION_OCTAL:
        return parse_octal(text, out);
    default:
        return false;
    }
}

const char *quantity_complaint(enum option_kind kind)
{
    switch (kind) {
    case OPTION_MEMORY:
        return "argument must be a memory value";
    case OPTION_SECONDS:
        return "argument must be a number of seconds, or a number with the unit s, m, h, d or w";
    case OPTION_MILLIS:
        return "argument must be a number of milliseconds, or a number with the unit ms, s, m, h "
               "or d";
    case OPTION_OCTAL:
        return "argument couldn't be parsed as an octal number";
    default:
        return "argument couldn't be parsed into an integer";
    }
}

static bool class_of(struct bytes word, enum output_class *out)
{
    if (bytes_ieq(word, "normal"))
        *out = OUTPUT_NORMAL;
    else if (bytes_ieq(word, "replica") || bytes_ieq(word, "slave"))
        *out = OUTPUT_REPLICA;
    else if (bytes_ieq(word, "pubsub"))
        *out = OUTPUT_PUBSUB;
    else
        return false;
    return true;
}

enum { CLASS_FIELDS = 4, MAX_FIELDS = 8 * CLASS_FIELDS };

static size_t split_blanks(struct bytes text, struct bytes words[MAX_FIELDS + 1])
{
    size_t n = 0;
    size_t at = 0;
    while (n <= MAX_FIELDS) {
        while (at < text.len && (text.data[at] == ' ' || text.data[at] == '\t'))
            at++;
        size_t start = at;
        while (at < text.len && text.data[at] != ' ' && text.data[at] != '\t')
            at++;
        if (at == start)
            break;
        words[n++] = bytes_of(text.data + start, at - start);
    }
    return n;
}

bool output_limit_parse(struct bytes text, struct output_limits *out, struct buf *reason)
{
    struct bytes words[MAX_FIELDS + 1];
    size_t n = split_blanks(text, words);
    struct output_limits fresh = *out;
    if (n == 1 && quantity_parse(OPTION_MEMORY, words[0], &out->of[OUTPUT_NORMAL].hard))
        return true;
    if (n % CLASS_FIELDS != 0 || n > MAX_FIELDS) {
        buf_append_cstr(reason, "Wrong number of arguments in buffer limit configuration.");
        return false;
    }
    for (size_t i = 0; i < n; i += CLASS_FIELDS) {
        struct output_limit limit;
        enum output_class class;
        if (!class_of(words[i], &class)) {
            buf_append_cstr(reason,
                            "Invalid client class specified in buffer limit configuration.");
            return false;
        }
        if (!quantity_parse(OPTION_MEMORY, words[i + 1], &limit.hard) ||
            !quantity_parse(OPTION_MEMORY, words[i + 2], &limit.soft) ||
            !num_int64(words[i + 3], &limit.soft_s) || limit.soft_s < 0) {
            buf_append_cstr(
                reason,
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
            return false;
        }
        fresh.of[class] = limit;
    }
    *out = fresh;
    return true;
}

void output_limit_format(const struct output_limits *l, struct buf *out)
{
    static const char *const names[] = {"normal", "slave", "pubsub"};
    for (int i = 0; i < OUTPUT_CLASSES; i++)
        buf_printf(out, "%s%s %" PRId64 " %" PRId64 " %" PRId64, i == 0 ? "" : " ", names[i],
                   l->of[i].hard, l->of[i].soft, l->of[i].soft_s);
}
