#include "ingest/ingest.h"

#include <string.h>

#include "base/metrics.h"

#include "ingest/dead_letter.h"
#include "ingest/decoder.h"

struct ingest_task {
    struct ingest_task_setup setup;
    struct example_shape shape;
    uint32_t input_of_slot[INGEST_INPUTS_MAX];
    struct decoder *decoder;
    struct store *store;
    struct join *join;
    struct stage_outputs *outputs; // of the fold under way
    struct buffer encoded;         // one record
    struct decoder_counts counted; // what metrics have been told
};

// --- Life.

static void state_close(struct ingest_task *task) {
    join_free(task->join);
    store_close(task->store);
    decoder_free(task->decoder);
    task->join = NULL;
    task->store = NULL;
    task->decoder = NULL;
    task->counted = (struct decoder_counts){0};
}

static enum status example_emit(void *self, const struct example *example, int64_t timestamp_ms,
                                struct error *err) {
    struct ingest_task *task = self;
    buffer_reset(&task->encoded);
    example_encode(&task->shape, example, &task->encoded);
    if (task->encoded.failed)
        return error_no_memory(err, task->encoded.capacity, "an example");
    const struct log_record record = {.timestamp_ms = timestamp_ms,
                                      .sequence = LOG_NO_SEQUENCE,
                                      .value = task->encoded.data,
                                      .value_length = task->encoded.length};
    return stage_emit(task->outputs, INGEST_EXAMPLES, task->setup.partition, &record, err);
}

// Time buckets of the store: a thirty-second of the longest window, a minute at least.
static int64_t bucket_ms(const struct spec *spec) {
    int64_t longest_ms = 60000;
    for (size_t i = 0; i < spec->tasks.count; i++) {
        int64_t window_ms = spec_task_at(spec, i)->window_ms;
        longest_ms = window_ms / 32 > longest_ms ? window_ms / 32 : longest_ms;
    }
    return longest_ms;
}

static enum status store_open(const struct ingest_task_setup *setup, struct store **ret_store,
                              struct error *err) {
    if (setup->directory == NULL)
        return store_open_memory(ret_store, err);
    const struct store_rocksdb_options options = {.directory = setup->directory,
                                                  .bucket_ms = bucket_ms(setup->spec),
                                                  .young_age_ms = setup->settings->young_age_ms,
                                                  .memory_bytes =
                                                      setup->settings->store_memory_bytes};
    return store_open_rocksdb(&options, ret_store, err);
}

static enum status state_open(struct ingest_task *task, struct error *err) {
    const struct ingest_task_setup *setup = &task->setup;
    enum status status =
        decoder_new(setup->settings, setup->spec, setup->clock, &task->decoder, err);
    if (status == STATUS_OK && setup->settings->join != INGEST_JOIN_NONE)
        status = store_open(setup, &task->store, err);
    if (status == STATUS_OK) {
        const struct join_setup join = {.settings = setup->settings,
                                        .spec = setup->spec,
                                        .store = task->store,
                                        .emit = example_emit,
                                        .self = task};
        status = join_new(&join, &task->join, err);
    }
    if (status != STATUS_OK)
        state_close(task);
    return status;
}

enum status ingest_task_new(const struct ingest_task_setup *setup, struct ingest_task **ret_task,
                            struct error *err) {
    struct ingest_task *task = memory_new(1, sizeof(*task));
    if (task == NULL)
        return error_no_memory(err, sizeof(*task), "an ingest task");
    task->setup = *setup;
    task->shape = example_shape_of(setup->spec);
    for (uint32_t i = 0; i < INGEST_INPUTS_MAX; i++)
        task->input_of_slot[i] = i;
    buffer_init(&task->encoded);
    enum status status = state_open(task, err);
    if (status != STATUS_OK) {
        ingest_task_free(task);
        return status;
    }
    *ret_task = task;
    return STATUS_OK;
}

void ingest_task_free(struct ingest_task *task) {
    if (task == NULL)
        return;
    state_close(task);
    buffer_deinit(&task->encoded);
    memory_free(task);
}

void ingest_task_inputs(const struct ingest_settings *settings, int32_t partition,
                        struct stage_input *inputs) {
    for (size_t i = 0; i < settings->inputs.count; i++)
        inputs[i] = (struct stage_input){.topic = ingest_input_at(settings, i)->topic,
                                         .partition = partition};
}

void ingest_task_outputs(const struct ingest_settings *settings, int32_t partition,
                         struct stage_output *outputs) {
    outputs[INGEST_EXAMPLES] = (struct stage_output){
        .topic = settings->examples, .partition_first = partition, .partition_count = 1};
    outputs[INGEST_DEAD_LETTERS] = (struct stage_output){
        .topic = settings->dead_letter, .partition_first = partition, .partition_count = 1};
}

// --- Folding.

static enum status event_join(void *self, const struct event *event, struct error *err) {
    return join_event(((struct ingest_task *)self)->join, event, err);
}

static enum status letter_emit(struct ingest_task *task, const struct log_record *record,
                               const struct decoder_result *result, struct error *err) {
    const char *topic = ingest_input_at(task->setup.settings, record->slot)->topic;
    const char *reason = event_drop_names[result->letter];
    const char *message = result->message == NULL ? "" : result->message;
    const struct dead_letter letter = {.reason = reason,
                                       .reason_length = strlen(reason),
                                       .message = message,
                                       .message_length = strlen(message),
                                       .topic = topic,
                                       .topic_length = strlen(topic),
                                       .partition = task->setup.partition,
                                       .offset = record->offset,
                                       .timestamp_ms = record->timestamp_ms,
                                       .key = record->key,
                                       .key_length = record->key_length,
                                       .value = record->value,
                                       .value_length = record->value_length};
    buffer_reset(&task->encoded);
    dead_letter_encode(&letter, &task->encoded);
    if (task->encoded.failed)
        return error_no_memory(err, task->encoded.capacity, "a dead letter");
    const struct log_record out = {.timestamp_ms = record->timestamp_ms,
                                   .sequence = LOG_NO_SEQUENCE,
                                   .key = record->key,
                                   .key_length = record->key_length,
                                   .value = task->encoded.data,
                                   .value_length = task->encoded.length};
    return stage_emit(task->outputs, INGEST_DEAD_LETTERS, task->setup.partition, &out, err);
}

static enum status record_fold(struct ingest_task *task, const struct log_record *record,
                               struct error *err) {
    struct decoder_result result = {0};
    enum status status =
        decoder_decode(task->decoder, record->slot, record, event_join, task, &result, err);
    for (int reason = EVENT_USED + 1; status == STATUS_OK && reason < EVENT_DROPS; reason++) {
        if (result.dropped[reason] > 0)
            join_count_dropped(task->join, record->slot, (enum event_drop)reason,
                               result.dropped[reason]);
    }
    if (status == STATUS_OK && result.letter != EVENT_USED)
        status = letter_emit(task, record, &result, err);
    return status;
}

// Counts since the process began, what recovery folds again included.
static void counts_tell(struct ingest_task *task) {
    struct decoder_counts now = decoder_counts(task->decoder), *told = &task->counted;
    const struct {
        const char *name, *labels, *help;
        uint64_t now, told;
    } counters[] = {
        {"freshet_ingest_items_left_out_total", "reason=\"too-many\"",
         "Items of lists and sequences that were left out; their impressions were used.",
         now.values_cut, told->values_cut},
        {"freshet_ingest_items_left_out_total", "reason=\"null\"", "", now.items_null,
         told->items_null},
        {"freshet_ingest_items_left_out_total", "reason=\"future\"", "", now.items_future,
         told->items_future},
        {"freshet_ingest_sequences_sorted_total", "", "Sequences whose items were out of order.",
         now.sequences_sorted, told->sequences_sorted},
    };
    for (size_t i = 0; task->setup.metrics && i < sizeof counters / sizeof *counters; i++)
        metric_add(metrics_get(task->setup.metrics, METRIC_COUNTER, counters[i].name,
                               counters[i].labels, counters[i].help),
                   (double)(counters[i].now - counters[i].told));
    *told = now;
}

static enum status task_fold(void *state, const struct log_record *records, size_t count,
                             struct stage_outputs *outputs, struct error *err) {
    struct ingest_task *task = state;
    task->outputs = outputs;
    enum status status = decoder_prepare(task->decoder, task->input_of_slot, records, count, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        status = record_fold(task, &records[i], err);
    counts_tell(task);
    task->outputs = NULL;
    return status;
}

static enum status task_idle(void *state, uint32_t slot, bool idle, struct stage_outputs *outputs,
                             struct error *err) {
    struct ingest_task *task = state;
    task->outputs = outputs;
    enum status status = join_idle(task->join, slot, idle, err);
    task->outputs = NULL;
    return status;
}

static enum status task_finish(void *state, struct stage_outputs *outputs, struct error *err) {
    struct ingest_task *task = state;
    task->outputs = outputs;
    enum status status = join_finish(task->join, err);
    task->outputs = NULL;
    return status;
}

static int64_t task_event_time(void *state, const struct log_record *record) {
    struct ingest_task *task = state;
    return decoder_event_time(task->decoder, record->slot, record);
}

// --- Checkpoints and figures.

static enum status task_reset(void *state, struct error *err) {
    struct ingest_task *task = state;
    state_close(task);
    return state_open(task, err);
}

static enum status task_save(void *state, struct checkpoint_writer *writer, struct error *err) {
    struct ingest_task *task = state;
    struct sink sink;
    enum status status = checkpoint_section(writer, "decoder", &sink, err);
    if (status == STATUS_OK)
        status = decoder_save(task->decoder, &sink, err);
    if (status == STATUS_OK)
        status = checkpoint_section(writer, "join", &sink, err);
    if (status == STATUS_OK)
        status = join_save(task->join, &sink, err);
    if (status == STATUS_OK && task->store != NULL)
        status = store_save(task->store, join_watermark_ms(task->join), writer, err);
    return status;
}

static enum status task_load(void *state, struct checkpoint_reader *reader, struct error *err) {
    struct ingest_task *task = state;
    struct source source;
    uint64_t length = 0;
    enum status status = checkpoint_open_section(reader, "decoder", &source, &length, err);
    if (status == STATUS_OK)
        status = decoder_load(task->decoder, &source, err);
    if (status == STATUS_OK)
        status = checkpoint_open_section(reader, "join", &source, &length, err);
    if (status == STATUS_OK)
        status = join_load(task->join, &source, err);
    if (status == STATUS_OK && task->store != NULL)
        status = store_load(task->store, reader, err);
    return status;
}

static bool task_wants_checkpoint(void *state) {
    return join_wants_checkpoint(((struct ingest_task *)state)->join);
}

// 0 when the store cannot be read: no state has that.
static uint64_t task_fingerprint(void *state) {
    uint64_t fingerprint = 0;
    struct error err;
    if (join_fingerprint(((struct ingest_task *)state)->join, &fingerprint, &err) != STATUS_OK)
        return 0;
    return fingerprint;
}

static size_t task_accounts(void *state, struct account *accounts, size_t max) {
    return join_accounts(((struct ingest_task *)state)->join, accounts, max);
}

static int64_t task_watermark(void *state) {
    return join_watermark_ms(((struct ingest_task *)state)->join);
}

const struct stage_operations ingest_operations = {
    .name = "ingest",
    .reset = task_reset,
    .fold = task_fold,
    .idle = task_idle,
    .finish = task_finish,
    .event_time_ms = task_event_time,
    .wants_checkpoint = task_wants_checkpoint,
    .save = task_save,
    .load = task_load,
    .fingerprint = task_fingerprint,
    .accounts = task_accounts,
    .watermark_ms = task_watermark,
};
