/* Whatever the bytes, decoding does not crash; what it accepts is encoded to the same bytes again;
 * and a folder with such a file can be checked and repaired, and is whole then. The first byte of
 * the input chooses; checksums are made right where the fuzzer would never guess them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/journal/format.h"
#include "store/journal/warm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_le32(char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(v >> 8 * i & 0xff);
}

/* A frame around the bytes given. */
static void frame(struct bytes payload, struct buf *out)
{
    char head[FRAME_HEAD_SIZE];
    memcpy(head, frame_marker, 4);
    put_le32(head + 4, (uint32_t)payload.len);
    put_le32(head + 8, crc32c(crc32c(0, head + 4, 4), payload.data, payload.len));
    buf_append(out, head, sizeof(head));
    buf_append_bytes(out, payload);
}

static void decode(struct bytes in)
{
    struct journal_record r;
    size_t used = 0;
    char *exact = mem_alloc(in.len); /* so that a read behind the end is seen */
    if (in.len > 0)
        memcpy(exact, in.data, in.len);
    if (journal_decode(bytes_of(exact, in.len), &r, &used) == JOURNAL_PARSED) {
        struct buf again;
        buf_init(&again);
        CHECK(used <= in.len);
        journal_encode(&r, &again);
        CHECK(bytes_eq(buf_bytes(&again), bytes_of(exact, used)));
        buf_release(&again);
        mem_free(r.items);
    }
    mem_free(exact);
}

/* ---- a folder ---- */

static char dir[64];

static void write_file(const char *name, struct bytes s)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "wbe");
    CHECK(f != NULL && fwrite(s.data, 1, s.len, f) == s.len && fclose(f) == 0);
}

static void clean_folder(void)
{
    char path[128];
    static const char *const names[] = {"journal.0000000001",
                                        "journal.0000000002",
                                        "journal.0000000001.damaged",
                                        "snapshot.0000000003",
                                        "journal.0000000002.damaged",
                                        "snapshot.0000000002",
                                        "warm"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
}

static void remove_folder(void)
{
    char path[128];
    clean_folder();
    snprintf(path, sizeof(path), "%s/lock", dir);
    unlink(path);
    rmdir(dir);
}

/* The input cut into pieces: of each, the first byte is how it is to be dressed, the second its
 * length. */
static void dress(const uint8_t *data, size_t size, struct buf *out)
{
    static const uint8_t id[ID_SIZE] = {1};
    while (size >= 2) {
        size_t n = data[1] < size - 2 ? data[1] : size - 2;
        struct bytes piece = {(const char *)data + 2, n};
        if (data[0] % 4 == 0 && n > 0)
            frame(piece, out);
        else if (data[0] % 4 == 1)
            buf_append_bytes(out, piece);
        else if (data[0] % 4 == 2) {
            mark_encode(out->len - (out->len > n ? n : 0), id, buf_reserve(out, MARK_SIZE));
            out->len += MARK_SIZE;
        } else {
            memset(buf_reserve(out, n + 1), 0, n);
            out->len += n;
        }
        data += 2 + n;
        size -= 2 + n;
    }
}

static void count_record(void *arg, const struct journal_record *r)
{
    (void)r;
    ++*(size_t *)arg;
}

static void check_and_repair(const uint8_t *data, size_t size, bool followed)
{
    struct buf text;
    struct buf file;
    size_t records = 0;
    struct file_header h = {.kind = FILE_SEGMENT, .number = 1, .id = {1}, .name = "fuzz"};
    buf_init(&text);
    buf_init(&file);
    header_encode(&h, buf_reserve(&file, FILE_HEADER_SIZE));
    file.len = FILE_HEADER_SIZE;
    dress(data, size, &file);
    write_file("journal.0000000001", buf_bytes(&file));
    if (followed) {
        h.number = 2;
        h.previous = 1;
        h.previous_end = file.len;
        header_encode(&h, file.data);
        write_file("journal.0000000002", bytes_of(file.data, FILE_HEADER_SIZE));
    }
    journal_check(dir, &text);
    CHECK(journal_repair(dir, &text));
    CHECK(journal_check(dir, &text));
    struct journal_options o = {.dir = dir, .read_only = true};
    struct journal_events e = {.record = count_record};
    struct journal *j = journal_open(NULL, &o, &e, &records, &text);
    CHECK(j != NULL);
    journal_close(j);
    clean_folder();
    buf_release(&file);
    buf_release(&text);
}

/* What is damaged is passed over, the rest is read. */
static void load_warm(const uint8_t *data, size_t size)
{
    struct buf file;
    size_t records = 0;
    struct file_header h = {.kind = FILE_WARM};
    buf_init(&file);
    header_encode(&h, buf_reserve(&file, FILE_HEADER_SIZE));
    file.len = FILE_HEADER_SIZE;
    dress(data, size, &file);
    write_file("warm", buf_bytes(&file));
    uint64_t loaded = warm_load(dir, count_record, &records);
    CHECK(loaded == records);
    buf_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (dir[0] == '\0') {
        hash_seed();
        log_set_level((enum log_level)(LOG_WARNING + 1)); /* silent */
        snprintf(dir, sizeof(dir), "/dev/shm/journal-fuzz-XXXXXX");
        CHECK(mkdtemp(dir) != NULL);
        atexit(remove_folder);
    }
    struct bytes rest = {(const char *)data + 1, size - 1};
    struct buf framed;
    buf_init(&framed);
    switch (data[0] % 8) {
    case 0:
        decode(rest);
        break;
    case 1:
        check_and_repair(data + 1, size - 1, false);
        break;
    case 2:
        check_and_repair(data + 1, size - 1, true);
        break;
    case 4:
        load_warm(data + 1, size - 1);
        break;
    default:
        if (rest.len > 0)
            frame(rest, &framed);
        decode(buf_bytes(&framed));
        break;
    }
    buf_release(&framed);
    return 0;
}
