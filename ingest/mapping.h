// The mapping: which paths of an input become which parts of an event, and the making of the event.
//
// A mapping is made once an input and lists the paths it wants (for plan_new); it is the sink of
// the walk that follows, turns the values found into columns, key, time and labels, and hands each
// event on. One row of columns is kept and used again for every event.
#ifndef FRESHET_INGEST_MAPPING_H
#define FRESHET_INGEST_MAPPING_H

#include "ingest/decoder.h"
#include "ingest/plan.h"

#define MAPPING_KEY_MAX 4096   // bytes of a join key
#define MAPPING_DOMAIN_MAX 128 // bytes of a domain's name

struct mapping; // one owner thread

// settings and spec are borrowed. STATUS_INVALID: a path that is none, or a task that no input can
// bring.
CHECKED enum status mapping_new(const struct ingest_settings *settings, const struct spec *spec,
                                uint32_t input, struct mapping **ret_mapping, struct error *err);
void mapping_free(struct mapping *mapping); // NULL is fine

const struct path *mapping_each(const struct mapping *mapping); // NULL = the record is the event
const struct plan_want *mapping_wants(const struct mapping *mapping, size_t *ret_count);
const struct plan_want *mapping_time_want(const struct mapping *mapping);

// Whether the plan's schema can give what is mapped: a wanted path that it lacks or that has
// another type is STATUS_INVALID, with what is available there; *ret_drop then tells which of the
// two it is. `strict`: optional paths must be there too.
CHECKED enum status mapping_check(const struct mapping *mapping, const struct plan *plan,
                                  const struct schema *schema, bool strict,
                                  enum event_drop *ret_drop, struct error *err);

// Walks the record's Avro bytes and calls `each` for its events; drops are added to *result.
CHECKED enum status mapping_decode(struct mapping *mapping, const struct plan *plan,
                                   const void *bytes, size_t length, int64_t timestamp_ms,
                                   enum status (*each)(void *self, const struct event *event,
                                                       struct error *err),
                                   void *self, struct decoder_result *result, struct error *err);
// Event time from the value of mapping_time_want, or -1 when it is missing, negative or absurd.
int64_t mapping_time(const struct mapping *mapping, const struct plan_value *value,
                     int64_t timestamp_ms);
struct decoder_counts mapping_counts(const struct mapping *mapping);

#endif
