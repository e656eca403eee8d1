/* Eight bytes a step: table k holds the effect of a byte that k more bytes follow. The tables are
 * filled before main, once, and only read afterwards: any thread may. */
#include "base/crc32c.h"

#include <string.h>

enum { STEP = 8 };

static uint32_t tables[STEP][256];

static void __attribute__((constructor)) fill_tables(void)
{
    const uint32_t polynomial = 0x82f63b78; /* reflected */
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = (c >> 1) ^ ((c & 1) ? polynomial : 0);
        tables[0][i] = c;
    }
    for (int k = 1; k < STEP; k++)
        for (int i = 0; i < 256; i++) {
            uint32_t c = tables[k - 1][i];
            tables[k][i] = (c >> 8) ^ tables[0][c & 0xff];
        }
}

static uint32_t load_le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t c = ~crc;
    for (; n >= STEP; n -= STEP, p += STEP) {
        uint32_t a = c ^ load_le32(p);
        uint32_t b = load_le32(p + 4);
        c = tables[7][a & 0xff] ^ tables[6][a >> 8 & 0xff] ^ tables[5][a >> 16 & 0xff] ^
            tables[4][a >> 24] ^ tables[3][b & 0xff] ^ tables[2][b >> 8 & 0xff] ^
            tables[1][b >> 16 & 0xff] ^ tables[0][b >> 24];
    }
    for (; n > 0; n--, p++)
        c = (c >> 8) ^ tables[0][(c ^ *p) & 0xff];
    return ~c;
}
