// Calls through sinks and sources; a length of 0 touches neither.
#include "base/stream.h"

enum status sink_put(const struct sink *sink, const void *bytes, size_t length, struct error *err) {
    return length == 0 ? STATUS_OK : sink->write(sink->self, bytes, length, err);
}

enum status source_get(const struct source *source, void *bytes, size_t length, struct error *err) {
    return length == 0 ? STATUS_OK : source->read(source->self, bytes, length, err);
}
