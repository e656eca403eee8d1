/* crc32c: the checksum of Castagnoli (iSCSI, RFC 3720 appendix B.4), for what is stored in files.
 */
#ifndef RESPGRES_BASE_CRC32C_H
#define RESPGRES_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* `crc` is 0, or the result for the bytes before these: a text may come in pieces. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

#endif
