// Sampling of negatives: which impressions go out, when they are scored, and what they weigh.
#include "join_fixture.h"

#include <math.h>
#include <stdlib.h>

enum { COUNT = 1500, BOTH = 3 };
static const char *key_paths[] = {"k"};

static void give(struct fixture *f, uint32_t input, size_t key, int64_t event_time_ms) {
    struct error err;
    char text[16];
    (void)snprintf(text, sizeof(text), "k%zu", key);
    uint32_t mask = input == IMPRESSIONS ? 0 : (uint32_t)1 << (input - 1);
    assert_int_equal(fixture_try(f, input, text, event_time_ms, mask, 1, &err), STATUS_OK);
}

// Impression i at 1000 + 10 i; every fifth is clicked soon, every seventh bought, after the click's
// window.
static bool clicked(size_t i) {
    return i % 5 == 0;
}
static bool bought(size_t i) {
    return i % 7 == 0;
}

static void run(struct fixture *f, double drop) {
    struct error err;
    fixture_init(f, 2, "");
    f->spec.sampling.drop = drop;
    f->inputs[0].key = f->inputs[1].key = f->inputs[2].key = (struct option_texts){key_paths, 1};
    fixture_start(f);
    for (size_t i = 0; i < COUNT + 50; i++) {
        int64_t now = 1000 + 10 * (int64_t)i;
        if (i < COUNT)
            give(f, IMPRESSIONS, i, now);
        if (i >= 5 && i - 5 < COUNT && clicked(i - 5))
            give(f, CLICKS, i - 5, now + 1);
        if (i >= 40 && i - 40 < COUNT && bought(i - 40))
            give(f, BUYS, i - 40, now + 2);
    }
    assert_int_equal(join_finish(f->join, &err), STATUS_OK);
    fixture_balance(f);
}

struct seen {
    bool scored, last;
    uint32_t final;  // tasks
    float weight[2]; // by task; 0 = 1
    int64_t scored_at_ms;
};

static void look(const struct fixture *f, struct seen *seen) {
    memset(seen, 0, COUNT * sizeof(*seen));
    for (size_t i = 0; i < f->count; i++) {
        const struct output *out = &f->outputs[i];
        struct seen *at = &seen[out->impression];
        assert_false(at->last);
        assert_true(at->scored == (out->kind != EXAMPLE_SCORE)); // once, and before anything else
        if (out->kind == EXAMPLE_SCORE) {
            at->scored = true;
            at->scored_at_ms = out->timestamp_ms;
        }
        at->last = (out->kind & EXAMPLE_LAST) != 0;
        at->final |= out->mask;
        for (size_t task = 0; task < 2; task++)
            if (out->mask >> task & 1)
                at->weight[task] = out->weight;
    }
}

static void negatives_are_left_out_or_weigh_more_and_positives_stay(void **state) {
    (void)state;
    struct fixture f;
    struct seen *seen = memory_new(COUNT, sizeof(*seen));
    assert_non_null(seen);
    run(&f, .75);
    look(&f, seen);
    size_t negatives = 0, stayed = 0, out = 0, late_scores = 0;
    double clicks_counted = 0;
    for (size_t i = 0; i < COUNT; i++) {
        int64_t shown_ms = 1000 + 10 * (int64_t)i;
        assert_true(seen[i].scored == seen[i].last); // who is scored is let go of in the end
        out += !seen[i].scored;
        // Click's label goes out weighing 1 where a positive was known then, else 4 or not at all.
        if (seen[i].final & 1)
            clicks_counted += seen[i].weight[0] > 0 ? (double)seen[i].weight[0] : 1;
        if (clicked(i)) {
            assert_int_equal(seen[i].final, BOTH);
            assert_true(seen[i].weight[0] == 0 && seen[i].weight[1] == 0);
            late_scores += seen[i].scored_at_ms > shown_ms;
        } else if (bought(i)) {
            assert_true(seen[i].final == BOTH || seen[i].final == 2);
            assert_true(seen[i].weight[1] == 0);
            assert_true(seen[i].final == 2 || seen[i].weight[0] == 4);
            late_scores += seen[i].scored_at_ms > shown_ms;
        } else {
            negatives++;
            stayed += seen[i].scored;
            assert_true(!seen[i].scored ||
                        (seen[i].final == BOTH && seen[i].weight[0] == 4 &&
                         seen[i].weight[1] == 4 && seen[i].scored_at_ms == shown_ms));
        }
    }
    double share = (double)stayed / (double)negatives, error = sqrt(.25 * .75 / (double)negatives);
    assert_true(fabs(share - .25) < 4 * error);
    assert_true(late_scores > 100);
    assert_true(fabs(clicks_counted - COUNT) < 4 * 4 * error * (double)negatives);
    struct account accounts[INPUTS];
    assert_int_equal(join_accounts(f.join, accounts, INPUTS), INPUTS);
    assert_int_equal(accounts[IMPRESSIONS].dropped[EVENT_SAMPLED - 1], out);
    assert_int_equal(accounts[IMPRESSIONS].used, COUNT - out);
    fixture_stop(&f);
    memory_free(seen);
}

static void without_sampling_nothing_is_weighted(void **state) {
    (void)state;
    struct fixture f;
    run(&f, 0);
    for (size_t i = 0; i < f.count; i++)
        assert_true(f.outputs[i].weight == 0);
    fixture_stop(&f);
}

// Labels that come along: one record or none, by the same keys as with windows.
static void the_key_alone_decides(void **state) {
    (void)state;
    struct fixture windows, none;
    struct seen *seen = memory_new(COUNT, sizeof(*seen));
    bool *stays = memory_new(COUNT, sizeof(*stays));
    assert_true(seen != NULL && stays != NULL);
    run(&windows, .5);
    look(&windows, seen);
    fixture_init(&none, 1, "");
    none.settings.join = INGEST_JOIN_NONE;
    none.spec.sampling.drop = .5;
    none.inputs[0].key = none.inputs[1].key = none.inputs[2].key =
        (struct option_texts){key_paths, 1};
    fixture_start(&none);
    for (size_t i = COUNT; i-- > 0;) { // in another order
        size_t before = none.count;
        give(&none, IMPRESSIONS, i, 1000000 - 10 * (int64_t)i);
        stays[i] = none.count > before;
        assert_true(!stays[i] || none.outputs[before].weight == 2);
    }
    for (size_t i = 0; i < COUNT; i++)
        if (!clicked(i) && !bought(i))
            assert_int_equal(stays[i], seen[i].scored);
    fixture_balance(&none);
    fixture_stop(&none);
    fixture_stop(&windows);
    memory_free(seen);
    memory_free(stays);
}

static void an_input_without_a_key_is_refused(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 1, "");
    f.settings.join = INGEST_JOIN_NONE;
    f.spec.sampling.drop = .5;
    struct join_setup setup = {
        .settings = &f.settings, .spec = &f.spec, .emit = fixture_emit, .self = &f};
    assert_int_equal(join_new(&setup, &f.join, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "data.sampling.drop"));
    assert_non_null(strstr(err.message, "ingest.inputs[0].key is empty"));
    f.join = NULL;
    fixture_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(negatives_are_left_out_or_weigh_more_and_positives_stay),
        cmocka_unit_test(without_sampling_nothing_is_weighted),
        cmocka_unit_test(the_key_alone_decides),
        cmocka_unit_test(an_input_without_a_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
