// The codecs of what passes between stages: journal, weights, example, dead letter, model spec,
// control.
//
// The first byte picks the codec. What decodes is encoded again and must decode to the same bytes.
#include <string.h>

#include "ingest/dead_letter.h"
#include "record/example.h"
#include "record/control.h"
#include "record/weights.h"
#include "stage/journal.h"
#include "tests/fuzz/fuzz.h"

static const struct example_shape shape = {77, 2, 1, 1, 1, 2};

static void journal_try(const uint8_t *bytes, size_t length) {
    struct journal_record record, again;
    struct arena arena;
    struct error err;
    struct buffer text;
    arena_init(&arena, 1024);
    buffer_init(&text);
    if (journal_decode(bytes, length, &arena, &record, &err) == STATUS_OK) {
        journal_encode(&record, &text);
        REQUIRE(text.failed ||
                journal_decode(text.data, text.length, &arena, &again, &err) == STATUS_OK);
    }
    buffer_deinit(&text);
    arena_deinit(&arena);
}

static void weights_try(const uint8_t *bytes, size_t length) {
    struct weights weights, again;
    struct error err;
    struct buffer text;
    buffer_init(&text);
    if (weights_decode(bytes, length, &weights, &err) == STATUS_OK) {
        weights_encode(&weights, &text);
        REQUIRE(text.failed || weights_decode(text.data, text.length, &again, &err) == STATUS_OK);
    }
    buffer_deinit(&text);
}

static void control_try(const uint8_t *bytes, size_t length) {
    struct control control, again;
    struct error err;
    struct buffer text;
    buffer_init(&text);
    if (control_decode(bytes, length, &control, &err) == STATUS_OK) {
        control_encode(&control, &text);
        REQUIRE(text.failed || control_decode(text.data, text.length, &again, &err) == STATUS_OK);
    }
    buffer_deinit(&text);
}

static void example_try(const uint8_t *bytes, size_t length) {
    struct example example, again;
    struct error err;
    struct buffer text;
    buffer_init(&text);
    if (example_decode(&shape, bytes, length, &example, &err) == STATUS_OK) {
        example_encode(&shape, &example, &text);
        REQUIRE(text.failed ||
                example_decode(&shape, text.data, text.length, &again, &err) == STATUS_OK);
    }
    buffer_deinit(&text);
}

static void letter_try(const uint8_t *bytes, size_t length) {
    struct dead_letter letter;
    struct error err;
    struct buffer text;
    buffer_init(&text);
    if (dead_letter_decode(bytes, length, &letter, &err) == STATUS_OK)
        dead_letter_encode(&letter, &text);
    buffer_deinit(&text);
}

static void spec_try(const uint8_t *bytes, size_t length) {
    struct spec spec = {0};
    struct arena arena;
    struct error err;
    arena_init(&arena, 1024);
    if (spec_from_json((const char *)bytes, length, &arena, &spec, &err) == STATUS_OK &&
        spec_check(&spec, &err) != STATUS_OK)
        REQUIRE(err.message[0] != '\0');
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    static void (*const tries[])(const uint8_t *, size_t) = {journal_try, weights_try, example_try,
                                                             letter_try,  spec_try,    control_try};
    if (length > 0)
        tries[bytes[0] % 6](bytes + 1, length - 1);
    return 0;
}

static void (*emit_to)(const void *bytes, size_t length);
static struct buffer seed;

static void begin(unsigned char codec) {
    buffer_reset(&seed);
    buffer_append_byte(&seed, codec);
}
static void end(void) {
    REQUIRE(!seed.failed);
    emit_to(seed.data, seed.length);
}

static void journal_seeds(void) {
    const struct journal_range ranges[] = {{0, 10, 19, 10, 1}, {2, 5, 5, 1, 2}};
    const struct journal_input inputs[] = {{"impressions", 0, 7, 0}, {"clicks", 0, 8, 3}};
    const struct journal_record records[] = {
        {.kind = JOURNAL_GENESIS,
         .config_hash = 1,
         .build = "b",
         .inputs = inputs,
         .input_count = 2},
        {.kind = JOURNAL_START, .config_hash = 1, .build = "b"},
        {.kind = JOURNAL_BATCH, .ranges = ranges, .range_count = 2, .outputs = 3},
        {.kind = JOURNAL_TICK, .clock_ms = 1700000000000},
        {.kind = JOURNAL_IDLE, .idle_slot = 1, .idle = true},
        {.kind = JOURNAL_FINISH}};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        begin(0);
        journal_encode(&records[i], &seed);
        end();
    }
}

static void weights_seeds(void) {
    static const unsigned char bytes[64] = {1, 2, 3};
    struct weights weights = {.lineage = 1, .version = 2, .spec = "{}", .spec_length = 2};
    weights.measures = "{}";
    weights.measures_length = 2;
    weights.dimension = 2;
    weights.count = weights.rows = 2;
    weights.columns = 4;
    weights.ids = weights.values = weights.data = bytes;
    weights.name = "tower.0";
    weights.name_length = 7;
    weights.slice_bits = 4;
    for (weights.kind = WEIGHTS_OPEN; weights.kind <= WEIGHTS_COMMIT; weights.kind++) {
        begin(1);
        weights_encode(&weights, &seed);
        end();
    }
}

static void control_seeds(void) {
    struct control control = {.author = "a", .author_length = 1, .lineage = 7, .version = 3};
    for (control.kind = 0; control.kind < CONTROL_KINDS; control.kind++) {
        begin(5);
        control_encode(&control, &seed);
        end();
    }
}

void fuzz_seeds(void (*emit)(const void *bytes, size_t length)) {
    static const unsigned char bytes[32] = {1},
                               list[28] = {1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7};
    static const char spec[] = "\4{\"features\":[{\"name\":\"u\",\"kind\":\"categorical\","
                               "\"dimension\":4}],\"tasks\":[{\"name\":\"click\"}]}";
    const struct example example = {.kind = EXAMPLE_SCORE | EXAMPLE_FINAL,
                                    .impression = 3,
                                    .domain = "d",
                                    .domain_length = 1,
                                    .mask = 3,
                                    .ids = bytes,
                                    .numbers = bytes,
                                    .lists = list,
                                    .lists_length = sizeof list,
                                    .labels = bytes};
    const struct dead_letter letter = {.reason = "undecodable",
                                       .reason_length = 11,
                                       .message = "m",
                                       .message_length = 1,
                                       .topic = "t",
                                       .topic_length = 1,
                                       .value = "v",
                                       .value_length = 1};
    emit_to = emit;
    buffer_init(&seed);
    journal_seeds();
    weights_seeds();
    control_seeds();
    begin(2);
    example_encode(&shape, &example, &seed);
    end();
    begin(3);
    dead_letter_encode(&letter, &seed);
    end();
    emit(spec, sizeof spec - 1);
    buffer_deinit(&seed);
}
