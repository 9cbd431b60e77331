// The join against brute force (join_oracle.h): small scenarios in every order, and random streams
// with disorder, duplicates, idle inputs and restarts. A failure prints the seed.
#include "join_oracle.h"

#include <unistd.h>

#include "base/rng.h"
#include "stage/checkpoint.h"

static void expect_equal(const struct fixture *f, const struct oracle *o, uint64_t seed) {
    struct account accounts[INPUTS];
    bool same = f->count == o->out_count;
    for (size_t i = 0; i < f->count && i < o->out_count; i++) {
        if (memcmp(&f->outputs[i], &o->out[i], sizeof(o->out[i])) != 0) {
            print_message("seed %llu: output %zu: kind %u mask %u of %llu, expected %u, %u, %llu\n",
                          (unsigned long long)seed, i, (unsigned)f->outputs[i].kind,
                          (unsigned)f->outputs[i].mask,
                          (unsigned long long)f->outputs[i].impression, (unsigned)o->out[i].kind,
                          (unsigned)o->out[i].mask, (unsigned long long)o->out[i].impression);
            same = false;
            break;
        }
    }
    (void)join_accounts(f->join, accounts, INPUTS);
    for (size_t i = 0; i < INPUTS; i++) {
        same = same && accounts[i].used == o->used[i];
        for (size_t why = 1; why < EVENT_DROPS; why++)
            same = same && accounts[i].dropped[why - 1] == o->dropped[i][why];
    }
    if (!same)
        fail_msg("seed %llu: %zu outputs, expected %zu", (unsigned long long)seed, f->count,
                 o->out_count);
}

static void both(struct fixture *f, struct oracle *o, uint32_t input, const char *key, int64_t t,
                 uint32_t mask, float value) {
    struct error err;
    int64_t accepted = f->clock;
    assert_int_equal(fixture_try(f, input, key, t, mask, value, &err), STATUS_OK);
    oracle_event(o, input, key, t, accepted, mask, value);
    fixture_balance(f);
}

static void both_finish(struct fixture *f, struct oracle *o) {
    struct error err;
    assert_int_equal(join_finish(f->join, &err), STATUS_OK);
    oracle_settle(o, INT64_MAX);
    fixture_balance(f);
}

struct step {
    uint32_t input;
    const char *key;
    int64_t t;
    uint32_t mask;
};

static void run_order(const struct step *steps, const size_t *order, size_t count,
                      const char *given, struct oracle *o) {
    struct fixture f;
    fixture_init(&f, 2, given);
    fixture_start(&f);
    oracle_init(o, &f);
    for (size_t i = 0; i < count; i++) {
        const struct step *step = &steps[order[i]];
        both(&f, o, step->input, step->key, step->t, step->mask, 1);
    }
    expect_equal(&f, o, 0);
    both_finish(&f, o);
    expect_equal(&f, o, 0);
    fixture_stop(&f);
}

static void permute(const struct step *steps, size_t *order, size_t at, size_t count,
                    const char *given, struct oracle *o) {
    if (at == count) {
        run_order(steps, order, count, given, o);
        return;
    }
    for (size_t i = at; i < count; i++) {
        size_t kept = order[at];
        order[at] = order[i];
        order[i] = kept;
        permute(steps, order, at + 1, count, given, o);
        order[i] = order[at];
        order[at] = kept;
    }
}

static void small_scenarios_agree_in_every_order(void **state) {
    (void)state;
    static const struct step scenarios[][6] = {
        {{IMPRESSIONS, "a", 1000, 0},
         {CLICKS, "a", 1010, 1},
         {BUYS, "a", 1020, 2},
         {CLICKS, "a", 1030, 1},
         {IMPRESSIONS, "b", 1115, 0},
         {BUYS, "b", 1100, 2}},
        {{IMPRESSIONS, "a", 1000, 0},
         {IMPRESSIONS, "a", 2500, 0},
         {CLICKS, "a", 2510, 1},
         {BUYS, "a", 1005, 3},
         {IMPRESSIONS, "c", 1300, 0},
         {BUYS, "c", 2200, 2}},
    };
    struct oracle *o = memory_new(1, sizeof(*o));
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        size_t order[6] = {0, 1, 2, 3, 4, 5};
        permute(scenarios[i], order, 0, 6, "", o);
        permute(scenarios[i], order, 0, 6, "click", o);
    }
    memory_free(o);
}

// Everything through a checkpoint into a new join and a new store.
static void restart(struct fixture *f, const char *directory) {
    struct error err;
    struct checkpoint_writer *writer = NULL;
    struct checkpoint_reader *reader = NULL;
    struct sink sink;
    struct source source;
    int64_t oldest = 0;
    uint64_t length = 0, before = 0, after = 0;
    const struct store_rocksdb_options options = {
        .directory = directory, .bucket_ms = 100, .young_age_ms = 40, .memory_bytes = 1 << 20};
    assert_int_equal(join_fingerprint(f->join, &before, &err), STATUS_OK);
    assert_int_equal(checkpoint_writer_open(directory, &writer, &err), STATUS_OK);
    assert_int_equal(checkpoint_section(writer, "join", &sink, &err), STATUS_OK);
    assert_int_equal(join_save(f->join, &sink, &err), STATUS_OK);
    assert_int_equal(store_save(f->store, join_watermark_ms(f->join), writer, &err), STATUS_OK);
    assert_int_equal(checkpoint_writer_commit(writer, 0, 1, &oldest, &err), STATUS_OK);
    checkpoint_writer_close(writer);
    join_free(f->join);
    store_close(f->store);
    assert_int_equal(store_open_rocksdb(&options, &f->store, &err), STATUS_OK);
    fixture_start(f);
    assert_int_equal(checkpoint_reader_newest(directory, "test", &reader, &err), STATUS_OK);
    assert_int_equal(checkpoint_open_section(reader, "join", &source, &length, &err), STATUS_OK);
    assert_int_equal(join_load(f->join, &source, &err), STATUS_OK);
    assert_int_equal(store_load(f->store, reader, &err), STATUS_OK);
    checkpoint_reader_close(reader);
    assert_int_equal(join_fingerprint(f->join, &after, &err), STATUS_OK);
    assert_true(before == after);
}

static void random_settings(struct fixture *f, struct rng *rng) {
    static const int64_t windows[] = {0, 20, 60, 60, 150};
    fixture_init(f, 1 + rng_below(rng, 3), "");
    for (size_t i = 0; i < f->spec.tasks.count; i++)
        f->tasks[i].window_ms = windows[rng_below(rng, 5)];
    if (f->spec.tasks.count > 1) {
        f->tasks[1].given = rng_below(rng, 2) == 0 ? "click" : "";
        if (f->tasks[1].given[0] == '\0' && rng_below(rng, 3) == 0)
            f->tasks[0].given = "buy";
    }
    if (f->spec.tasks.count > 2 && rng_below(rng, 3) == 0)
        f->tasks[2].given = f->tasks[1].given[0] == '\0' ? "buy" : "click";
    f->tasks[2].path = rng_below(rng, 2) == 0 ? "seen" : "";
    for (size_t i = 0; i < 2 && i < f->spec.tasks.count; i++) {
        static const int policies[] = {SPEC_WAIT, SPEC_FNW, SPEC_ES_DFM, SPEC_DEFER};
        int labels = policies[rng_below(rng, 4)];
        int64_t wait_ms = (int64_t)rng_below(rng, 2) * 15;
        if (labels == SPEC_WAIT || f->tasks[i].window_ms == 0)
            continue;
        f->tasks[i].labels = labels;
        f->tasks[i].label_wait_ms = labels == SPEC_FNW ? 0 : wait_ms;
    }
    f->settings.lateness_ms = (int64_t)rng_below(rng, 30);
    f->settings.early_wait_ms = (int64_t)rng_below(rng, 60);
    f->settings.runner.order = rng_below(rng, 2) == 0 ? RUNNER_ARRIVAL : RUNNER_EVENT_TIME;
}

static void random_step(struct fixture *f, struct oracle *o, struct rng *rng, int64_t *now) {
    char key[8];
    struct error err;
    uint32_t all = (1u << f->spec.tasks.count) - 1;
    *now += (int64_t)rng_below(rng, 8) - (rng_below(rng, 20) == 0 ? -50 : 0);
    int64_t t = *now - (int64_t)rng_below(rng, rng_below(rng, 4) == 0 ? 80 : 5);
    (void)snprintf(key, sizeof(key), "k%d", (int)(rng_below(rng, 12) + (uint64_t)(*now / 60)));
    if (rng_below(rng, 25) == 0) {
        uint32_t input = (uint32_t)rng_below(rng, INPUTS);
        o->idle[input] = !o->idle[input];
        assert_int_equal(join_idle(f->join, input, o->idle[input], &err), STATUS_OK);
        oracle_move_watermark(o);
        return;
    }
    uint32_t input = (uint32_t)rng_below(rng, INPUTS);
    uint32_t mask = (uint32_t)rng_below(rng, all + 1);
    if (input != IMPRESSIONS && mask == 0)
        mask = 1;
    both(f, o, input, key, t, mask, rng_below(rng, 5) == 0 ? 0 : 2);
}

static void random_streams_agree(void **state) {
    (void)state;
    struct oracle *o = memory_new(1, sizeof(*o));
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct fixture f;
        struct rng rng;
        int64_t now = 1000;
        rng_init(&rng, seed);
        random_settings(&f, &rng);
        fixture_start(&f);
        oracle_init(o, &f);
        for (int i = 0; i < 250; i++)
            random_step(&f, o, &rng, &now);
        expect_equal(&f, o, seed);
        both_finish(&f, o);
        expect_equal(&f, o, seed);
        fixture_stop(&f);
    }
    memory_free(o);
}

static void restarts_change_nothing(void **state) {
    (void)state;
    char directory[] = "/tmp/freshet-join-XXXXXX";
    struct error err;
    assert_non_null(mkdtemp(directory));
    struct oracle *o = memory_new(1, sizeof(*o));
    for (uint64_t seed = 1000; seed < 1012; seed++) {
        struct fixture f;
        struct rng rng;
        int64_t now = 1000;
        const struct store_rocksdb_options options = {
            .directory = directory, .bucket_ms = 100, .young_age_ms = 40, .memory_bytes = 1 << 20};
        rng_init(&rng, seed);
        random_settings(&f, &rng);
        assert_int_equal(store_open_rocksdb(&options, &f.store, &err), STATUS_OK);
        fixture_start(&f);
        oracle_init(o, &f);
        for (int i = 0; i < 250; i++) {
            random_step(&f, o, &rng, &now);
            if (rng_below(&rng, 30) == 0)
                restart(&f, directory);
        }
        both_finish(&f, o);
        restart(&f, directory);
        expect_equal(&f, o, seed);
        fixture_stop(&f);
        assert_int_equal(disk_remove_tree(directory, &err), STATUS_OK);
    }
    memory_free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_scenarios_agree_in_every_order),
        cmocka_unit_test(random_streams_agree),
        cmocka_unit_test(restarts_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
