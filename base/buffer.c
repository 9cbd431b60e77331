// Growable bytes: doubling blocks of base/memory.h; owns `data` and nothing else.
#include "base/memory.h"

#include <string.h>

enum { BUFFER_LEAST = 256 };

void buffer_init(struct buffer *buffer) {
    *buffer = (struct buffer){0};
}

void buffer_deinit(struct buffer *buffer) {
    memory_free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_reset(struct buffer *buffer) {
    buffer->length = 0;
    buffer->failed = false;
}

void *buffer_grow(struct buffer *buffer, size_t length) {
    if (buffer->failed) {
        return NULL;
    }
    if (length > SIZE_MAX / 4 || buffer->length > SIZE_MAX / 4) {
        buffer->failed = true;
        return NULL;
    }
    size_t wanted = buffer->length + length;
    size_t capacity = buffer->capacity ? buffer->capacity * 2 : BUFFER_LEAST;
    capacity = capacity < wanted ? wanted : capacity;
    unsigned char *data = memory_resize(buffer->data, buffer->length, capacity, 1);
    if (!data) {
        buffer->failed = true;
        return NULL;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return data + buffer->length;
}

void buffer_append_byte(struct buffer *buffer, unsigned char byte) {
    buffer_append(buffer, &byte, 1);
}

void buffer_append_text(struct buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
    } else {
        size_t bytes = (size_t)length + 1; // vsnprintf's NUL stays outside the buffer's length
        char *place = buffer_reserve(buffer, bytes);
        if (place) {
            vsnprintf(place, bytes, format, again);
            buffer->length += (size_t)length;
        }
    }
    va_end(again);
}
