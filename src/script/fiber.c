/* fiber: see fiber.h. A page below the stack is no memory: what runs off the stack ends the process
 * instead of writing elsewhere. */
#include "script/fiber.h"

#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

struct fiber {
    ucontext_t self;
    ucontext_t back; /* of whoever resumed it */
    char *memory;    /* the guard page, and the stack behind it */
    size_t guard;
    size_t size;
    void (*body)(void *arg);
    void *arg;
    bool running;
    bool ended;
#ifdef HAS_ASAN /* ASan must know on which stack we are */
    void *fake;
    const void *back_bottom;
    size_t back_size;
#endif
};

struct fiber *fiber_new(size_t stack_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct fiber *f = mem_zalloc(sizeof(*f));
    f->guard = page;
    f->size = (stack_bytes + page - 1) / page * page;
    f->ended = true;
    f->memory = mmap(NULL, f->guard + f->size, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f->memory == MAP_FAILED ||
        mprotect(f->memory + f->guard, f->size, PROT_READ | PROT_WRITE) != 0) {
        if (f->memory != MAP_FAILED)
            munmap(f->memory, f->guard + f->size);
        mem_free(f);
        return NULL;
    }
    return f;
}

void fiber_free(struct fiber *f)
{
    if (f == NULL)
        return;
    CHECK(f->ended);
    munmap(f->memory, f->guard + f->size);
    mem_free(f);
}

static void entry(unsigned low, unsigned high)
{
    struct fiber *f = (struct fiber *)(((uintptr_t)high << 32) | low); /* makecontext passes ints */
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(NULL, &f->back_bottom, &f->back_size);
#endif
    f->body(f->arg);
    f->ended = true;
#ifdef HAS_ASAN
    __sanitizer_start_switch_fiber(NULL, f->back_bottom, f->back_size);
#endif
    setcontext(&f->back);
    check_failed("setcontext", __FILE__, __LINE__);
}

bool fiber_resume(struct fiber *f)
{
    CHECK(!f->running && !f->ended);
    f->running = true;
#ifdef HAS_ASAN
    void *fake;
    __sanitizer_start_switch_fiber(&fake, f->memory + f->guard, f->size);
#endif
    int rc = swapcontext(&f->back, &f->self);
    CHECK(rc == 0);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
    f->running = false;
    return f->ended;
}

bool fiber_start(struct fiber *f, void (*body)(void *arg), void *arg)
{
    CHECK(f->ended && !f->running);
    int rc = getcontext(&f->self);
    CHECK(rc == 0);
    f->self.uc_stack.ss_sp = f->memory + f->guard;
    f->self.uc_stack.ss_size = f->size;
    f->self.uc_link = NULL;
    f->body = body;
    f->arg = arg;
    f->ended = false;
    uintptr_t self = (uintptr_t)f;
    makecontext(&f->self, (void (*)(void))(void *)entry, 2, (unsigned)(self & 0xffffffffu),
                (unsigned)(self >> 32));
    return fiber_resume(f);
}

void fiber_pause(struct fiber *f)
{
    CHECK(f->running);
#ifdef HAS_ASAN
    __sanitizer_start_switch_fiber(&f->fake, f->back_bottom, f->back_size);
#endif
    int rc = swapcontext(&f->self, &f->back);
    CHECK(rc == 0);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(f->fake, &f->back_bottom, &f->back_size);
#endif
}
