#include "base/num.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool num_int64(struct bytes s, int64_t *out)
{
    if (s.len == 0 || s.len > 20)
        return false;
    size_t i = 0;
    bool negative = s.data[0] == '-';
    if (negative && s.len == 1)
        return false;
    i += negative;
    if (s.data[i] == '0' && (s.len > 1))
        return false;
    uint64_t v = 0;
    for (; i < s.len; i++) {
        unsigned d = (unsigned)((unsigned char)s.data[i] - '0');
        if (d > 9 || v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool num_long_double(struct bytes s, long double *out)
{
    char text[NUM_FLOAT_SIZE];
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    char first = s.data[0];
    if (first == ' ' || (first >= '\t' && first <= '\r'))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    char *end;
    errno = 0;
    long double v = strtold(text, &end);
    if ((size_t)(end - text) != s.len || isnan(v))
        return false;
    if (errno == ERANGE && (isinf(v) || v == 0))
        return false;
    *out = v;
    return true;
}

bool num_double(struct bytes s, double *out)
{
    char text[NUM_FLOAT_SIZE];
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    char first = s.data[0];
    if (first == ' ' || (first >= '\t' && first <= '\r'))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if ((size_t)(end - text) != s.len || isnan(v))
        return false;
    if (errno == ERANGE && (isinf(v) || v == 0))
        return false;
    *out = v;
    return true;
}

size_t num_format_int64(int64_t v, char out[NUM_INT_SIZE])
{
    char digits[NUM_INT_SIZE];
    size_t n = 0;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[n++] = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    size_t at = 0;
    if (v < 0)
        out[at++] = '-';
    while (n > 0)
        out[at++] = digits[--n];
    out[at] = '\0';
    return at;
}

size_t num_format_long_double(long double v, char out[NUM_FLOAT_SIZE])
{
    if (isinf(v)) {
        int n = snprintf(out, NUM_FLOAT_SIZE, "%s", v > 0 ? "inf" : "-inf");
        return (size_t)n;
    }
    int n = snprintf(out, NUM_FLOAT_SIZE, "%.17Lf", v);
    CHECK(n > 0 && n < NUM_FLOAT_SIZE);
    size_t len = (size_t)n;
    if (memchr(out, '.', len) != NULL) {
        while (out[len - 1] == '0')
            len--;
        if (out[len - 1] == '.')
            len--;
    }
    if (len == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        len = 1;
    }
    out[len] = '\0';
    return len;
}

bool num_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

bool num_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}
