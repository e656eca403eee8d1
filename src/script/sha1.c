/* sha1: the name under which a script is known. */
#include <openssl/evp.h>

#include "script/script.h"

void script_sha1(struct bytes s, char out[SCRIPT_SHA_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = EVP_Digest(s.data, s.len, digest, &len, EVP_sha1(), NULL);
    CHECK(ok == 1 && len * 2 == SCRIPT_SHA_LEN);
    for (unsigned i = 0; i < len; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[SCRIPT_SHA_LEN] = '\0';
}
