#include "base/glob.h"

static unsigned char fold(char c, bool nocase)
{
    unsigned char u = (unsigned char)c;
    return nocase && u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

/* Matches one character against the class that starts behind '['. Sets *next behind the ']'. An
 * unclosed class ends with the pattern, as in Redis. */
static bool match_class(struct bytes p, size_t at, char c, bool nocase, size_t *next)
{
    bool negate = at < p.len && p.data[at] == '^';
    bool hit = false;
    unsigned char ch = fold(c, nocase);
    at += negate;
    while (at < p.len) {
        if (p.data[at] == '\\' && at + 1 < p.len) {
            at++;
            hit |= fold(p.data[at], nocase) == ch;
        } else if (p.data[at] == ']') {
            break;
        } else if (at + 2 < p.len && p.data[at + 1] == '-') {
            unsigned char lo = fold(p.data[at], nocase);
            unsigned char hi = fold(p.data[at + 2], nocase);
            if (lo > hi) {
                unsigned char t = lo;
                lo = hi;
                hi = t;
            }
            hit |= ch >= lo && ch <= hi;
            at += 2;
        } else {
            hit |= fold(p.data[at], nocase) == ch;
        }
        at++;
    }
    *next = at < p.len ? at + 1 : p.len;
    return hit != negate;
}

/* Matches one pattern element (not '*') against c; *next is the position behind it. */
static bool match_one(struct bytes p, size_t at, char c, bool nocase, size_t *next)
{
    switch (p.data[at]) {
    case '?':
        *next = at + 1;
        return true;
    case '[':
        return match_class(p, at + 1, c, nocase, next);
    case '\\':
        if (at + 1 < p.len)
            at++;
        break;
    default:
        break;
    }
    *next = at + 1;
    return fold(p.data[at], nocase) == fold(c, nocase);
}

bool glob_match(struct bytes p, struct bytes t, bool nocase)
{
    size_t pi = 0;
    size_t ti = 0;
    size_t star = 0; /* behind the last '*' seen */
    size_t retry = 0; /* where its match is tried next */
    bool have_star = false;
    while (ti < t.len) {
        size_t next;
        if (pi < p.len && p.data[pi] == '*') {
            have_star = true;
            star = ++pi;
            retry = ti;
        } else if (pi < p.len && match_one(p, pi, t.data[ti], nocase, &next)) {
            pi = next;
            ti++;
        } else if (have_star) {
            pi = star;
            ti = ++retry;
        } else {
            return false;
        }
    }
    while (pi < p.len && p.data[pi] == '*')
        pi++;
    return pi == p.len;
}

size_t glob_literal_prefix(struct bytes p)
{
    size_t n = 0;
    while (n < p.len && strchr("*?[\\", p.data[n]) == NULL)
        n++;
    /* strchr also finds the terminating NUL, so a NUL byte ends the prefix: harmless. */
    return n;
}
