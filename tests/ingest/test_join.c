// Every rule of ingest/join.h, one test each.
#include "join_fixture.h"

#include <unistd.h>

#define LEARNT (EXAMPLE_LEARN | EXAMPLE_FINAL)
enum { CLICK = 1, BUY = 2, SEEN = 4 };

// The account of one input by a reason; EVENT_USED gives what was used.
static uint64_t fixture_dropped(const struct fixture *f, size_t input, enum event_drop reason) {
    struct account accounts[INPUTS];
    (void)join_accounts(f->join, accounts, INPUTS);
    return reason == EVENT_USED ? accounts[input].used : accounts[input].dropped[reason - 1];
}

static uint64_t fixture_in_flight(const struct fixture *f, size_t input) {
    struct account accounts[INPUTS];
    (void)join_accounts(f->join, accounts, INPUTS);
    return accounts[input].in_flight;
}

static void give(struct fixture *f, uint32_t input, const char *key, int64_t event_time_ms) {
    struct error err;
    uint32_t mask = input == IMPRESSIONS ? 0 : (uint32_t)1 << (input - 1);
    assert_int_equal(fixture_try(f, input, key, event_time_ms, mask, 1, &err), STATUS_OK);
    fixture_balance(f);
}

// Moves the watermark to `watermark_ms` by an impression of its own, at order event_time.
static void pass(struct fixture *f, int64_t watermark_ms) {
    give(f, IMPRESSIONS, "passing", watermark_ms + f->settings.lateness_ms);
    assert_int_equal(join_watermark_ms(f->join), watermark_ms);
}

// The record of this impression and kind (without LAST), or NULL; the first of several.
static const struct output *out_of(const struct fixture *f, uint64_t impression, uint32_t kind,
                                   uint32_t mask) {
    for (size_t i = 0; i < f->count; i++) {
        const struct output *out = &f->outputs[i];
        if (out->impression == impression && (out->kind & ~(uint32_t)EXAMPLE_LAST) == kind &&
            out->mask == mask) {
            return out;
        }
    }
    return NULL;
}

static void an_impression_is_scored_at_once_with_its_features(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, IMPRESSIONS, "b", 1001);
    assert_int_equal(f.count, 2);
    const struct output *out = &f.outputs[1];
    assert_int_equal(out->kind, EXAMPLE_SCORE);
    assert_int_equal(out->mask, 0);
    assert_int_equal(out->impression, 1);
    assert_int_equal(out->id, 1001 * 7 + 1);
    assert_true(out->number == 500.5f);
    assert_int_equal(out->user, 1006);
    assert_int_equal(out->timestamp_ms, 1001);
    assert_int_equal(fixture_in_flight(&f, IMPRESSIONS), 2);
    fixture_stop(&f);
}

static void each_task_leaves_when_its_own_window_closes(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, CLICKS, "a", 1100); // on the last instant of its window
    pass(&f, 1100);
    assert_null(out_of(&f, 0, LEARNT, CLICK)); // the watermark is at the deadline, not beyond it
    give(&f, BUYS, "a", 1111);
    const struct output *click = out_of(&f, 0, LEARNT, CLICK);
    assert_non_null(click);
    assert_true(click->labels[0] == 1 && click->labels[1] == 0);
    assert_int_equal(click->kind & EXAMPLE_LAST, 0);
    assert_int_equal(click->timestamp_ms, 1110); // not before what was sent at 1110
    assert_int_equal(click->id, 7001);
    give(&f, CLICKS, "nobody", 2011);
    const struct output *buy = out_of(&f, 0, LEARNT, BUY);
    assert_non_null(buy);
    assert_true(buy->labels[1] == 1);
    assert_int_equal(buy->timestamp_ms, 2000);
    assert_int_equal(buy->kind, LEARNT | EXAMPLE_LAST);
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_USED), 1);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_USED), 1);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_USED), 1);
    fixture_stop(&f);
}

static void tasks_with_one_window_leave_in_one_record(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    f.tasks[1].window_ms = 100;
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    pass(&f, 1101);
    const struct output *out = out_of(&f, 0, LEARNT, CLICK | BUY);
    assert_non_null(out);
    assert_true(out->labels[0] == 0 && out->labels[1] == 0);
    assert_int_equal(f.count, 3);
    fixture_stop(&f);
}

static void a_repeated_impression_is_a_duplicate_while_its_key_lives(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 1, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, IMPRESSIONS, "a", 1001);
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_DUPLICATE), 2);
    pass(&f, 1150); // closed, remembered until 1200
    give(&f, IMPRESSIONS, "a", 1000);
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_DUPLICATE), 3);
    give(&f, IMPRESSIONS, "a", 1165); // later than all windows: a new one under the same key
    give(&f, CLICKS, "a", 1166);
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_DUPLICATE), 3);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_USED), 1);
    pass(&f, 1266);
    assert_true(out_of(&f, 2, LEARNT, CLICK)->labels[0] == 1);
    fixture_stop(&f);
}

static void repeated_feedback_is_a_duplicate(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, CLICKS, "a", 1010);
    give(&f, CLICKS, "a", 1010);
    give(&f, BUYS, "a", 1020);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_DUPLICATE), 1);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_USED), 1);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_USED), 1);
    fixture_stop(&f);
}

static void an_impression_whose_windows_have_closed_is_late(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    pass(&f, 3000);
    give(&f, IMPRESSIONS, "late", 1999);
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_LATE), 1);
    assert_int_equal(f.count, 1);
    give(&f, IMPRESSIONS, "half", 2000); // the click's window has passed, the buy's has not
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_LATE), 1);
    assert_non_null(out_of(&f, 1, EXAMPLE_SCORE, 0));
    assert_non_null(out_of(&f, 1, LEARNT, CLICK));
    assert_null(out_of(&f, 1, LEARNT, BUY));
    fixture_stop(&f);
}

static void feedback_after_its_window_is_late(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, CLICKS, "a", 1101); // by its time
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_LATE), 1);
    pass(&f, 1101);
    give(&f, CLICKS, "a", 1050); // by the watermark
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_LATE), 2);
    pass(&f, 2500);
    give(&f, BUYS, "a", 1500); // remembered
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_LATE), 1);
    fixture_stop(&f);
}

static void a_click_before_its_impression_waits_for_it(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, CLICKS, "a", 1005);
    assert_int_equal(fixture_in_flight(&f, CLICKS), 1);
    give(&f, CLICKS, "a", 1006);
    give(&f, IMPRESSIONS, "a", 1000);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_USED), 1);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_DUPLICATE), 1);
    pass(&f, 1101);
    const struct output *out = out_of(&f, 0, LEARNT, CLICK);
    assert_true(out->labels[0] == 1);
    assert_int_equal(out->accepted_ms,
                     1000002); // the impression's record is the newest that counted
    fixture_stop(&f);
}

static void feedback_whose_impression_never_comes_is_an_orphan(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, CLICKS, "a", 1000);
    give(&f, BUYS, "a", 1100);
    pass(&f, 1200);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_ORPHAN), 0);
    pass(&f, 1201);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_ORPHAN), 1);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_ORPHAN), 0);
    pass(&f, 1301);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_ORPHAN), 1);
    fixture_stop(&f);
}

static void a_clock_that_runs_behind_is_forgiven_up_to_the_lateness(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, IMPRESSIONS, "b", 1000);
    give(&f, CLICKS, "a", 990);
    give(&f, CLICKS, "b", 989);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_USED), 1);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_ORPHAN), 1);
    fixture_stop(&f);
}

static void a_conversion_counts_only_with_the_click_it_is_defined_on(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "click");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "neither", 1000);
    give(&f, IMPRESSIONS, "click", 1000);
    give(&f, IMPRESSIONS, "buy", 1000);
    give(&f, IMPRESSIONS, "both", 1000);
    give(&f, CLICKS, "click", 1010);
    give(&f, BUYS, "buy", 1020);
    give(&f, BUYS, "both", 1020);
    assert_int_equal(fixture_in_flight(&f, BUYS), 2);
    give(&f, CLICKS, "both", 1030); // after the conversion: it still makes it count
    pass(&f, 2001);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_USED), 1);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_WITHOUT_CLICK), 1);
    assert_null(out_of(&f, 0, LEARNT, BUY));
    assert_true(out_of(&f, 1, LEARNT, BUY)->labels[1] == 0);
    assert_null(out_of(&f, 2, LEARNT, BUY));
    assert_true(out_of(&f, 3, LEARNT, BUY)->labels[1] == 1);
    for (uint64_t i = 0; i < 4; i++) { // the click's label leaves either way, and the end is told
        assert_non_null(out_of(&f, i, LEARNT, CLICK));
    }
    assert_int_equal(out_of(&f, 0, EXAMPLE_FINAL, 0)->kind, EXAMPLE_FINAL | EXAMPLE_LAST);
    assert_int_equal(out_of(&f, 2, EXAMPLE_FINAL, 0)->kind, EXAMPLE_FINAL | EXAMPLE_LAST);
    fixture_stop(&f);
}

static void a_task_waits_for_the_longer_window_of_the_task_it_is_defined_on(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, 2, "click");
    f.tasks[0].window_ms = 500;
    f.tasks[1].window_ms = 100;
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, BUYS, "a", 1050);
    pass(&f, 1200);
    give(&f, BUYS, "passing", 1201); // no harm to others
    give(&f, CLICKS, "a", 1400);
    pass(&f, 1501);
    const struct output *out = out_of(&f, 0, LEARNT, CLICK | BUY);
    assert_non_null(out);
    assert_true(out->labels[0] == 1 && out->labels[1] == 1);
    fixture_stop(&f);
}

static void feedback_for_several_tasks_is_used_once(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, CLICKS, "a", 1001);
    assert_int_equal(fixture_try(&f, BUYS, "a", 1002, CLICK | BUY, 2.5f, &err), STATUS_OK);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_USED), 1);
    assert_int_equal(fixture_try(&f, BUYS, "a", 1003, CLICK | BUY, 3.5f, &err), STATUS_OK);
    assert_int_equal(fixture_dropped(&f, BUYS, EVENT_DUPLICATE), 1);
    pass(&f, 2001);
    assert_true(out_of(&f, 0, LEARNT, CLICK)->labels[0] == 1);
    assert_true(out_of(&f, 0, LEARNT, BUY)->labels[1] == 2.5f);
    fixture_stop(&f);
}

static void a_label_whose_field_is_absent_is_left_out(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 3, "");
    f.tasks[2].path = "seen";
    fixture_start(&f);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "a", 1000, SEEN, 1, &err), STATUS_OK);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "b", 1000, SEEN, 0, &err), STATUS_OK);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "c", 1000, 0, 0, &err), STATUS_OK);
    pass(&f, 1101);
    assert_true(out_of(&f, 0, LEARNT, CLICK | SEEN)->labels[2] == 1);
    assert_true(out_of(&f, 1, LEARNT, CLICK | SEEN)->labels[2] == 0);
    assert_non_null(out_of(&f, 2, LEARNT, CLICK));
    fixture_stop(&f);
}

static void a_label_by_presence_that_did_not_come_along_is_a_negative(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 3, "");
    fixture_start(&f);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "a", 1000, SEEN, 1, &err), STATUS_OK);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "b", 1000, 0, 0, &err), STATUS_OK);
    pass(&f, 1101);
    assert_true(out_of(&f, 0, LEARNT, CLICK | SEEN)->labels[2] == 1);
    assert_true(out_of(&f, 1, LEARNT, CLICK | SEEN)->labels[2] == 0);
    fixture_stop(&f);
}

static void without_a_join_one_record_settles_all(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 2, "click");
    f.settings.join = INGEST_JOIN_NONE;
    fixture_start(&f);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "", 1000, CLICK | BUY, 1, &err), STATUS_OK);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "", 1000, CLICK | BUY, 0, &err), STATUS_OK);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.outputs[0].kind, EXAMPLE_SCORE | LEARNT);
    assert_int_equal(f.outputs[0].mask, CLICK | BUY);
    assert_true(f.outputs[0].labels[0] == 1 && f.outputs[0].labels[1] == 1);
    assert_int_equal(f.outputs[1].mask, CLICK); // not clicked: no sample of the task on clicks
    assert_true(f.outputs[1].labels[0] == 0);
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_USED), 2);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "k", 1001, CLICK, 1, &err), STATUS_OK);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "k", 1001, CLICK, 1, &err), STATUS_OK);
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_DUPLICATE), 1);
    fixture_stop(&f);
}

static void by_arrival_the_slowest_input_that_is_not_idle_holds_the_watermark(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 2, "");
    f.settings.runner.order = RUNNER_ARRIVAL;
    fixture_start(&f);
    give(&f, IMPRESSIONS, "a", 1000);
    give(&f, IMPRESSIONS, "b", 2000);
    assert_true(join_watermark_ms(f.join) == STAGE_TIME_NONE);
    give(&f, CLICKS, "a", 1030);
    assert_true(join_watermark_ms(f.join) == STAGE_TIME_NONE);
    assert_int_equal(join_idle(f.join, BUYS, true, &err), STATUS_OK);
    assert_int_equal(join_watermark_ms(f.join), 1020);
    assert_int_equal(join_idle(f.join, CLICKS, true, &err), STATUS_OK);
    assert_int_equal(join_watermark_ms(f.join), 1990);
    assert_non_null(out_of(&f, 0, LEARNT, CLICK));
    assert_int_equal(join_idle(f.join, CLICKS, false, &err), STATUS_OK);
    assert_int_equal(join_watermark_ms(f.join), 1990); // never back
    assert_int_equal(join_idle(f.join, CLICKS, true, &err), STATUS_OK);
    assert_int_equal(join_idle(f.join, IMPRESSIONS, true, &err), STATUS_OK);
    assert_int_equal(join_watermark_ms(f.join), 1990); // all idle: it stands
    fixture_stop(&f);
}

static void at_the_end_all_windows_close_in_order_and_what_waits_is_orphaned(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 2, "");
    fixture_start(&f);
    give(&f, IMPRESSIONS, "b", 1001);
    give(&f, IMPRESSIONS, "a", 1000); // out of order
    give(&f, CLICKS, "a", 1002);
    give(&f, CLICKS, "c", 1002);
    assert_int_equal(join_finish(f.join, &err), STATUS_OK);
    fixture_balance(&f);
    assert_int_equal(f.count, 6);
    assert_int_equal(f.outputs[2].impression, 1);
    assert_true(f.outputs[2].labels[0] == 1);
    assert_int_equal(f.outputs[3].impression, 0);
    assert_int_equal(f.outputs[4].impression, 1);
    assert_int_equal(f.outputs[4].timestamp_ms, 2000);
    assert_int_equal(f.outputs[5].timestamp_ms, 2001);
    assert_int_equal(fixture_dropped(&f, CLICKS, EVENT_ORPHAN), 1);
    assert_int_equal(fixture_in_flight(&f, IMPRESSIONS), 0);
    assert_int_equal(join_open_impressions(f.join), 0);
    give(&f, IMPRESSIONS, "a", 1000); // taken up again: still remembered
    give(&f, IMPRESSIONS, "d", 1003); // and not late
    assert_int_equal(fixture_dropped(&f, IMPRESSIONS, EVENT_DUPLICATE), 1);
    pass(&f, 2004);
    assert_non_null(out_of(&f, 2, LEARNT, BUY));
    fixture_stop(&f);
}

static void state_above_its_bound_expires_early_when_so_set(void **state) {
    (void)state;
    struct fixture f;
    char key[16];
    fixture_init(&f, 2, "");
    f.settings.store_full = INGEST_STORE_EXPIRE;
    f.settings.store_memory_bytes = 20000;
    fixture_start(&f);
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        give(&f, IMPRESSIONS, key, 1000);
        give(&f, CLICKS, key, 1001);
        (void)snprintf(key, sizeof(key), "w%d", i);
        give(&f, CLICKS, key, 1001);
    }
    uint64_t expired = fixture_dropped(&f, IMPRESSIONS, EVENT_EXPIRED);
    assert_in_range(expired, 300, 490);
    assert_in_range(fixture_dropped(&f, CLICKS, EVENT_EXPIRED), 300, 490);
    assert_int_equal(join_open_impressions(f.join), 500 - expired);
    assert_int_equal(out_of(&f, 0, EXAMPLE_FINAL, 0)->kind, EXAMPLE_FINAL | EXAMPLE_LAST);
    fixture_stop(&f);
}

static void state_above_its_bound_stops_with_a_clear_error_otherwise(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 2, "");
    f.settings.store_memory_bytes = 1000;
    fixture_start(&f);
    assert_int_equal(fixture_try(&f, IMPRESSIONS, "a", 1000, 0, 0, &err), STATUS_EXHAUSTED);
    assert_non_null(strstr(err.message, "ingest.store_memory"));
    fixture_stop(&f);
}

static void a_checkpoint_is_wanted_when_it_would_make_room(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    char key[16];
    char directory[] = "/tmp/freshet-join-XXXXXX";
    assert_non_null(mkdtemp(directory));
    fixture_init(&f, 2, "");
    f.settings.store_memory_bytes = 1650 << 10; // the index takes most of it, RocksDB 192
    const struct store_rocksdb_options options = {.directory = directory,
                                                  .bucket_ms = 1000,
                                                  .young_age_ms = 1000000,
                                                  .memory_bytes = f.settings.store_memory_bytes};
    assert_int_equal(store_open_rocksdb(&options, &f.store, &err), STATUS_OK);
    fixture_start(&f);
    assert_false(join_wants_checkpoint(f.join));
    int opened = 0;
    while (!join_wants_checkpoint(f.join) && opened < 5900) {
        (void)snprintf(key, sizeof(key), "k%d", opened++);
        assert_int_equal(fixture_try(&f, IMPRESSIONS, key, 1000, 0, 0, &err), STATUS_OK);
    }
    assert_in_range(opened, 1000, 5899);
    struct checkpoint_writer *writer = NULL;
    int64_t oldest = 0;
    assert_int_equal(checkpoint_writer_open(directory, &writer, &err), STATUS_OK);
    assert_int_equal(store_save(f.store, join_watermark_ms(f.join), writer, &err), STATUS_OK);
    assert_int_equal(checkpoint_writer_commit(writer, 0, 1, &oldest, &err), STATUS_OK);
    checkpoint_writer_close(writer);
    assert_false(join_wants_checkpoint(f.join));
    fixture_stop(&f);
    assert_int_equal(disk_remove_tree(directory, &err), STATUS_OK);
}

static void a_task_of_an_input_that_is_not_there_is_refused(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_init(&f, 2, "");
    f.tasks[1].input = "purchases";
    struct join_setup setup = {.settings = &f.settings, .spec = &f.spec, .emit = fixture_emit};
    assert_int_equal(join_new(&setup, &f.join, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "purchases"));
    fixture_stop(&f);
}

static void memory_that_runs_out_is_an_error_and_leaks_nothing(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 40; n++) {
        struct fixture f;
        struct error err;
        enum status status = STATUS_OK;
        char key[16];
        fixture_init(&f, 2, "click");
        fixture_start(&f);
        memory_fail_after(n);
        for (int i = 0; status == STATUS_OK && i < 2000; i++) {
            (void)snprintf(key, sizeof(key), "k%d", i);
            status = fixture_try(&f, i % 3 == 2 ? BUYS : IMPRESSIONS, key, 5000 - i,
                                 i % 3 == 2 ? BUY : 0, 1, &err);
        }
        memory_fail_after(0);
        assert_true(status == STATUS_OK || status == STATUS_EXHAUSTED);
        join_free(f.join);
        f.join = NULL;
        fixture_stop(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_impression_is_scored_at_once_with_its_features),
        cmocka_unit_test(each_task_leaves_when_its_own_window_closes),
        cmocka_unit_test(tasks_with_one_window_leave_in_one_record),
        cmocka_unit_test(a_repeated_impression_is_a_duplicate_while_its_key_lives),
        cmocka_unit_test(repeated_feedback_is_a_duplicate),
        cmocka_unit_test(an_impression_whose_windows_have_closed_is_late),
        cmocka_unit_test(feedback_after_its_window_is_late),
        cmocka_unit_test(a_click_before_its_impression_waits_for_it),
        cmocka_unit_test(feedback_whose_impression_never_comes_is_an_orphan),
        cmocka_unit_test(a_clock_that_runs_behind_is_forgiven_up_to_the_lateness),
        cmocka_unit_test(a_conversion_counts_only_with_the_click_it_is_defined_on),
        cmocka_unit_test(a_task_waits_for_the_longer_window_of_the_task_it_is_defined_on),
        cmocka_unit_test(feedback_for_several_tasks_is_used_once),
        cmocka_unit_test(a_label_whose_field_is_absent_is_left_out),
        cmocka_unit_test(a_label_by_presence_that_did_not_come_along_is_a_negative),
        cmocka_unit_test(without_a_join_one_record_settles_all),
        cmocka_unit_test(by_arrival_the_slowest_input_that_is_not_idle_holds_the_watermark),
        cmocka_unit_test(at_the_end_all_windows_close_in_order_and_what_waits_is_orphaned),
        cmocka_unit_test(state_above_its_bound_expires_early_when_so_set),
        cmocka_unit_test(state_above_its_bound_stops_with_a_clear_error_otherwise),
        cmocka_unit_test(a_checkpoint_is_wanted_when_it_would_make_room),
        cmocka_unit_test(a_task_of_an_input_that_is_not_there_is_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
