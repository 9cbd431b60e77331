// Records of any bytes through the decoder, in its three framings.
//
// The first byte picks the input: plain, single-object, Confluent (whose schemas come with a
// checkpoint, as a fold repeated would have them), or an input of many events a record.
#include <stdio.h>
#include <string.h>

#include "base/wire.h"
#include "ingest/decoder.h"
#include "ingest/schema.h"
#include "tests/fuzz/fuzz.h"
#include "tests/ingest/decode_root.h"

// Whatever Avro has: a recursive record, unions, arrays, maps, enums, fixed, logical times.
#define RICH                                                                                       \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["                                             \
    "{\"name\":\"impression_id\",\"type\":[\"null\",\"string\",\"long\"]},"                        \
    "{\"name\":\"event_time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}," \
    "{\"name\":\"next\",\"type\":[\"null\",\"R\"]},"                                               \
    "{\"name\":\"categorical\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\","         \
    "\"items\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"a\",\"b\"]}}}},"                   \
    "{\"name\":\"numeric\",\"type\":{\"type\":\"record\",\"name\":\"N\",\"fields\":["              \
    "{\"name\":\"quality\",\"type\":[\"int\",\"float\",\"double\",\"boolean\",\"null\"]}]}},"      \
    "{\"name\":\"nothing\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"                     \
    "{\"name\":\"user_id\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":7}}]}"

static const char yaml[] =
    "ingest:\n"
    "  registry: {url: 'http://127.0.0.1:1', attempts: 1}\n"
    "  inputs:\n"
    "    - {name: plain, topic: a, role: impression, schema: schemas/impression.avsc,\n"
    "       time: event_time, key: [impression_id]}\n"
    "    - {name: single, topic: b, role: impression, schema: schemas/impression.avsc,\n"
    "       framing: single_object, time: event_time, key: [impression_id]}\n"
    "    - {name: rich, topic: c, role: impression, framing: confluent, time: event_time, key: "
    "[impression_id]}\n"
    "    - {name: clicks, topic: d, role: feedback, schema: schemas/click.avsc,\n"
    "       time: event_time, key: [impression_id]}\n"
    "data:\n"
    "  features:\n"
    "    - {name: user_id}\n"
    "    - {name: group, path: categorical.k}\n"
    "    - {name: kinds, path: categorical.kk, kind: multi, length_max: 3}\n"
    "    - {name: quality, path: numeric.quality, kind: numeric}\n"
    "  tasks: [{name: click, input: clicks}]\n";

struct memory_source {
    const unsigned char *at;
    size_t left;
};
static enum status memory_read(void *self, void *bytes, size_t length, struct error *err) {
    struct memory_source *memory = self;
    if (length > memory->left)
        return error_set(err, STATUS_CORRUPT, "the end");
    memcpy(bytes, memory->at, length);
    memory->at += length;
    memory->left -= length;
    return STATUS_OK;
}

static enum status answer_sink(void *self, const void *bytes, size_t length, struct error *err) {
    (void)err;
    buffer_append(self, bytes, length);
    return STATUS_OK;
}

// One answer in the form of registry_save: count, id, length + 1, text.
static void answers_load(struct decoder *decoder) {
    struct error err;
    struct buffer bytes, saved;
    const uint64_t numbers[] = {1, 7, sizeof RICH};
    buffer_init(&bytes);
    buffer_init(&saved);
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 8; k++)
            buffer_append_byte(&bytes, (unsigned char)(numbers[i] >> 8 * k));
    buffer_append(&bytes, RICH, strlen(RICH));
    struct memory_source memory = {bytes.data, bytes.length};
    struct source source = {memory_read, &memory};
    struct sink sink = {answer_sink, &saved};
    REQUIRE(decoder_load(decoder, &source, &err) == STATUS_OK);
    REQUIRE(decoder_save(decoder, &sink, &err) == STATUS_OK);
    REQUIRE(saved.length == bytes.length); // the form is still the one written above
    buffer_deinit(&bytes);
    buffer_deinit(&saved);
}

static struct decoder *the_decoder(void) {
    static struct decoder *decoder;
    static struct arena arena;
    static struct decode_root root;
    struct error err;
    if (decoder)
        return decoder;
    arena_init(&arena, 4096);
    enum status status = decode_root_parse("fuzz", yaml, &arena, &root, &err);
    if (status == STATUS_OK)
        status = decoder_new(&root.ingest, &root.data, &clock_system, &decoder, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "%s\n", err.message);
    REQUIRE(status == STATUS_OK);
    answers_load(decoder);
    return decoder;
}

static enum status count(void *self, const struct event *event, struct error *err) {
    (void)err;
    REQUIRE(event->event_time_ms >= 0 && event->key_length > 0);
    ++*(uint64_t *)self;
    return STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    struct decoder *decoder = the_decoder();
    struct error err;
    uint64_t events = 0;
    struct decoder_result result = {0};
    if (length == 0)
        return 0;
    uint32_t input = bytes[0] % 4;
    // Confluent records of other ids would be asked for over the network.
    static const unsigned char frame[5] = {0, 0, 0, 0, 7};
    if (input == 2 && (length < 6 || memcmp(bytes + 1, frame, sizeof frame) != 0))
        return 0;
    struct log_record record = {.timestamp_ms = 1700000000000,
                                .sequence = LOG_NO_SEQUENCE,
                                .value = bytes + 1,
                                .value_length = length - 1};
    REQUIRE(decoder_decode(decoder, input, &record, count, &events, &result, &err) == STATUS_OK);
    for (int i = 0; i < EVENT_DROPS; i++)
        events += result.dropped[i];
    REQUIRE(events == 1); // used or dropped for a reason, once
    (void)decoder_event_time(decoder, input, &record);
    return 0;
}

static void impression(struct buffer *into) {
    wire_put_string(into, "p1");
    wire_put_long(into, 1700000000000);
    wire_put_string(into, "u1");
    wire_put_string(into, "i1");
    wire_put_string(into, "d1");
    wire_put_long(into, -2); // a block with its size
    wire_put_long(into, 12);
    for (int i = 0; i < 2; i++) {
        wire_put_string(into, i ? "k" : "kk");
        wire_put_string(into, "v");
    }
    wire_put_long(into, 0);
    wire_put_long(into, 1);
    wire_put_string(into, "quality");
    wire_put_double(into, 0.5);
    wire_put_long(into, 0);
}

static void rich(struct buffer *into, int depth) {
    wire_put_long(into, 1);
    wire_put_string(into, "key");
    wire_put_long(into, 1700000000000000);
    wire_put_long(into, depth > 0);
    if (depth > 0)
        rich(into, depth - 1);
    wire_put_long(into, 1); // a map of one array of two symbols
    wire_put_string(into, "kk");
    wire_put_long(into, 2);
    wire_put_long(into, 0);
    wire_put_long(into, 1);
    wire_put_long(into, 0);
    wire_put_long(into, 0);
    wire_put_long(into, 2);
    wire_put_double(into, 1.5);
    wire_put_long(into, 1000000); // items without bytes
    wire_put_long(into, 0);
    buffer_append(into, "fixed77", 7);
}

void fuzz_seeds(void (*emit)(const void *bytes, size_t length)) {
    struct buffer seed;
    static const unsigned char single[] = {1, 0xc3, 0x01}, confluent[] = {2, 0, 0, 0, 0, 7};
    struct schema *schema;
    struct error err;
    uint64_t fingerprint;
    REQUIRE(schema_load("schemas/impression.avsc", &schema, &err) == STATUS_OK &&
            schema_fingerprint(schema, &fingerprint, &err) == STATUS_OK);
    schema_free(schema);
    buffer_init(&seed);
    buffer_append_byte(&seed, 0);
    impression(&seed);
    emit(seed.data, seed.length);
    buffer_reset(&seed);
    buffer_append(&seed, single, sizeof single);
    wire_put_fixed64(&seed, fingerprint);
    impression(&seed);
    emit(seed.data, seed.length);
    for (int depth = 0; depth < 3; depth++) {
        buffer_reset(&seed);
        buffer_append(&seed, confluent, sizeof confluent);
        rich(&seed, depth);
        emit(seed.data, seed.length);
    }
    buffer_reset(&seed);
    buffer_append_byte(&seed, 3);
    wire_put_string(&seed, "p1");
    wire_put_long(&seed, 1700000000000);
    emit(seed.data, seed.length);
    REQUIRE(!seed.failed);
    buffer_deinit(&seed);
}
