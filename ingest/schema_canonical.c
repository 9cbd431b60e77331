// The canonical form of a schema and its Rabin fingerprint.
//
// Source: Apache Avro 1.11 specification, "Transforming into Parsing Canonical Form" and "Schema
// Fingerprints".
#include "ingest/schema.h"

#define RABIN_EMPTY UINT64_C(0xc15d213aa4d7a795)

uint64_t schema_rabin(const void *bytes, size_t length) {
    uint64_t table[256];
    uint64_t fingerprint = RABIN_EMPTY;
    for (size_t i = 0; i < 256; i++) {
        uint64_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ (RABIN_EMPTY & (UINT64_C(0) - (value & 1)));
        table[i] = value;
    }
    for (size_t i = 0; i < length; i++)
        fingerprint =
            (fingerprint >> 8) ^ table[(fingerprint ^ ((const unsigned char *)bytes)[i]) & 0xff];
    return fingerprint;
}

struct writer {
    struct buffer *into;
    bool *written; // [type_count]: named types that stand in full already
};

static void write_type(struct writer *writer, const struct schema_type *type);

static void write_named(struct writer *writer, const struct schema_type *type) {
    struct buffer *into = writer->into;
    if (writer->written[type->number]) {
        buffer_append_text(into, "\"%s\"", type->name);
        return;
    }
    writer->written[type->number] = true;
    buffer_append_text(into, "{\"name\":\"%s\",\"type\":\"%s\"", type->name,
                       schema_kind_names[type->kind]);
    if (type->kind == SCHEMA_FIXED) {
        buffer_append_text(into, ",\"size\":%lld}", (long long)type->size);
        return;
    }
    buffer_append_text(into, type->kind == SCHEMA_RECORD ? ",\"fields\":[" : ",\"symbols\":[");
    for (size_t i = 0; i < type->count; i++) {
        if (i > 0)
            buffer_append_byte(into, ',');
        if (type->kind == SCHEMA_ENUM) {
            buffer_append_text(into, "\"%s\"", type->symbols[i].text);
            continue;
        }
        buffer_append_text(into, "{\"name\":\"%s\",\"type\":", type->fields[i].name);
        write_type(writer, type->fields[i].type);
        buffer_append_byte(into, '}');
    }
    buffer_append_text(into, "]}");
}

static void write_type(struct writer *writer, const struct schema_type *type) {
    struct buffer *into = writer->into;
    switch (type->kind) {
    case SCHEMA_RECORD:
    case SCHEMA_ENUM:
    case SCHEMA_FIXED:
        write_named(writer, type);
        return;
    case SCHEMA_ARRAY:
    case SCHEMA_MAP:
        buffer_append_text(into, type->kind == SCHEMA_ARRAY ? "{\"type\":\"array\",\"items\":"
                                                            : "{\"type\":\"map\",\"values\":");
        write_type(writer, type->items);
        buffer_append_byte(into, '}');
        return;
    case SCHEMA_UNION:
        buffer_append_byte(into, '[');
        for (size_t i = 0; i < type->count; i++) {
            if (i > 0)
                buffer_append_byte(into, ',');
            write_type(writer, type->branches[i]);
        }
        buffer_append_byte(into, ']');
        return;
    default:
        buffer_append_text(into, "\"%s\"", schema_kind_names[type->kind]);
    }
}

void schema_canonical(const struct schema *schema, struct buffer *into) {
    struct writer writer = {.into = into, .written = memory_new(schema->type_count, sizeof(bool))};
    if (writer.written == NULL) {
        into->failed = true;
        return;
    }
    write_type(&writer, schema->root);
    memory_free(writer.written);
}

enum status schema_fingerprint(const struct schema *schema, uint64_t *ret_fingerprint,
                               struct error *err) {
    struct buffer text;
    enum status status = STATUS_OK;
    buffer_init(&text);
    schema_canonical(schema, &text);
    if (text.failed)
        status = error_no_memory(err, text.length, "a schema's canonical form");
    else
        *ret_fingerprint = schema_rabin(text.data, text.length);
    buffer_deinit(&text);
    return status;
}
