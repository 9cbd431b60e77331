// A byte sink and source: how state is saved and loaded by code that knows no files.
#ifndef FRESHET_BASE_STREAM_H
#define FRESHET_BASE_STREAM_H

#include "base/status.h"

struct sink {
    enum status (*write)(void *self, const void *bytes, size_t length, struct error *err);
    void *self;
};
struct source {
    // Exactly `length` bytes, or STATUS_CORRUPT when fewer are left.
    enum status (*read)(void *self, void *bytes, size_t length, struct error *err);
    void *self;
};
CHECKED enum status sink_put(const struct sink *sink, const void *bytes, size_t length,
                             struct error *err);
CHECKED enum status source_get(const struct source *source, void *bytes, size_t length,
                               struct error *err);

#endif
