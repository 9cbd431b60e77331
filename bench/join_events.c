#include "bench/join_events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/wire.h"
#include "tests/ingest/decode_root.h"

enum { FIRST_FEEDBACK = 4000, CLICK_DELAY = 1000, CLICK_EVERY = 4, CONVERSION_EVERY = 20 };

static const char yaml[] =
    "data:\n"
    "  features:\n"
    "    - {name: user_id}\n"
    "    - {name: item_id}\n"
    "    - {name: a, path: categorical.a}\n"
    "    - {name: b, path: categorical.b}\n"
    "    - {name: c, path: categorical.c}\n"
    "    - {name: d, path: categorical.d}\n"
    "    - {name: e, path: numeric.e, kind: numeric}\n"
    "    - {name: f, path: numeric.f, kind: numeric}\n"
    "  tasks:\n"
    "    - {name: click, input: clicks, window: %lldms}\n"
    "    - {name: buy, input: conversions, window: %lldms}\n"
    "  domain: domain\n"
    "  user: user_id\n"
    "ingest:\n"
    "  lateness: 10s\n"
    "  examples: %s.examples\n"
    "  dead_letter: %s.dead-letters\n"
    "  store_memory: %s\n"
    "  inputs:\n"
    "    - {name: impressions, topic: %s.impressions, role: impression,"
    " schema: schemas/impression.avsc, time: event_time, key: [impression_id]}\n"
    "    - {name: clicks, topic: %s.clicks, role: feedback, schema: schemas/click.avsc,"
    " time: event_time, key: [impression_id]}\n"
    "    - {name: conversions, topic: %s.conversions, role: feedback,"
    " schema: schemas/conversion.avsc, time: event_time, key: [impression_id]}\n"
    "  runner: {order: event_time}\n";

void bench_must(enum status status, const struct error *err) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", status_name(status), err->message);
    exit(1);
}

double bench_seconds(void) {
    return (double)clock_system.monotonic_us(&clock_system) / 1e6;
}

double bench_processor(void) {
    struct timespec now;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0
               ? (double)now.tv_sec + (double)now.tv_nsec * 1e-9
               : 0;
}

void join_config_init(struct join_config *config, int64_t window_ms, const char *store_memory,
                      const char *prefix) {
    struct error err;
    struct decode_root root;
    char text[sizeof(yaml) + 1024];
    int length = snprintf(text, sizeof(text), yaml, (long long)window_ms, (long long)window_ms,
                          prefix, prefix, store_memory, prefix, prefix, prefix);
    REQUIRE(length > 0 && (size_t)length < sizeof(text));
    arena_init(&config->arena, 4096);
    bench_must(decode_root_parse("bench", text, &config->arena, &root, &err), &err);
    config->ingest = root.ingest;
    config->data = root.data;
}

void join_config_deinit(struct join_config *config) {
    arena_deinit(&config->arena);
}

const char *join_topic(const struct join_config *config, enum join_input input) {
    return ingest_input_at(&config->ingest, input)->topic;
}

// --- The events.

void join_events_init(struct join_events *events, size_t impressions) {
    *events = (struct join_events){.impressions = impressions};
}

static size_t clicked_at(size_t i) {
    return i - CLICK_DELAY - (size_t)(hash_mix(i) % CLICK_DELAY);
}

bool join_events_next(struct join_events *events, struct join_event *ret_event) {
    size_t i = events->at;
    if (i >= events->impressions)
        return false;
    *ret_event = (struct join_event){.input = (enum join_input)events->due,
                                     .impression = i,
                                     .time_ms = JOIN_START_MS + (int64_t)i * JOIN_STEP_MS};
    if (events->due == JOIN_CLICKS)
        ret_event->impression = clicked_at(i);
    if (events->due == JOIN_CONVERSIONS)
        ret_event->impression = clicked_at(i - 2 * CLICK_DELAY);
    bool feedback = i >= FIRST_FEEDBACK;
    if (events->due == JOIN_IMPRESSIONS && feedback && i % CLICK_EVERY == 0) {
        events->due = JOIN_CLICKS;
    } else if (events->due == JOIN_CLICKS && i % CONVERSION_EVERY == 0) {
        events->due = JOIN_CONVERSIONS;
    } else {
        events->due = JOIN_IMPRESSIONS;
        events->at++;
    }
    return true;
}

uint64_t join_events_count(size_t impressions) {
    uint64_t count = impressions;
    if (impressions > FIRST_FEEDBACK) {
        size_t after = impressions - 1 - FIRST_FEEDBACK; // FIRST_FEEDBACK brings one of each
        count += after / CLICK_EVERY + 1 + after / CONVERSION_EVERY + 1;
    }
    return count;
}

// Text and number, written by hand: formatting would cost as much as the join.
static void put_name(struct buffer *into, const char *prefix, uint64_t number) {
    char text[64];
    char digits[20];
    size_t length = strlen(prefix), count = 0;
    memcpy(text, prefix, length);
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0)
        text[length++] = digits[--count];
    wire_put_bytes(into, text, length);
}

static void impression_put(struct buffer *into, size_t i, int64_t time_ms) {
    static const char *const names[] = {"a", "b", "c", "d"};
    static const char *const values[] = {"value-0-", "value-1-", "value-2-", "value-3-"};
    put_name(into, "imp-", i);
    wire_put_long(into, time_ms);
    put_name(into, "user-", hash_mix(i) % 100000);
    put_name(into, "item-", hash_mix(i + 1) % 5000);
    wire_put_string(into, "home");
    wire_put_long(into, 4);
    for (size_t k = 0; k < 4; k++) {
        wire_put_string(into, names[k]);
        put_name(into, values[k], hash_mix(i * 4 + k) % 1000000000);
    }
    wire_put_long(into, 0);
    wire_put_long(into, 2);
    wire_put_string(into, "e");
    wire_put_double(into, (double)i);
    wire_put_string(into, "f");
    wire_put_double(into, 1.5);
    wire_put_long(into, 0);
}

void join_event_encode(const struct join_event *event, struct buffer *into) {
    if (event->input == JOIN_IMPRESSIONS) {
        impression_put(into, event->impression, event->time_ms);
        return;
    }
    put_name(into, "imp-", event->impression);
    wire_put_long(into, event->time_ms);
    if (event->input == JOIN_CONVERSIONS) {
        wire_put_string(into, "buy");
        wire_put_double(into, 1);
    }
}
