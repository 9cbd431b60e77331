// The events of the join's benches: impressions of about 150 bytes, one every 5 ms of event time;
// from the 4,000th on every fourth brings a click on one shown 1,000 to 2,000 before, and every
// twentieth a conversion of an impression that was clicked 2,000 before. Also the configuration
// that joins them. A fixed function of the numbers: every run is given the same bytes.
#ifndef FRESHET_BENCH_JOIN_EVENTS_H
#define FRESHET_BENCH_JOIN_EVENTS_H

#include "config/config.h"
#include "ingest/ingest.h"

enum join_input { JOIN_IMPRESSIONS, JOIN_CLICKS, JOIN_CONVERSIONS, JOIN_INPUTS };

#define JOIN_START_MS INT64_C(1650812741436)
#define JOIN_STEP_MS 5

struct join_event {
    enum join_input input;
    size_t impression; // that it shows or is about
    int64_t time_ms;
};

struct join_events {
    size_t impressions, at;
    int due; // of the impression `at`: 0 itself, 1 its click, 2 its conversion
};

void join_events_init(struct join_events *events, size_t impressions);
// In order of event time; false after the last.
bool join_events_next(struct join_events *events, struct join_event *ret_event);
uint64_t join_events_count(size_t impressions); // of all inputs
// Its Avro record (schemas/impression.avsc, click.avsc, conversion.avsc), appended.
void join_event_encode(const struct join_event *event, struct buffer *into);

struct join_config {
    struct arena arena;
    struct ingest_settings ingest;
    struct spec data;
};
// window_ms: of both tasks. store_memory: as in a configuration file. Topics are named PREFIX.what.
// Ends the program where it cannot be made.
void join_config_init(struct join_config *config, int64_t window_ms, const char *store_memory,
                      const char *prefix);
void join_config_deinit(struct join_config *config);
const char *join_topic(const struct join_config *config, enum join_input input);

// Any failure ends a bench with its reason.
void bench_must(enum status status, const struct error *err);
double bench_seconds(void);   // of a clock that only goes forward
double bench_processor(void); // seconds of processor time of this program, all threads

#endif
