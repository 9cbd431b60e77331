// Encoders of schemas/click.avsc and schemas/conversion.avsc.
#ifndef FRESHET_SIMULATE_FEEDBACK_H
#define FRESHET_SIMULATE_FEEDBACK_H

#include "base/memory.h"

// Both replace what the buffer holds; check into->failed.
void feedback_click(struct buffer *into, const char *impression_id, int64_t event_time_ms);
void feedback_conversion(struct buffer *into, const char *impression_id, int64_t event_time_ms,
                         const char *kind, double value);

#endif
