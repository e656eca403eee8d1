/* test: the smallest unit-test frame. A test is a function; EXPECT* record failures and go on.
 * A test program ends with a line "N passed, N failed" and exits 1 on failure. With an argument it
 * runs only the tests whose names contain it. */
#ifndef RESPGRES_TESTS_UNIT_TEST_H
#define RESPGRES_TESTS_UNIT_TEST_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int test_failures; /* of the running test */

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_failures++;                                                                       \
            printf("  %s:%d: %s\n", __FILE__, __LINE__, #cond);                                    \
        }                                                                                          \
    } while (0)

#define EXPECT_INT(got, want)                                                                      \
    do {                                                                                           \
        int64_t got_ = (int64_t)(got);                                                             \
        int64_t want_ = (int64_t)(want);                                                           \
        if (got_ != want_) {                                                                       \
            test_failures++;                                                                       \
            printf("  %s:%d: %s is %" PRId64 ", not %" PRId64 "\n", __FILE__, __LINE__, #got,      \
                   got_, want_);                                                                   \
        }                                                                                          \
    } while (0)

/* Compares `len` bytes with a NUL-terminated text. */
#define EXPECT_TEXT(data, len, want)                                                               \
    do {                                                                                           \
        size_t len_ = (len);                                                                       \
        const char *want_ = (want);                                                                \
        if (len_ != strlen(want_) || memcmp((data), want_, len_) != 0) {                           \
            test_failures++;                                                                       \
            printf("  %s:%d: got \"%.*s\", not \"%s\"\n", __FILE__, __LINE__, (int)len_,           \
                   (const char *)(data), want_);                                                   \
        }                                                                                          \
    } while (0)

#define EXPECT_CSTR(got, want)                                                                     \
    do {                                                                                           \
        const char *got_ = (got);                                                                  \
        EXPECT_TEXT(got_, strlen(got_), want);                                                     \
    } while (0)

struct test {
    const char *name;
    void (*run)(void);
};

#define TEST(f) {#f, f}

static inline int test_main(const struct test *tests, size_t n, const char *only)
{
    int failed = 0;
    int ran = 0;
    setvbuf(stdout, NULL, _IOLBF, 0); /* an abort must not take the lines so far along */
    for (size_t i = 0; i < n; i++) {
        if (only != NULL && strstr(tests[i].name, only) == NULL)
            continue;
        test_failures = 0;
        tests[i].run();
        ran++;
        printf("%s %s\n", test_failures ? "FAIL" : "ok  ", tests[i].name);
        failed += test_failures != 0;
    }
    printf("%d passed, %d failed\n", ran - failed, failed);
    return failed != 0;
}

#define TEST_MAIN(...)                                                                             \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        const struct test tests[] = {__VA_ARGS__};                                                 \
        return test_main(tests, sizeof(tests) / sizeof(tests[0]), argc > 1 ? argv[1] : NULL);      \
    }

#endif
