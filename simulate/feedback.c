// Clicks and conversions in Avro binary.
#include "simulate/feedback.h"

#include "base/wire.h"

void feedback_click(struct buffer *into, const char *impression_id, int64_t event_time_ms) {
    buffer_reset(into);
    wire_put_string(into, impression_id);
    wire_put_long(into, event_time_ms);
}

void feedback_conversion(struct buffer *into, const char *impression_id, int64_t event_time_ms,
                         const char *kind, double value) {
    feedback_click(into, impression_id, event_time_ms);
    wire_put_string(into, kind);
    wire_put_double(into, value);
}
