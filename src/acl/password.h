/* password: what is kept of one is its SHA-256, as 64 lower-case hexadecimal digits. */
#ifndef RESPGRES_ACL_PASSWORD_H
#define RESPGRES_ACL_PASSWORD_H

#include <stdbool.h>

#include "base/buf.h"

enum { ACL_HASH_LEN = 64, ACL_GENPASS_BITS = 256, ACL_GENPASS_MAX_BITS = 4096 };

/* 64 digits and a NUL. */
void acl_hash_password(struct bytes password, char out[ACL_HASH_LEN + 1]);
/* 64 lower-case hexadecimal digits? */
bool acl_is_hash(struct bytes text);
/* Takes as long for equal hashes as for others. */
bool acl_same_hash(const char *a, const char *b);
/* A hexadecimal digit for every four bits or part of them, from the system's random source. */
void acl_make_password(int bits, struct buf *out);

#endif
