// A client of a Confluent-compatible schema registry: GET /schemas/ids/{id}, with every answer
// kept.
//
// A registry never gives an id another schema, so that an answer once had stays true; "there is no
// such id" is kept as well, so that a fold repeated from a checkpoint sees what it saw before.
// Answers are bounded in size, time and number; when the cache is full the oldest answer gives way.
#ifndef FRESHET_INGEST_REGISTRY_H
#define FRESHET_INGEST_REGISTRY_H

#include "base/clock.h"
#include "base/stream.h"
#include "ingest/settings.h"

struct registry; // one owner thread

CHECKED enum status registry_new(const struct ingest_registry *settings, const struct clock *clock,
                                 struct registry **ret_registry, struct error *err);
void registry_free(struct registry *registry); // NULL is fine

// The schema's text, borrowed until the next call. STATUS_NOT_FOUND: the registry has no such id,
// or not as an Avro schema that stands alone (said in err; kept). STATUS_UNAVAILABLE: not reached
// within the attempts, or an answer that is none of a registry. STATUS_INVALID: access refused, or
// an answer beyond its bound.
CHECKED enum status registry_schema(struct registry *registry, uint32_t id, const char **ret_text,
                                    size_t *ret_length, struct error *err);
// Whether the answer for this id is kept: registry_schema then asks nobody.
bool registry_knows(const struct registry *registry, uint32_t id);

CHECKED enum status registry_save(const struct registry *registry, const struct sink *sink,
                                  struct error *err);
CHECKED enum status registry_load(struct registry *registry, const struct source *source,
                                  struct error *err); // replaces what is kept

#endif
