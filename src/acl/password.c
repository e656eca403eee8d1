/* password: see password.h. OpenSSL's libcrypto has its home here. */
#include "acl/password.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "base/hash.h"

static const char digits[] = "0123456789abcdef";

void acl_hash_password(struct bytes password, char out[ACL_HASH_LEN + 1])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    int done = EVP_Digest(password.len > 0 ? password.data : "", password.len, hash, &len,
                          EVP_sha256(), NULL);
    CHECK(done == 1 && len == ACL_HASH_LEN / 2);
    for (unsigned int i = 0; i < len; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[ACL_HASH_LEN] = '\0';
}

bool acl_is_hash(struct bytes text)
{
    bool fits = text.len == ACL_HASH_LEN;
    for (size_t i = 0; fits && i < text.len; i++) {
        char c = text.data[i];
        fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    return fits;
}

bool acl_same_hash(const char *a, const char *b)
{
    return CRYPTO_memcmp(a, b, ACL_HASH_LEN) == 0;
}

void acl_make_password(int bits, struct buf *out)
{
    unsigned char random[ACL_GENPASS_MAX_BITS / 8];
    CHECK(bits > 0 && bits <= ACL_GENPASS_MAX_BITS);
    random_bytes(random, sizeof(random));
    for (int i = 0; i < (bits + 3) / 4; i++)
        buf_append_u8(out, (uint8_t)digits[i % 2 == 0 ? random[i / 2] >> 4 : random[i / 2] & 15]);
}
