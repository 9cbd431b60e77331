// The envelope of a file log: Avro container files (Apache Avro 1.11 specification, "Object
// Container Files") of one fixed schema, null codec, written and read byte by byte.
//
// Bytes are placed here and not by Avro C's container writer, because a commit must know, cut and
// sync the exact place where it ends. A test opens the files with Avro C's reader.
#include "log/avro_files.h"

#include <string.h>

#include "base/hash.h"

static const unsigned char magic[4] = {'O', 'b', 'j', 1};

const char files_envelope_schema[] =
    "{\"type\":\"record\",\"name\":\"envelope\",\"namespace\":\"freshet\",\"fields\":["
    "{\"name\":\"offset\",\"type\":\"long\"},"
    "{\"name\":\"timestamp_ms\",\"type\":\"long\"},"
    "{\"name\":\"sequence\",\"type\":\"long\"},"
    "{\"name\":\"end_of_stream\",\"type\":\"boolean\"},"
    "{\"name\":\"key\",\"type\":[\"null\",\"bytes\"]},"
    "{\"name\":\"value\",\"type\":[\"null\",\"bytes\"]}]}";

void files_envelope_sync(const char *topic, int32_t partition, int64_t first,
                         unsigned char sync[FILES_SYNC_BYTES]) {
    uint64_t name = hash_bytes(topic, strlen(topic), (uint64_t)partition);
    for (int half = 0; half < 2; half++) {
        uint64_t bits = hash_mix(name ^ hash_mix((uint64_t)first * 2 + (uint64_t)half));
        for (int i = 0; i < 8; i++)
            sync[half * 8 + i] = (unsigned char)(bits >> (8 * i));
    }
}

void files_envelope_header(struct buffer *into, const unsigned char sync[FILES_SYNC_BYTES]) {
    buffer_append(into, magic, sizeof(magic));
    wire_put_long(into, 2); // entries of the metadata's one map block
    wire_put_string(into, "avro.codec");
    wire_put_string(into, "null");
    wire_put_string(into, "avro.schema");
    wire_put_string(into, files_envelope_schema);
    wire_put_long(into, 0);
    buffer_append(into, sync, FILES_SYNC_BYTES);
}

static bool text_is(const unsigned char *bytes, size_t length, const char *text) {
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

enum status files_envelope_parse(const char *path, const void *bytes, size_t length,
                                 size_t *ret_length, unsigned char sync[FILES_SYNC_BYTES],
                                 struct error *err) {
    if (length < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0)
        return error_set(err, STATUS_CORRUPT, "could not read %s: not an Avro container file",
                         path);
    struct wire in = wire_over(bytes, length);
    wire_skip(&in, sizeof(magic));
    bool schema = false, codec = true;
    int64_t entries;
    while ((entries = wire_get_long(&in)) > 0 && !in.bad)
        for (int64_t i = 0; i < entries && !in.bad; i++) {
            size_t key_length = 0, value_length = 0;
            const unsigned char *key = wire_get_bytes(&in, &key_length);
            const unsigned char *value = wire_get_bytes(&in, &value_length);
            if (in.bad)
                break;
            if (text_is(key, key_length, "avro.schema"))
                schema = text_is(value, value_length, files_envelope_schema);
            if (text_is(key, key_length, "avro.codec"))
                codec = text_is(value, value_length, "null");
        }
    const unsigned char *marker = in.at;
    wire_skip(&in, FILES_SYNC_BYTES);
    if (in.bad || entries < 0)
        return error_set(err, STATUS_CORRUPT, "could not read %s: its header is malformed", path);
    if (!schema || !codec)
        return error_set(err, STATUS_UNSUPPORTED,
                         "could not read %s: not the envelope of a file log (schema or codec)",
                         path);
    memcpy(sync, marker, FILES_SYNC_BYTES);
    *ret_length = (size_t)(in.at - (const unsigned char *)bytes);
    return STATUS_OK;
}

static void nullable_put(struct buffer *into, const void *bytes, size_t length) {
    buffer_append_byte(into, bytes ? 2 : 0); // union branch 1 or 0, zigzag
    if (bytes)
        wire_put_bytes(into, bytes, length);
}

void files_envelope_put(struct buffer *into, const struct log_record *record) {
    wire_put_long(into, record->offset);
    wire_put_long(into, record->timestamp_ms);
    wire_put_long(into, record->sequence);
    buffer_append_byte(into, record->end_of_stream ? 1 : 0);
    nullable_put(into, record->key, record->key_length);
    nullable_put(into, record->value, record->value_length);
}

static const void *nullable_get(struct wire *in, size_t *ret_length) {
    *ret_length = 0;
    int64_t branch = wire_get_long(in);
    if (branch == 1)
        return wire_get_bytes(in, ret_length);
    if (branch != 0)
        in->bad = true;
    return NULL;
}

void files_envelope_get(struct wire *in, struct log_record *record) {
    record->offset = wire_get_long(in);
    record->timestamp_ms = wire_get_long(in);
    record->sequence = wire_get_long(in);
    record->end_of_stream = wire_get_bool(in);
    record->key = nullable_get(in, &record->key_length);
    record->value = nullable_get(in, &record->value_length);
}

size_t files_envelope_block(const unsigned char *bytes, size_t length, int64_t *ret_count,
                            int64_t *ret_bytes) {
    struct wire in = wire_over(bytes, length);
    *ret_count = wire_get_long(&in);
    *ret_bytes = wire_get_long(&in);
    if (in.bad || *ret_count <= 0 || *ret_bytes <= 0)
        return 0;
    return (size_t)(in.at - bytes);
}
