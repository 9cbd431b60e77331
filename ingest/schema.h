// An Avro schema as a graph of types: what a plan is made of.
//
// Source: Apache Avro 1.11 specification. Read from the JSON text itself, since Avro C drops
// logical types and knows no canonical form. Names are resolved; a recursive schema is a cycle in
// the graph. All limits are here, so that a schema from a registry can cost no more than they
// allow.
#ifndef FRESHET_INGEST_SCHEMA_H
#define FRESHET_INGEST_SCHEMA_H

#include "base/memory.h"

#define SCHEMA_TEXT_MAX (1 << 20) // bytes of JSON
#define SCHEMA_DEPTH_MAX 64       // types nested in types
#define SCHEMA_NAMED_MAX 4096     // records, enums and fixeds
#define SCHEMA_MEMBERS_MAX 16384  // fields, symbols or branches of one type

enum schema_kind {
    SCHEMA_NULL,
    SCHEMA_BOOLEAN,
    SCHEMA_INT,
    SCHEMA_LONG,
    SCHEMA_FLOAT,
    SCHEMA_DOUBLE,
    SCHEMA_BYTES,
    SCHEMA_STRING,
    SCHEMA_FIXED,
    SCHEMA_ENUM,
    SCHEMA_ARRAY,
    SCHEMA_MAP,
    SCHEMA_RECORD,
    SCHEMA_UNION,
};
extern const char *const schema_kind_names[];

enum schema_logical { SCHEMA_PLAIN, SCHEMA_MILLIS, SCHEMA_MICROS, SCHEMA_NANOS, SCHEMA_DATE };

#define SCHEMA_SIZE_VARIES (-1)

struct schema_type;
struct schema_symbol {
    const char *text;
    size_t length;
};
struct schema_field {
    const char *name;
    const struct schema_type *type;
};
// One step over a record that is not wanted: fields of constant size run together.
struct schema_step {
    int64_t bytes;                  // where type is NULL
    const struct schema_type *type; // a field whose size varies
};
struct schema_type {
    enum schema_kind kind;
    enum schema_logical logical;
    size_t number;         // dense within the schema
    const char *name;      // full name of a record, enum or fixed
    int64_t encoded_bytes; // when every value takes the same number, else SCHEMA_SIZE_VARIES
    size_t count;          // fields, symbols or branches
    struct schema_field *fields;
    struct schema_step *steps; // of a record whose size varies
    size_t step_count;
    struct schema_symbol *symbols;
    const struct schema_type **branches;
    const struct schema_type *items; // of an array or map
    int64_t size;                    // of a fixed
};

struct schema {
    struct arena arena; // owns all below
    const struct schema_type *root;
    size_t type_count;
};

// STATUS_INVALID: no JSON, no Avro schema, or beyond a limit; says what and where.
CHECKED enum status schema_parse(const char *text, size_t length, struct schema **ret_schema,
                                 struct error *err);
CHECKED enum status schema_load(const char *path, struct schema **ret_schema, struct error *err);
void schema_free(struct schema *schema); // NULL is fine

// Parsing Canonical Form (specification, "Transforming into Parsing Canonical Form"); appends.
void schema_canonical(const struct schema *schema, struct buffer *into);
// CRC-64-AVRO of the canonical form: what single-object encoding names the schema by.
CHECKED enum status schema_fingerprint(const struct schema *schema, uint64_t *ret_fingerprint,
                                       struct error *err);
uint64_t schema_rabin(const void *bytes, size_t length);

#endif
