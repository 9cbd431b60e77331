// Which labels a rate may know: against sums over all labels that had counted by then.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/counting.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

enum { EVENTS = 1200, WINDOW_CLICK = 1000, WINDOW_BUY = 60000, LAG = 500, HALF_LIFE = 100000 };

static struct spec_feature features[] = {
    {.name = "user", .path = "", .vocabulary = "", .dimension = 4, .length_max = 1},
    {.name = "item", .path = "", .vocabulary = "", .dimension = 4, .length_max = 1}};
static struct spec_task tasks[] = {{.name = "click",
                                    .input = "",
                                    .path = "click",
                                    .when_path = "",
                                    .when_equals = "",
                                    .given = "",
                                    .window_ms = WINDOW_CLICK,
                                    .weight = 1},
                                   {.name = "buy",
                                    .input = "",
                                    .path = "buy",
                                    .when_path = "",
                                    .when_equals = "",
                                    .given = "",
                                    .window_ms = WINDOW_BUY,
                                    .weight = 1}};
static const char *by_cross[] = {"user", "domain"}, *by_item[] = {"item"}, *only[] = {"buy"};
static struct spec_rate rates[] = {
    {.by = {by_cross, 2}, .half_life_ms = HALF_LIFE, .prior = 5, .admit = 1, .rows_max = 1000},
    {.by = {by_item, 1},
     .tasks = {only, 1},
     .half_life_ms = 0,
     .prior = 2,
     .admit = 1,
     .rows_max = 1000}};
static struct spec spec = {.features = {features, 2},
                           .tasks = {tasks, 2},
                           .rates = {rates, 2},
                           .rates_lag_ms = LAG,
                           .domain_path = "tab",
                           .user_path = ""};

struct happened {
    uint64_t ids[2];
    const char *domain;
    int64_t at;
    double labels[2];
};
static struct happened happened[EVENTS];

static struct example example_of(const struct happened *one) {
    return (struct example){.ids = (const unsigned char *)one->ids,
                            .event_time_ms = one->at,
                            .domain = one->domain,
                            .domain_length = strlen(one->domain)};
}

static void stream_make(void) {
    struct rng rng;
    rng_init(&rng, 2);
    for (size_t i = 0; i < EVENTS; i++)
        happened[i] = (struct happened){.ids = {1 + rng_below(&rng, 9), 1 + rng_below(&rng, 5)},
                                        .domain = rng_below(&rng, 2) ? "a" : "b",
                                        .at = 5000 + (int64_t)i * 200,
                                        .labels = {rng_uniform(&rng) < .4, rng_uniform(&rng) < .1}};
}

static bool same_key(const struct happened *a, const struct happened *b, bool cross) {
    return cross ? a->ids[0] == b->ids[0] && strcmp(a->domain, b->domain) == 0
                 : a->ids[1] == b->ids[1];
}

// Log-odds and log(1 + count) of a rate's task for the event, summed over all labels known by then.
static void reference(const struct happened *one, bool cross, size_t task, double *values) {
    double positives[2] = {0}, counts[2] = {0}; // of the key, of all
    int64_t now = one->at - LAG;
    for (size_t i = 0; i < EVENTS; i++) {
        int64_t from = happened[i].at + tasks[task].window_ms;
        if (from > now)
            continue;
        double left = cross ? exp2(-(double)(now - from) / HALF_LIFE) : 1;
        for (size_t k = 0; k < 2; k++) {
            if (k == 0 && !same_key(one, &happened[i], cross))
                continue;
            counts[k] += left;
            positives[k] += left * happened[i].labels[task];
        }
    }
    double prior = cross ? 5 : 2, base = (positives[1] + .5) / (counts[1] + 1);
    double share = (positives[0] + prior * base) / (counts[0] + prior);
    values[0] = log(share / (1 - share));
    values[1] = log1p(counts[0]);
}

static double seen(float number) {
    return copysign(log1p(fabs((double)number)), (double)number);
}

// Labels come with the event, long before they may count.
static void a_rate_knows_the_labels_whose_windows_have_closed_and_no_others(void **state) {
    (void)state;
    struct counting *counting;
    OK(counting_new(&spec, 100000, &counting, NULL));
    assert_int_equal(counting_columns(counting), 6);
    for (size_t i = 0; i < EVENTS; i++) {
        struct example example = example_of(&happened[i]);
        float columns[6];
        OK(counting_read(counting, &example, columns, NULL));
        for (size_t k = 0; k < 3; k++) {
            double values[2];
            reference(&happened[i], k < 2, k == 0 ? 0 : 1, values);
            assert_true(fabs(seen(columns[2 * k]) - values[0]) < 1e-4);
            assert_true(fabs(seen(columns[2 * k + 1]) - values[1]) < 1e-4);
        }
        for (size_t task = 0; task < 2; task++)
            OK(counting_label(counting, &example, task, happened[i].at, happened[i].labels[task], 1,
                              NULL));
    }
    assert_true(counting_waiting(counting) > 0);
    counting_free(counting);
}

// The reads of a stream, with the label of one event flipped or not.
static void reads(size_t flipped, float (*columns)[6]) {
    struct counting *counting;
    OK(counting_new(&spec, 100000, &counting, NULL));
    for (size_t i = 0; i < EVENTS; i++) {
        struct example example = example_of(&happened[i]);
        OK(counting_read(counting, &example, columns[i], NULL));
        double click = i == flipped ? 1 - happened[i].labels[0] : happened[i].labels[0];
        OK(counting_label(counting, &example, 0, happened[i].at, click, 1, NULL));
    }
    counting_free(counting);
}

static void flipping_a_label_changes_nothing_before_its_window_has_closed(void **state) {
    (void)state;
    static float plain[EVENTS][6], flipped[EVENTS][6];
    enum { FLIPPED = 100 };
    reads(EVENTS, plain);
    reads(FLIPPED, flipped);
    size_t first = 0;
    while (first < EVENTS && memcmp(plain[first], flipped[first], sizeof plain[first]) == 0)
        first++;
    int64_t from = happened[FLIPPED].at + WINDOW_CLICK + LAG;
    assert_true(first < EVENTS);
    assert_true(happened[first].at >= from && happened[first - 1].at < from); // the first that may
}

static void saved_labels_go_on_waiting(void **state) {
    (void)state;
    struct counting *counting, *loaded = NULL;
    struct buffer saved, other;
    buffer_init(&saved);
    buffer_init(&other);
    OK(counting_new(&spec, 100000, &counting, NULL));
    for (size_t i = 0; i < EVENTS; i++) {
        struct counting *both[2] = {counting, loaded};
        struct example example = example_of(&happened[i]);
        float columns[2][6];
        for (size_t k = 0; k < 2 && both[k]; k++) {
            OK(counting_read(both[k], &example, columns[k], NULL));
            OK(counting_label(both[k], &example, i % 2, happened[i].at, happened[i].labels[i % 2],
                              1, NULL));
        }
        if (loaded)
            assert_memory_equal(columns[0], columns[1], sizeof columns[0]);
        if (i == 600) {
            OK(counting_new(&spec, 100000, &loaded, NULL));
            counting_save(counting, &saved);
            struct wire in = wire_over(saved.data, saved.length);
            OK(counting_load(loaded, &in, NULL));
        }
    }
    buffer_reset(&saved);
    counting_save(counting, &saved);
    counting_save(loaded, &other);
    assert_int_equal(saved.length, other.length);
    assert_memory_equal(saved.data, other.data, saved.length);
    counting_free(counting);
    counting_free(loaded);
    buffer_deinit(&saved);
    buffer_deinit(&other);
}

static void beyond_the_bound_labels_are_counted_as_dropped(void **state) {
    (void)state;
    struct counting *counting;
    OK(counting_new(&spec, 3, &counting, NULL));
    struct example example = example_of(&happened[0]);
    for (int i = 0; i < 5; i++)
        OK(counting_label(counting, &example, 0, happened[0].at, 1, 1, NULL));
    assert_int_equal(counting_waiting(counting), 3);
    assert_int_equal(counting_dropped(counting), 2);
    counting_free(counting);
}

int main(void) {
    assert_int_equal(spec_check(&spec, NULL), STATUS_OK);
    stream_make();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_knows_the_labels_whose_windows_have_closed_and_no_others),
        cmocka_unit_test(flipping_a_label_changes_nothing_before_its_window_has_closed),
        cmocka_unit_test(saved_labels_go_on_waiting),
        cmocka_unit_test(beyond_the_bound_labels_are_counted_as_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
