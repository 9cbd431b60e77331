// Heap blocks and arenas: the only callers of the C allocator (base/buffer.c builds on them).
//
// Every block starts at a multiple of 64 bytes, a cache line, so that vector loads of rows never
// split one. A block has no header of its own: its size is the caller's to know, as memory_resize
// asks.
#include "base/memory.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum { BLOCK_ALIGNMENT = 64, HUGE_PAGE = 2 << 20, ARENA_ALIGNMENT = 16, ARENA_BLOCK_LEAST = 256 };

// glibc takes no greater KEEP_BLOCK; any of these ends its own moving of the others.
enum { KEEP_BLOCK = 32 << 20, KEEP_FREE = 1 << 30, KEEP_GROWTH = 16 << 20 };

void memory_keep(void) {
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, KEEP_BLOCK);
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_FREE);
    (void)mallopt(M_TOP_PAD, KEEP_GROWTH);
#endif
}

// 0 = no fault planted, 1 = every allocation fails, n = the n-th from now is the first to fail.
static _Atomic uint64_t fail_countdown;

static bool fault_strikes(void) {
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left > 1) {
        if (atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {
            return false;
        }
    }
    return left == 1;
}

// An uninitialised block of at least `bytes` (one line at least), or NULL.
static void *block_get(size_t bytes) {
    if (bytes > SIZE_MAX / 2 || fault_strikes()) {
        return NULL;
    }
    size_t alignment = bytes < HUGE_PAGE ? (size_t)BLOCK_ALIGNMENT : (size_t)HUGE_PAGE;
    size_t rounded = (bytes + alignment - 1) & ~(alignment - 1);
    void *block = aligned_alloc(alignment, rounded ? rounded : alignment);
#ifdef MADV_HUGEPAGE
    if (block && bytes >= HUGE_PAGE) // a hint: numeric work walks such blocks with long strides
        (void)madvise(block, bytes & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
    return block;
}

static bool product_fits(size_t count, size_t size) {
    return size == 0 || count <= SIZE_MAX / 2 / size;
}

void *memory_new(size_t count, size_t size) {
    if (!product_fits(count, size)) {
        return NULL;
    }
    void *block = block_get(count * size);
    if (block) {
        memset(block, 0, count * size);
    }
    return block;
}

void *memory_resize(void *block, size_t old_count, size_t count, size_t size) {
    if (!product_fits(count, size)) {
        return NULL;
    }
    unsigned char *moved = block_get(count * size);
    if (!moved) {
        return NULL;
    }
    size_t kept = (old_count < count ? old_count : count) * size;
    if (block && kept > 0) {
        memcpy(moved, block, kept);
    } else {
        kept = 0;
    }
    memset(moved + kept, 0, count * size - kept);
    free(block);
    return moved;
}

void memory_free(void *block) {
    free(block);
}

char *memory_copy_string(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = memory_new(bytes, 1);
    if (copy) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void memory_fail_after(uint64_t n) {
    atomic_store(&fail_countdown, n);
}

struct arena_block {
    struct arena_block *older;
    size_t capacity; // bytes after this header
    size_t used;
};
enum { ARENA_HEADER = 32 };
_Static_assert(sizeof(struct arena_block) <= ARENA_HEADER, "the header keeps the bytes aligned");

void arena_init(struct arena *arena, size_t block_bytes) {
    *arena = (struct arena){.block_bytes =
                                block_bytes < ARENA_BLOCK_LEAST ? ARENA_BLOCK_LEAST : block_bytes};
}

static unsigned char *arena_bytes(struct arena_block *block) {
    return (unsigned char *)block + ARENA_HEADER;
}

void *arena_get(struct arena *arena, size_t count, size_t size) {
    if (!product_fits(count, size) || count * size > SIZE_MAX / 4) {
        return NULL;
    }
    size_t bytes = (count * size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    struct arena_block *block = arena->first;
    if (!block || block->capacity - block->used < bytes) {
        size_t capacity = bytes > arena->block_bytes ? bytes : arena->block_bytes;
        block = block_get(ARENA_HEADER + capacity);
        if (!block) {
            return NULL;
        }
        *block = (struct arena_block){.older = arena->first, .capacity = capacity};
        arena->first = block;
    }
    unsigned char *place = arena_bytes(block) + block->used;
    block->used += bytes;
    arena->used_bytes += bytes;
    memset(place, 0, bytes);
    return place;
}

char *arena_copy_string(struct arena *arena, const char *text, size_t length) {
    if (length == SIZE_MAX) {
        return NULL;
    }
    char *copy = arena_get(arena, length + 1, 1);
    if (copy && length > 0) {
        memcpy(copy, text, length);
    }
    return copy;
}

void arena_reset(struct arena *arena) {
    struct arena_block *kept = arena->first;
    if (kept) {
        for (struct arena_block *block = kept->older, *older; block; block = older) {
            older = block->older;
            memory_free(block);
        }
        kept->older = NULL;
        kept->used = 0;
    }
    arena->used_bytes = 0;
}

void arena_deinit(struct arena *arena) {
    arena_reset(arena);
    memory_free(arena->first);
    arena->first = NULL;
}
