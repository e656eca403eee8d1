/* memory: what INFO and MEMORY STATS say of memory. The sum is of what is counted where it is
 * allocated: the cache, clients, scripts; and of what the process had allocated besides when it had
 * begun. Asking the allocator each time would mean to go through all that is free in the heap. What
 * is not counted (batches under way, libpq's copies of them) is part of the resident set alone. */
#include "engine/internal.h"

#include "base/mem.h"
#include "engine/script.h"

static size_t counted(const struct engine *e, struct memory_use *out)
{
    struct keyspace_stats st;
    keyspace_get_stats(e->keyspace, &st);
    out->cache = st.memory;
    out->cache_max = st.max_memory;
    out->cache_keys = st.entries;
    out->clients = session_clients_memory(e);
    out->scripts = scripts_vm_memory(e) + script_memory_bytes(e);
    return out->cache + out->clients + out->scripts;
}

/* The heap is small, and has no holes yet. */
static void note_startup(struct engine *e, size_t known)
{
    size_t allocated = mem_allocated();
    e->startup_memory = allocated > known ? allocated - known : 1;
}

void memory_get_use(struct engine *e, struct memory_use *out)
{
    size_t known = counted(e, out);
    if (e->startup_memory == 0)
        note_startup(e, known);
    out->startup = e->startup_memory;
    out->used = out->startup + known;
    out->overhead = out->used - out->cache;
    if (out->used > e->peak_memory)
        e->peak_memory = out->used;
    out->peak = e->peak_memory;
}
