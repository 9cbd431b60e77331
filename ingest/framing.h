// Framing: what stands before the Avro bytes of a record's value.
//
// Sources: Apache Avro 1.11 specification, "Single-object encoding" (C3 01, then the fingerprint of
// the schema, little-endian); Confluent's wire format (0, then the schema's id, big-endian).
#ifndef FRESHET_INGEST_FRAMING_H
#define FRESHET_INGEST_FRAMING_H

#include "ingest/settings.h"

struct framing {
    uint64_t schema; // fingerprint or id; 0 with plain framing
    const unsigned char *body;
    size_t body_length;
};
// False when the value is shorter than its framing or does not begin as it should.
bool framing_open(enum ingest_framing framing, const void *value, size_t length,
                  struct framing *ret_framing);

#endif
