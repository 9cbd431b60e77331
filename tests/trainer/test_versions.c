// What the trainer appends to the weights log, decoded again: any 2^slice_bits versions in a row
// rebuild the model.
#include <string.h>

#include <jansson.h>

#include "base/hash.h"
#include "model/spec_text.h"
#include "record/weights.h"
#include "tests/trainer/bed.h"

#define OK(call) assert_int_equal((call), STATUS_OK)

enum { ROWS_MAX = 4096, TENSORS_MAX = 256, WIDTH_MAX = 64, VERSIONS_MAX = 400 };

// A model rebuilt from records alone.
struct rebuilt {
    struct {
        uint32_t table, width;
        uint64_t id;
        float values[WIDTH_MAX];
    } rows[ROWS_MAX];
    size_t row_count;
    struct {
        char name[128];
        float *data;
        size_t count;
    } tensors[TENSORS_MAX];
    size_t tensor_count;
};

// Where versions stand in the log, and the reader's place in one.
struct versions_seen {
    struct rebuilt rebuilt;
    uint64_t first;   // versions before it are read, but not applied
    uint64_t version; // last opened
    bool open;
    bool sliced;
    uint32_t slice;
    int64_t watermark_ms;
    char *spec, *measures; // of the last version, NUL-terminated
};

static void row_apply(struct rebuilt *rebuilt, uint32_t table, uint64_t id,
                      const unsigned char *values, uint32_t width) {
    assert_true(width <= WIDTH_MAX);
    size_t at = 0;
    while (at < rebuilt->row_count &&
           (rebuilt->rows[at].table != table || rebuilt->rows[at].id != id))
        at++;
    assert_true(at < ROWS_MAX);
    rebuilt->row_count += at == rebuilt->row_count ? 1 : 0;
    rebuilt->rows[at].table = table;
    rebuilt->rows[at].id = id;
    rebuilt->rows[at].width = width;
    memcpy(rebuilt->rows[at].values, values, width * sizeof(float));
}

static void tensor_apply(struct rebuilt *rebuilt, const struct weights *weights) {
    size_t at = 0;
    while (at < rebuilt->tensor_count &&
           (strlen(rebuilt->tensors[at].name) != weights->name_length ||
            memcmp(rebuilt->tensors[at].name, weights->name, weights->name_length) != 0))
        at++;
    assert_true(at < TENSORS_MAX && weights->name_length < sizeof rebuilt->tensors[at].name);
    size_t count = (size_t)weights->rows * weights->columns;
    if (at == rebuilt->tensor_count) {
        rebuilt->tensor_count++;
        memcpy(rebuilt->tensors[at].name, weights->name, weights->name_length);
        rebuilt->tensors[at].data = memory_new(count + 1, sizeof(float));
        rebuilt->tensors[at].count = count;
    }
    assert_int_equal(rebuilt->tensors[at].count, count);
    memcpy(rebuilt->tensors[at].data, weights->data, count * sizeof(float));
}

static char *text_copied(const char *text, size_t length) {
    char *copy = memory_new(length + 1, 1);
    memcpy(copy, text, length);
    return copy;
}

static void open_see(struct versions_seen *seen, const struct weights *weights) {
    assert_false(seen->open);
    assert_int_equal(weights->version, seen->version + 1);
    assert_true(weights->watermark_ms >= seen->watermark_ms);
    seen->watermark_ms = weights->watermark_ms;
    seen->version = weights->version;
    seen->open = true;
    seen->sliced = false;
    memory_free(seen->spec);
    memory_free(seen->measures);
    seen->spec = text_copied(weights->spec, weights->spec_length);
    seen->measures = text_copied(weights->measures, weights->measures_length);
}

static void rows_see(struct versions_seen *seen, const struct weights *weights) {
    assert_true(weights->count > 0);
    assert_int_equal(weights->whole, seen->sliced);
    for (uint32_t i = 0; i < weights->count; i++) {
        uint64_t id;
        memcpy(&id, weights->ids + 8 * i, sizeof id);
        if (weights->whole && seen->version > 1)
            assert_int_equal(hash_mix(id) >> 62, seen->slice);
        if (seen->version >= seen->first)
            row_apply(&seen->rebuilt, weights->table, id,
                      weights->values + sizeof(float) * weights->dimension * i, weights->dimension);
    }
}

static void record_see(struct versions_seen *seen, const struct log_record *record) {
    struct weights weights;
    OK(weights_decode(record->value, record->value_length, &weights, NULL));
    assert_int_equal(weights.lineage, 77);
    if (weights.kind == WEIGHTS_OPEN)
        open_see(seen, &weights);
    assert_true(seen->open);
    assert_int_equal(weights.version, seen->version);
    if (weights.kind == WEIGHTS_ROWS)
        rows_see(seen, &weights);
    else if (weights.kind == WEIGHTS_TENSOR && seen->version >= seen->first)
        tensor_apply(&seen->rebuilt, &weights);
    else if (weights.kind == WEIGHTS_SLICE) {
        assert_int_equal(weights.slice_bits, seen->version == 1 ? 0 : 2); // the first is whole
        assert_int_equal(weights.slice, (seen->version - 1) % 4);
        seen->sliced = true;
        seen->slice = weights.slice;
    } else if (weights.kind == WEIGHTS_COMMIT) {
        assert_true(seen->sliced);
        seen->open = false;
    }
}

static void log_see(struct bed *bed, uint64_t first, struct versions_seen *seen) {
    struct error err;
    struct log_reader *reader;
    struct log_batch batch;
    const struct log_position position = {"weights", 0, 0};
    *seen = (struct versions_seen){.first = first, .watermark_ms = STAGE_TIME_NONE};
    OK(log_reader_open(bed->log, &position, 1, &reader, &err));
    while (log_reader_poll(reader, 100, 0, &batch, &err) == STATUS_OK)
        for (size_t i = 0; i < batch.count; i++)
            if (!batch.records[i].end_of_stream)
                record_see(seen, &batch.records[i]);
    log_reader_close(reader);
    assert_false(seen->open);
}

static void seen_free(struct versions_seen *seen) {
    for (size_t i = 0; i < seen->rebuilt.tensor_count; i++)
        memory_free(seen->rebuilt.tensors[i].data);
    memory_free(seen->spec);
    memory_free(seen->measures);
    memory_free(seen);
}

struct comparison {
    const struct rebuilt *rebuilt;
    size_t rows;
};

static enum status row_compare(void *self, size_t table, uint64_t id, const float *values,
                               struct error *err) {
    struct comparison *comparison = self;
    const struct rebuilt *rebuilt = comparison->rebuilt;
    (void)err;
    for (size_t i = 0; i < rebuilt->row_count; i++) {
        if (rebuilt->rows[i].table == table && rebuilt->rows[i].id == id) {
            assert_memory_equal(rebuilt->rows[i].values, values,
                                rebuilt->rows[i].width * sizeof(float));
            comparison->rows++;
            return STATUS_OK;
        }
    }
    fail_msg("a row is missing");
    return STATUS_OK;
}

struct rate_comparison {
    const struct rebuilt *rebuilt;
    const struct rates *ahead; // rows that went out further than the trainer's own
    size_t rows;
};

static enum status rate_compare(void *self, size_t rate, uint64_t key, const float *values,
                                struct error *err) {
    struct rate_comparison *comparison = self;
    struct comparison rows = {comparison->rebuilt, 0};
    float ahead[2 + 2 * BED_TASKS];
    comparison->rows++;
    if (rates_row_get(comparison->ahead, rate, key, ahead))
        values = ahead;
    return row_compare(&rows, WEIGHTS_RATES_FIRST + rate, key, values, err);
}

// Rates are rebuilt as they will be once the labels whose windows have closed count.
static size_t assert_rates_rebuilt(struct trainer *trainer, const struct rebuilt *rebuilt) {
    struct counting *counting = trainer_counting(trainer);
    struct rate_comparison comparison = {.rebuilt = rebuilt};
    struct rates *ahead;
    size_t rows = 0;
    OK(counting_ahead(counting, trainer_operations.watermark_ms(trainer), &ahead, NULL));
    comparison.ahead = ahead;
    OK(rates_each_in_slice(counting_rates(counting), 0, 0, rate_compare, &comparison, NULL));
    rates_free(ahead);
    assert_true(comparison.rows > 20);
    for (size_t i = 0; i < rebuilt->row_count; i++)
        rows += rebuilt->rows[i].table >= WEIGHTS_RATES_FIRST;
    assert_true(rows >= comparison.rows);
    return rows;
}

static void assert_rebuilt(struct trainer *trainer, const struct rebuilt *rebuilt) {
    struct learner *learner = trainer_learner(trainer);
    const struct model *model = learner_model(learner);
    struct comparison comparison = {rebuilt, 0};
    OK(learner_each_row_in_slice(learner, 0, 0, row_compare, &comparison, NULL));
    assert_true(comparison.rows > 40);
    size_t rates = assert_rates_rebuilt(trainer, rebuilt);
    assert_int_equal(comparison.rows, rebuilt->row_count - rates);
    assert_int_equal(rebuilt->tensor_count, model_tensor_count(model));
    for (size_t i = 0; i < rebuilt->tensor_count; i++) {
        const struct model_tensor *tensor = model_tensor_find(model, rebuilt->tensors[i].name);
        assert_non_null(tensor);
        assert_int_equal(rebuilt->tensors[i].count, tensor->rows * tensor->columns);
        for (size_t k = 0; k < rebuilt->tensors[i].count; k++)
            assert_memory_equal(&rebuilt->tensors[i].data[k], &(float){(float)tensor->data[k]},
                                sizeof(float));
    }
}

static void bed_publishing(struct bed *bed) {
    bed_init(bed);
    bed->settings.publish_interval_ms = 20;
    bed_fill(bed, 500);
    bed_end(bed);
}

static void any_slice_count_of_versions_rebuilds_the_model(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    struct trainer *trainer;
    bed_publishing(&bed);
    bed_run(&bed, 20, 5, NULL, &trainer, &result);
    uint64_t last = result.status.version;
    assert_true(last > 8 && last < VERSIONS_MAX);
    const uint64_t firsts[] = {1, last - 3};
    for (size_t i = 0; i < 2; i++) {
        struct versions_seen *seen = memory_new(1, sizeof *seen);
        log_see(&bed, firsts[i], seen);
        assert_int_equal(seen->version, last);
        assert_rebuilt(trainer, &seen->rebuilt);
        seen_free(seen);
    }
    trainer_free(trainer);
    bed_deinit(&bed);
}

static void after_crashes_versions_are_dense_and_whole(void **state) {
    (void)state;
    for (uint64_t n = 3; n < 50; n += 9) {
        struct bed bed;
        struct bed_result result;
        struct trainer *trainer;
        bed_publishing(&bed);
        log_memory_fault_plant(bed.log, n,
                               n % 2 == 0 ? LOG_MEMORY_CRASH_BEFORE : LOG_MEMORY_CRASH_AFTER);
        bed_run(&bed, 20, 5, NULL, &trainer, &result);
        assert_int_equal(result.crashes, 1);
        struct versions_seen *seen = memory_new(1, sizeof *seen);
        log_see(&bed, result.status.version - 3, seen);
        assert_int_equal(seen->version, result.status.version);
        assert_rebuilt(trainer, &seen->rebuilt);
        seen_free(seen);
        trainer_free(trainer);
        bed_deinit(&bed);
    }
}

static void assert_spec_whole(struct bed *bed, const json_t *spec) {
    struct arena arena;
    struct model_spec shape;
    struct spec data;
    arena_init(&arena, 4096);
    const char *text = json_string_value(json_object_get(spec, "model"));
    assert_non_null(text);
    OK(spec_text_read(text, strlen(text), &arena, &shape, NULL));
    assert_int_equal(shape.field_count, 4);
    assert_int_equal(shape.fields[3].length, 10);
    assert_int_equal(shape.fields[3].target, 2);
    assert_true(shape.fields[3].timed);
    assert_int_equal(shape.categorical_count, 2);
    assert_int_equal(shape.task_count, BED_TASKS);
    assert_string_equal(shape.fields[2].name, "tags");
    assert_true(shape.fields[2].multi);
    assert_int_equal(shape.settings.experts, bed->model.experts);
    char *json = json_dumps(json_object_get(spec, "spec"), JSON_COMPACT);
    assert_non_null(json);
    struct error err = {0};
    if (spec_from_json(json, strlen(json), &arena, &data, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(spec_fingerprint(&data), spec_fingerprint(&bed->spec));
    free(json);
    arena_deinit(&arena);
    const json_t *domains = json_object_get(spec, "domains");
    assert_int_equal(json_array_size(domains), 2);
    assert_string_equal(json_string_value(json_array_get(domains, 0)), "a");
    assert_string_equal(json_string_value(json_array_get(domains, 1)), "b");
}

static void a_version_opens_with_its_spec_and_measures(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    bed_publishing(&bed);
    bed_run(&bed, 20, 5, NULL, NULL, &result);
    struct versions_seen *seen = memory_new(1, sizeof *seen);
    log_see(&bed, 1, seen);
    json_t *spec = json_loads(seen->spec, 0, NULL), *measures = json_loads(seen->measures, 0, NULL);
    assert_non_null(spec);
    assert_non_null(measures);
    assert_spec_whole(&bed, spec);
    const json_t *tasks = json_object_get(measures, "tasks");
    assert_int_equal(json_array_size(tasks), BED_TASKS);
    const json_t *click = json_array_get(tasks, 0);
    const json_t *ever = json_object_get(json_object_get(click, "all"), "ever");
    assert_int_equal(json_integer_value(json_object_get(ever, "count")), 500);
    assert_true(json_real_value(json_object_get(ever, "auc")) == result.click.auc);
    assert_int_equal(json_array_size(json_object_get(click, "domains")), 2);
    json_decref(spec);
    json_decref(measures);
    seen_free(seen);
    bed_deinit(&bed);
}

static void a_quiet_stream_publishes_nothing(void **state) {
    (void)state;
    struct bed bed;
    struct bed_result result;
    bed_init(&bed);
    bed.settings.publish_interval_ms = 1;
    bed_put(&bed, 0, 1, 1, 5, "a", 1000, -1, -1);
    bed_end(&bed);
    bed_run(&bed, 20, 5, NULL, NULL, &result);
    assert_int_equal(result.status.version, 1); // the one at the end
    bed_deinit(&bed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_slice_count_of_versions_rebuilds_the_model),
        cmocka_unit_test(after_crashes_versions_are_dense_and_whole),
        cmocka_unit_test(a_version_opens_with_its_spec_and_measures),
        cmocka_unit_test(a_quiet_stream_publishes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
