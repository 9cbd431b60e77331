// Cuts of the learner: what is copied while it goes on learning is the state at the cut, to the
// bit; later cuts hold what changed, and damage is noticed.
#include "tests/trainer/learner_fixture.h"

#include <stdlib.h>

#include "base/disk.h"
#include "trainer/learner_inside.h"

#define OK(call) assert_int_equal((call), STATUS_OK)
enum { FILES = 4 };

// Cuts as they lie on disk: a head and a file of blocks each; and the learner's bytes at each.
struct cuts {
    char directory[64];
    struct buffer heads[FILES], wholes[FILES], blocks[FILES];
    size_t count;
};

static enum status sink_append(void *self, const void *bytes, size_t length, struct error *err) {
    (void)err;
    buffer_append(self, bytes, length);
    return STATUS_OK;
}

struct reading {
    const struct buffer *from;
    size_t at;
};

static enum status source_take(void *self, void *bytes, size_t length, struct error *err) {
    struct reading *reading = self;
    if (reading->from->length - reading->at < length)
        return error_set(err, STATUS_CORRUPT, "bytes end early");
    memcpy(bytes, reading->from->data + reading->at, length);
    reading->at += length;
    return STATUS_OK;
}

static void cuts_init(struct cuts *cuts) {
    *cuts = (struct cuts){0};
    snprintf(cuts->directory, sizeof cuts->directory, "/tmp/freshet-cut-XXXXXX");
    assert_non_null(mkdtemp(cuts->directory));
}

static void cuts_deinit(struct cuts *cuts) {
    struct error err;
    for (size_t i = 0; i < FILES; i++) {
        buffer_deinit(&cuts->heads[i]);
        buffer_deinit(&cuts->wholes[i]);
        buffer_deinit(&cuts->blocks[i]);
    }
    OK(disk_remove_tree(cuts->directory, &err));
}

static void saved_bytes(const struct learner *learner, struct buffer *into) {
    struct error err;
    struct sink sink = {sink_append, into};
    buffer_init(into);
    OK(learner_save(learner, &sink, &err));
}

// Takes a cut and copies it seven rows at a time, with a step of learning after each.
static void cut_while_learning(struct cuts *cuts, struct learner *learner, bool whole,
                               uint64_t seed) {
    struct error err;
    size_t i = cuts->count++;
    struct sink sink = {sink_append, &cuts->heads[i]};
    bool done = false;
    saved_bytes(learner, &cuts->wholes[i]);
    buffer_init(&cuts->heads[i]);
    buffer_init(&cuts->blocks[i]);
    size_t bytes = learner_cut_bytes(learner);
    OK(learner_cut(learner, whole, &sink, &err));
    while (!done) {
        OK(learner_cut_copy(learner, i + 1, 7, &cuts->blocks[i], &done, &err));
        if (!done)
            fixture_learn(learner, seed++, 1, 4);
    }
    if (!whole)
        assert_true(cuts->blocks[i].length <= bytes + 32 * (bytes / 7 + 1));
}

// Loads the cuts up to `last` into the learner; `flip`: a byte of the last file to damage, or -1.
static enum status restore(const struct cuts *cuts, size_t last, struct learner *learner,
                           int64_t flip, struct error *err) {
    struct reading reading = {&cuts->heads[last], 0};
    struct source source = {source_take, &reading};
    enum status status = learner_restore(learner, &source, err);
    for (size_t i = 0; status == STATUS_OK && i <= last; i++) {
        char path[128];
        struct disk_file *file;
        snprintf(path, sizeof path, "%s/%zu", cuts->directory, i);
        OK(disk_open(path, DISK_REPLACE, &file, err));
        if (i == last && flip >= 0)
            cuts->blocks[i].data[flip] ^= 16;
        OK(disk_write(file, cuts->blocks[i].data, cuts->blocks[i].length, err));
        if (i == last && flip >= 0)
            cuts->blocks[i].data[flip] ^= 16;
        status = learner_restore_blocks(learner, file, cuts->blocks[i].length, err);
        disk_close(file);
    }
    if (status == STATUS_OK)
        status = learner_restore_end(learner, err);
    if (status != STATUS_OK && flip < 0)
        print_message("%s\n", err->message);
    return status;
}

static void assert_is_the_cut(const struct cuts *cuts, size_t i, const struct learner *learner) {
    struct buffer bytes;
    saved_bytes(learner, &bytes);
    assert_int_equal(bytes.length, cuts->wholes[i].length);
    assert_memory_equal(bytes.data, cuts->wholes[i].data, bytes.length);
    buffer_deinit(&bytes);
}

static void check_cuts(const struct model_spec *spec, struct learner_settings settings) {
    struct error err;
    struct cuts cuts;
    cuts_init(&cuts);
    struct learner *learner = fixture_learner(spec, &settings);
    fixture_learn(learner, 1, 3, 4);
    cut_while_learning(&cuts, learner, true, 10);
    fixture_learn(learner, 50, 2, 4);
    learner_changes_clear(learner);
    fixture_learn(learner, 60, 1, 4);
    cut_while_learning(&cuts, learner, false, 70);
    for (size_t i = 0; i < cuts.count; i++) {
        settings.threads = 1 + (int64_t)i;
        struct learner *other = fixture_learner(spec, &settings);
        fixture_learn(other, 77, 3, 4); // what it held before must not show
        OK(restore(&cuts, i, other, -1, &err));
        assert_is_the_cut(&cuts, i, other);
        learner_free(other);
    }
    // A restored learner goes on, and so does its chain of cuts.
    struct learner *other = fixture_learner(spec, &settings);
    OK(restore(&cuts, 1, other, -1, &err));
    fixture_learn(other, 90, 3, 4);
    cut_while_learning(&cuts, other, false, 95);
    OK(restore(&cuts, 2, learner, -1, &err));
    assert_is_the_cut(&cuts, 2, learner);
    learner_free(other);
    learner_free(learner);
    cuts_deinit(&cuts);
}

static void a_cut_copied_while_learning_goes_on_is_the_state_at_the_cut(void **state) {
    (void)state;
    struct model_spec spec = fixture_spec_whole();
    struct learner_settings settings = fixture_settings();
    check_cuts(&spec, settings);
    settings.optimiser = LEARNER_ADAM;
    settings.row_optimiser = LEARNER_ROW_ADAM;
    settings.tables = fixture_tables();
    check_cuts(&spec, settings);
}

static void a_later_cut_holds_no_more_than_what_changed(void **state) {
    (void)state;
    struct error err;
    struct buffer bytes;
    struct sink sink = {sink_append, &bytes};
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    buffer_init(&bytes);
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 20, 4);
    assert_true(learner_cut_complete(learner));
    size_t whole = learner_cut_bytes(learner);
    bool done = false;
    OK(learner_cut(learner, false, &sink, &err)); // the first is whole in any case
    OK(learner_cut_copy(learner, 1, SIZE_MAX, &bytes, &done, &err));
    assert_true(done && bytes.length > whole);
    assert_false(learner_cut_complete(learner));
    assert_int_equal(learner_cut_bytes(learner), 0);
    fixture_learn(learner, 30, 1, 4);
    size_t rows = 0;
    for (size_t t = 0; t < spec.table_count; t++)
        rows += table_cut_changed(&learner->cuts[t], &learner->model->tables[t]);
    size_t touched = 0;
    for (size_t t = 0; t < spec.table_count; t++)
        touched += learner->touched[t].count;
    assert_int_equal(rows, touched);
    assert_true(learner_cut_bytes(learner) < whole);
    learner_free(learner);
    buffer_deinit(&bytes);
}

static void damage_anywhere_in_the_blocks_is_noticed(void **state) {
    (void)state;
    struct error err;
    struct cuts cuts;
    struct model_spec spec = fixture_spec();
    struct learner_settings settings = fixture_settings();
    settings.threads = 2;
    cuts_init(&cuts);
    struct learner *learner = fixture_learner(&spec, &settings);
    fixture_learn(learner, 1, 3, 4);
    cut_while_learning(&cuts, learner, true, 30);
    for (size_t at = 0; at < cuts.blocks[0].length; at += 13)
        assert_int_equal(restore(&cuts, 0, learner, (int64_t)at, &err), STATUS_CORRUPT);
    cuts.blocks[0].length -= 5;
    assert_int_equal(restore(&cuts, 0, learner, -1, &err), STATUS_CORRUPT);
    cuts.blocks[0].length += 5;
    OK(restore(&cuts, 0, learner, -1, &err));
    assert_is_the_cut(&cuts, 0, learner);
    learner_free(learner);
    cuts_deinit(&cuts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_copied_while_learning_goes_on_is_the_state_at_the_cut),
        cmocka_unit_test(a_later_cut_holds_no_more_than_what_changed),
        cmocka_unit_test(damage_anywhere_in_the_blocks_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
