// Checked allocation, arenas and growable byte buffers.
//
// Every allocation of the project goes through here, so that sizes are checked for overflow in one
// place and a test can make the n-th one fail (memory_fail_after).
#ifndef FRESHET_BASE_MEMORY_H
#define FRESHET_BASE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

// count x size zeroed bytes, 64-byte aligned; NULL when that overflows or memory is out.
void *memory_new(size_t count, size_t size);
// Grows or shrinks a block of memory_new from old_count to count; new bytes are zero. NULL on
// failure, the old block then stays. Contents move, so no pointer into the block survives.
void *memory_resize(void *block, size_t old_count, size_t count, size_t size);
void memory_free(void *block);              // NULL is fine
char *memory_copy_string(const char *text); // freed by memory_free; NULL on failure

// For a program's main: the C allocator keeps what is freed for the next use, instead of giving it
// to the system and taking it back page by page, as it does with a Kafka client's buffers.
void memory_keep(void);

// Tests: the n-th allocation from now (1 = the next) and all that follow fail, until called with 0.
void memory_fail_after(uint64_t n);

// Arena: many small allocations with one lifetime. Named by that lifetime where it is declared.
struct arena {
    struct arena_block *first; // newest block
    size_t block_bytes;
    size_t used_bytes; // in all blocks
};
void arena_init(struct arena *arena, size_t block_bytes);        // allocates nothing yet
void *arena_get(struct arena *arena, size_t count, size_t size); // zeroed, 16-byte aligned, or NULL
char *arena_copy_string(struct arena *arena, const char *text, size_t length); // NUL-terminated
void arena_reset(struct arena *arena);  // keeps one block for reuse; all pointers die
void arena_deinit(struct arena *arena); // frees all

// Growable bytes. After a failed append `failed` stays true and further appends do nothing, so that
// a long run of appends needs one check at its end.
struct buffer {
    unsigned char *data;
    size_t length;
    size_t capacity;
    bool failed;
};
void buffer_init(struct buffer *buffer);
void buffer_deinit(struct buffer *buffer);
void buffer_reset(struct buffer *buffer);                // length 0, failed false, capacity kept
void *buffer_grow(struct buffer *buffer, size_t length); // what buffer_reserve does when full

// Room for `length` more bytes at data+length, which the caller fills and then adds to length; NULL
// when memory is out. This and buffer_append are inline, as codecs call them for a few bytes each.
static inline void *buffer_reserve(struct buffer *buffer, size_t length) {
    if (!buffer->failed && buffer->data && length <= buffer->capacity - buffer->length) {
        return buffer->data + buffer->length;
    }
    return buffer_grow(buffer, length);
}
static inline void buffer_append(struct buffer *buffer, const void *bytes, size_t length) {
    void *place = buffer_reserve(buffer, length);
    if (place && length > 0) {
        memcpy(place, bytes, length);
        buffer->length += length;
    }
}
void buffer_append_byte(struct buffer *buffer, unsigned char byte);
void buffer_append_text(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
