// The publisher's state, shared by publisher.c (the fold) and places.c (where Redis stands, and
// where to read on). Private to them.
#ifndef FRESHET_PUBLISHER_STATE_H
#define FRESHET_PUBLISHER_STATE_H

#include "publisher/manifest.h"
#include "publisher/publisher.h"
#include "publisher/server.h"
#include "publisher/steer.h"
#include "publisher/writer.h"

enum { GROUPS = 1 << REDIS_LAYOUT_GROUP_BITS, CONTROL_SLOT = 1 };

struct publisher {
    const struct publisher_settings *settings;
    char name[128];
    const char *weights, *control; // topics; control NULL = none
    struct log *log;
    const struct clock *clock;
    struct redis *redis;
    struct writer writer;
    struct redis_command command;
    // The version being read.
    bool open;
    struct weights head; // OPEN's fields; texts in the buffers below
    struct buffer spec, measures;
    struct buffer tensor; // one whose rows are being gathered
    struct buffer held;   // [n] {length u64, record}: deltas of rows that the writer still keeps
    struct weights slice; // its SLICE, once read
    uint64_t slice_count; // 0 = no SLICE seen yet
    bool out;             // the manifest names it, or a later one, already
    bool through;         // it is not to be brought out: a later one is
    // What goes out.
    struct steer steer;
    bool holding; // the version at hand is read over
    bool again;   // positions are to be asked for again, and what comes until then is read over
    struct manifest manifest;
    struct server_packing packing;
    size_t row_floats_max; // of the configured model; 0 = not known
    struct account account;
    int64_t watermark_ms;
    struct metric *versions, *rows, *version_gauge, *incomplete, *held_versions, *pinned;
    struct metric_histogram *freshness;
};

static inline enum redis_row_type publisher_row_type(const struct publisher *publisher) {
    return (enum redis_row_type)publisher->settings->row_type;
}

static inline int64_t publisher_row_bytes(const struct publisher *publisher, size_t floats) {
    return (int64_t)redis_row_bytes(publisher_row_type(publisher), floats);
}

// places.c
// Connects where that is not done yet, and reads the places of groups and manifest.
CHECKED enum status places_connect(struct publisher *publisher, struct error *err);
void places_disconnect(struct publisher *publisher);
// The stage's start_offset.
CHECKED enum status places_start(void *state, uint32_t slot, int64_t *ret_offset,
                                 struct error *err);

#endif
