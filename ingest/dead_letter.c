// Encodes and decodes dead letters in Avro binary by base/wire.h.
#include "ingest/dead_letter.h"

#include "base/wire.h"

// Optional bytes: the union [null, bytes].
static void put_optional(struct buffer *into, const void *bytes, size_t length) {
    wire_put_long(into, bytes != NULL);
    if (bytes != NULL)
        wire_put_bytes(into, bytes, length);
}

static const void *get_optional(struct wire *in, size_t *ret_length) {
    int64_t branch = wire_get_long(in);
    *ret_length = 0;
    if (branch == 1)
        return wire_get_bytes(in, ret_length);
    in->bad |= branch != 0;
    return NULL;
}

void dead_letter_encode(const struct dead_letter *letter, struct buffer *into) {
    wire_put_bytes(into, letter->reason, letter->reason_length);
    wire_put_bytes(into, letter->message, letter->message_length);
    wire_put_bytes(into, letter->topic, letter->topic_length);
    wire_put_long(into, letter->partition);
    wire_put_long(into, letter->offset);
    wire_put_long(into, letter->timestamp_ms);
    put_optional(into, letter->key, letter->key_length);
    put_optional(into, letter->value, letter->value_length);
}

enum status dead_letter_decode(const void *bytes, size_t length, struct dead_letter *ret_letter,
                               struct error *err) {
    struct wire in = wire_over(bytes, length);
    struct dead_letter letter = {0};
    letter.reason = (const char *)wire_get_bytes(&in, &letter.reason_length);
    letter.message = (const char *)wire_get_bytes(&in, &letter.message_length);
    letter.topic = (const char *)wire_get_bytes(&in, &letter.topic_length);
    letter.partition = wire_get_int(&in);
    letter.offset = wire_get_long(&in);
    letter.timestamp_ms = wire_get_long(&in);
    letter.key = get_optional(&in, &letter.key_length);
    letter.value = get_optional(&in, &letter.value_length);
    if (in.bad || in.at != in.end)
        return error_set(err, STATUS_INVALID, "could not decode a dead letter: %s",
                         in.bad ? "truncated or malformed" : "bytes are left over");
    *ret_letter = letter;
    return STATUS_OK;
}
