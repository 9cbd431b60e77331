// Records are copied into chunks; threads take runs of a chunk.
#include "compare/race.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/hash.h"
#include "compare/merged.h"

enum { CHUNK_RECORDS = 2048 };

struct run {
    struct model_settings model;
    struct trainer_settings settings;
    struct trainer *trainer;
    struct contest *contest;
    size_t index;
    int64_t busy_us;
    enum status status;
    struct error error;
};

struct chunk {
    struct log_record records[CHUNK_RECORDS];
    size_t values[CHUNK_RECORDS]; // where each record's value stands in `bytes`
    size_t count;
    struct buffer bytes;
};

struct race {
    const struct race_setup *setup;
    struct run *runs;
    size_t run_count;
    struct chunk chunk;
    bool last; // nothing follows the chunk
    atomic_size_t next;
};

static void run_measured(void *self, const struct trainer_measured *measured) {
    struct run *run = self;
    uint64_t unit = measured->user;
    if (unit == 0) // without a user every impression is drawn on its own
        unit = hash_mix(measured->impression ^ hash_mix(measured->slot + 1));
    struct contest_label label = {.task = measured->task,
                                  .unit = unit,
                                  .event_time_ms = measured->event_time_ms,
                                  .of = tally_label_of((double)measured->logit,
                                                       (double)measured->label,
                                                       (double)measured->weight)};
    if (run->status == STATUS_OK)
        run->status = contest_add(run->contest, run->index, &label, &run->error);
}

static enum status run_init(struct run *run, const struct race_setup *setup, size_t index,
                            size_t partitions, struct contest *contest, struct error *err) {
    const struct race_entry *entry = &setup->entries[index / setup->seeds];
    run->model = *entry->model;
    run->model.seed += (int64_t)(index % setup->seeds);
    run->settings = *entry->trainer;
    run->settings.learner.threads = 1;
    run->index = index;
    run->contest = contest;
    struct trainer_setup trainer = {.spec = entry->spec,
                                    .model = &run->model,
                                    .settings = &run->settings,
                                    .lineage = 1,
                                    .inputs = partitions,
                                    .measured = run_measured,
                                    .measured_self = run};
    enum status status = trainer_new(&trainer, &run->trainer, err);
    return status == STATUS_OK ? status : error_prefix(err, "%s", entry->name);
}

// One run over the chunk.
static void run_fold(struct race *race, struct run *run) {
    int64_t begin_us = clock_system.monotonic_us(&clock_system);
    if (run->status == STATUS_OK) {
        enum status status = trainer_operations.fold(run->trainer, race->chunk.records,
                                                     race->chunk.count, NULL, &run->error);
        if (status == STATUS_OK && race->last)
            status = trainer_flush(run->trainer, &run->error);
        if (run->status == STATUS_OK)
            run->status = status;
    }
    run->busy_us += clock_system.monotonic_us(&clock_system) - begin_us;
}

static void *worker(void *self) {
    struct race *race = self;
    for (;;) {
        size_t index = atomic_fetch_add(&race->next, 1);
        if (index >= race->run_count)
            return NULL;
        run_fold(race, &race->runs[index]);
    }
}

static enum status chunk_fold(struct race *race, struct error *err) {
    enum { THREADS_MAX = 64 };
    pthread_t threads[THREADS_MAX];
    size_t started = 0, wanted = race->setup->threads;
    wanted = wanted > race->run_count ? race->run_count : wanted;
    atomic_store(&race->next, 0);
    while (started + 1 < wanted && started < THREADS_MAX &&
           pthread_create(&threads[started], NULL, worker, race) == 0)
        started++;
    worker(race);
    for (size_t i = 0; i < started; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    for (size_t r = 0; r < race->run_count; r++) {
        if (race->runs[r].status != STATUS_OK) {
            *err = race->runs[r].error;
            return error_prefix(err, "%s", race->setup->entries[r / race->setup->seeds].name);
        }
    }
    return STATUS_OK;
}

static enum status chunk_read(struct race *race, struct merged *merged, struct error *err) {
    struct chunk *chunk = &race->chunk;
    buffer_reset(&chunk->bytes);
    chunk->count = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && chunk->count < CHUNK_RECORDS) {
        struct log_record record;
        status = merged_next(merged, &record, err);
        if (status != STATUS_OK)
            break;
        chunk->values[chunk->count] = chunk->bytes.length;
        buffer_append(&chunk->bytes, record.value, record.value_length);
        record.key = NULL;
        record.key_length = 0;
        chunk->records[chunk->count++] = record;
    }
    race->last = status == STATUS_END;
    if (chunk->bytes.failed)
        return error_no_memory(err, chunk->bytes.length, "records");
    for (size_t i = 0; i < chunk->count; i++)
        if (chunk->records[i].value)
            chunk->records[i].value = chunk->bytes.data + chunk->values[i];
    return race->last ? STATUS_OK : status;
}

static enum status entries_check(const struct race_setup *setup, struct error *err) {
    for (size_t i = 1; i < setup->count; i++)
        if (spec_fingerprint(setup->entries[i].spec) != spec_fingerprint(setup->entries[0].spec))
            return error_set(err, STATUS_INVALID,
                             "could not compare %s: its features or tasks (`data`) are not those "
                             "of %s; both read one log of examples",
                             setup->entries[i].name, setup->entries[0].name);
    return STATUS_OK;
}

static enum status race_fold(struct race *race, struct merged *merged, uint64_t *ret_records,
                             struct error *err) {
    enum status status = STATUS_OK;
    uint64_t records = 0;
    while (status == STATUS_OK && !race->last) {
        status = chunk_read(race, merged, err);
        if (status == STATUS_OK)
            status = chunk_fold(race, err);
        records += race->chunk.count;
        if (race->setup->progress)
            race->setup->progress(race->setup->self, records);
    }
    *ret_records = records;
    return status;
}

enum status race_run(const struct race_setup *setup, struct contest *contest, double *ret_seconds,
                     uint64_t *ret_records, struct error *err) {
    struct race race = {.setup = setup, .run_count = setup->count * setup->seeds};
    struct merged *merged = NULL;
    buffer_init(&race.chunk.bytes);
    enum status status = entries_check(setup, err);
    if (status == STATUS_OK)
        status = merged_open(setup->log, setup->topic, &merged, err);
    race.runs = memory_new(race.run_count, sizeof *race.runs);
    if (status == STATUS_OK && !race.runs)
        status = error_no_memory(err, race.run_count * sizeof *race.runs, "runs");
    for (size_t r = 0; status == STATUS_OK && r < race.run_count; r++)
        status = run_init(&race.runs[r], setup, r, merged_partitions(merged), contest, err);
    if (status == STATUS_OK)
        status = race_fold(&race, merged, ret_records, err);
    for (size_t r = 0; status == STATUS_OK && r < race.run_count; r++) {
        double seconds = (double)race.runs[r].busy_us / 1e6 / (double)setup->seeds;
        ret_seconds[r / setup->seeds] =
            (r % setup->seeds ? ret_seconds[r / setup->seeds] : 0) + seconds;
    }
    for (size_t r = 0; race.runs && r < race.run_count; r++)
        trainer_free(race.runs[r].trainer);
    memory_free(race.runs);
    merged_close(merged);
    buffer_deinit(&race.chunk.bytes);
    return status;
}
