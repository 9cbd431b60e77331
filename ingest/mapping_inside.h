// The inside of a mapping, shared by mapping.c and mapping_wants.c.
#ifndef FRESHET_INGEST_MAPPING_INSIDE_H
#define FRESHET_INGEST_MAPPING_INSIDE_H

#include "ingest/history.h"
#include "ingest/mapping.h"

enum purpose {
    FOR_KEY,
    FOR_TIME,
    FOR_FEATURE,
    FOR_TIMES,
    FOR_DOMAIN,
    FOR_USER,
    FOR_VALUE,
    FOR_WHEN
};

struct use {
    enum purpose purpose;
    size_t item; // feature or task
};
struct list {           // ids of a multi-valued feature, for the event being read
    unsigned char *ids; // [length_max] little-endian uint64
    size_t count;
    enum event_drop drop; // of its first bad value
};

#define NO_SLOT SIZE_MAX

struct mapping {
    struct arena arena;
    const struct ingest_input *input;
    const struct spec *spec;
    uint32_t index; // of the input
    bool impression;
    struct path each;
    bool has_each;
    struct plan_want *wants; // [count]
    struct use *uses;        // [count]
    struct plan_value *values;
    size_t count;
    size_t time;                                        // slot
    size_t domain, user;                                // slot or NO_SLOT
    size_t *features;                                   // [features] slot
    size_t label[SPEC_TASKS_MAX], when[SPEC_TASKS_MAX]; // slot or NO_SLOT
    bool brought[SPEC_TASKS_MAX];                       // this input brings the task's label
    struct list *lists;                                 // [features], used for the multi-valued
    struct history *histories;                          // [features], used for sequences
    size_t *times;                                      // [features] slot or NO_SLOT
    unsigned char *ids, *numbers;
    struct buffer list_bytes, key;
    struct decoder_counts counts;
    char message[256];        // of the newest bad event
    char letter_message[256]; // of the record's first
    // of the record being read
    int64_t timestamp_ms;
    enum status (*emit)(void *self, const struct event *event, struct error *err);
    void *emit_self;
    struct decoder_result *result;
    enum status status;
    struct error *err;
};

CHECKED enum status mapping_wants_make(struct mapping *mapping, struct error *err);
// What a use is called in messages, and the feature or task that it is for ("" = none).
const char *mapping_use_name(const struct mapping *mapping, const struct use *use,
                             const char **ret_item);

#endif
