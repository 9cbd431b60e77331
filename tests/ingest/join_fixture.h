// What the join's tests share: settings made by hand, events by a line, and the examples that came
// out.
#ifndef FRESHET_TESTS_INGEST_JOIN_FIXTURE_H
#define FRESHET_TESTS_INGEST_JOIN_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ingest/join.h"

#define OUTPUTS_MAX 8000
enum { IMPRESSIONS, CLICKS, BUYS, INPUTS };

struct output {
    uint32_t kind, mask;
    uint64_t impression, user;
    int64_t event_time_ms, timestamp_ms, accepted_ms;
    float labels[3];
    uint64_t id;
    float number;
    float weight; // of all tasks; 0 where the example carries none
};

struct fixture {
    struct ingest_settings settings;
    struct ingest_input inputs[INPUTS];
    struct spec spec;
    struct spec_feature features[2];
    struct spec_task tasks[3];
    struct store *store;
    struct join *join;
    struct output *outputs;
    size_t count;
    int64_t clock; // record timestamps
};

static enum status fixture_emit(void *self, const struct example *example, int64_t timestamp_ms,
                                struct error *err) {
    struct fixture *f = self;
    (void)err;
    assert_true(f->count < OUTPUTS_MAX);
    struct output *out = &f->outputs[f->count++];
    memset(out, 0, sizeof(*out));
    *out = (struct output){.kind = example->kind,
                           .mask = example->mask,
                           .impression = example->impression,
                           .user = example->user,
                           .event_time_ms = example->event_time_ms,
                           .accepted_ms = example->accepted_ms,
                           .timestamp_ms = timestamp_ms};
    memcpy(out->labels, example->labels, f->spec.tasks.count * sizeof(float));
    if (example->weights != NULL && example->mask != 0)
        memcpy(&out->weight, example->weights, sizeof(out->weight));
    memcpy(&out->id, example->ids, sizeof(out->id));
    memcpy(&out->number, example->numbers, sizeof(out->number));
    assert_int_equal(example->domain_length, 4);
    assert_memory_equal(example->domain, "home", 4);
    assert_int_equal(example->lists_length, 0);
    assert_true(f->count == 1 || timestamp_ms >= f->outputs[f->count - 2].timestamp_ms);
    return STATUS_OK;
}

// Tasks click (window 100), buy (window 1000, on `given`), seen (window 100, labelled by the
// impression) as many as asked for; lateness 10, early wait 200. Change fields, then fixture_start.
static void fixture_init(struct fixture *f, size_t tasks, const char *given) {
    memset(f, 0, sizeof(*f));
    static const char *const names[] = {"impressions", "clicks", "buys"};
    for (size_t i = 0; i < INPUTS; i++) {
        f->inputs[i] =
            (struct ingest_input){.name = names[i],
                                  .topic = names[i],
                                  .role = i == IMPRESSIONS ? INGEST_IMPRESSION : INGEST_FEEDBACK};
    }
    f->features[0] = (struct spec_feature){.name = "item",
                                           .path = "item",
                                           .kind = SPEC_CATEGORICAL,
                                           .dimension = 4,
                                           .vocabulary = "item"};
    f->features[1] = (struct spec_feature){
        .name = "price", .path = "price", .kind = SPEC_NUMERIC, .vocabulary = "price"};
    f->tasks[0] = (struct spec_task){.name = "click", .input = "clicks", .window_ms = 100};
    f->tasks[1] = (struct spec_task){.name = "buy", .input = "buys", .window_ms = 1000};
    f->tasks[2] = (struct spec_task){.name = "seen", .input = "", .window_ms = 100};
    for (size_t i = 0; i < 3; i++) {
        f->tasks[i].given = "";
        f->tasks[i].path = "";
        f->tasks[i].when_path = "";
        f->tasks[i].when_equals = "";
        f->tasks[i].weight = 1;
    }
    f->tasks[1].given = given;
    f->spec = (struct spec){.features = {f->features, 2},
                            .tasks = {f->tasks, tasks},
                            .domain_path = "",
                            .user_path = ""};
    f->settings.join = INGEST_JOIN_WINDOW;
    f->settings.inputs = (struct option_sections){f->inputs, INPUTS};
    f->settings.lateness_ms = 10;
    f->settings.early_wait_ms = 200;
    f->settings.store_memory_bytes = INT64_C(1) << 30;
    f->settings.store_full = INGEST_STORE_STOP;
    f->settings.runner.order = RUNNER_EVENT_TIME;
    f->outputs = memory_new(OUTPUTS_MAX, sizeof(*f->outputs));
    assert_non_null(f->outputs);
    f->clock = 1000000;
}

static void fixture_start(struct fixture *f) {
    struct error err;
    if (f->store == NULL) {
        assert_int_equal(store_open_memory(&f->store, &err), STATUS_OK);
    }
    struct join_setup setup = {.settings = &f->settings,
                               .spec = &f->spec,
                               .store = f->store,
                               .emit = fixture_emit,
                               .self = f};
    assert_int_equal(join_new(&setup, &f->join, &err), STATUS_OK);
}

static void fixture_balance(const struct fixture *f) {
    struct account accounts[INPUTS];
    assert_int_equal(join_accounts(f->join, accounts, INPUTS), INPUTS);
    for (size_t i = 0; i < INPUTS; i++) {
        uint64_t sum = accounts[i].used + accounts[i].in_flight;
        for (size_t reason = 0; reason < accounts[i].reason_count; reason++) {
            sum += accounts[i].dropped[reason];
        }
        assert_int_equal(accounts[i].read, sum);
    }
}

static void fixture_stop(struct fixture *f) {
    if (f->join != NULL) {
        fixture_balance(f);
    }
    join_free(f->join);
    store_close(f->store);
    memory_free(f->outputs);
}

static enum status fixture_try(struct fixture *f, uint32_t input, const char *key,
                               int64_t event_time_ms, uint32_t mask, float value,
                               struct error *err) {
    uint64_t id = (uint64_t)event_time_ms * 7 + 1;
    float number = (float)event_time_ms / 2;
    struct event event = {.input = input,
                          .impression = input == IMPRESSIONS,
                          .key = (const unsigned char *)key,
                          .key_length = strlen(key),
                          .event_time_ms = event_time_ms,
                          .accepted_ms = f->clock++,
                          .mask = mask};
    event.columns = (struct example){.user = (uint64_t)event_time_ms + 5,
                                     .domain = "home",
                                     .domain_length = 4,
                                     .ids = (const unsigned char *)&id,
                                     .numbers = (const unsigned char *)&number,
                                     .lists = (const unsigned char *)""};
    for (size_t i = 0; i < 3; i++) {
        event.values[i] = (mask >> i & 1) != 0 ? value : 0;
    }
    return join_event(f->join, &event, err);
}

#endif
