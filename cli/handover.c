// A replay becomes the deployment itself; see replay.h.
//
// Order: the replay's trainer learns what is left of its examples. Then each ingest task of the
// deployment takes over the state of the replay's, and with it the place in the inputs; its topics
// stay. Then the trainer takes over the replay's, and reads on in the deployment's examples from
// their end, behind which the new ingest tasks will write. So no example is learnt twice and none
// is left out. The publisher meets another lineage in the weights log it reads already.
#include "cli/replay.h"

#include <stdatomic.h>
#include <string.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "cli/task.h"
#include "stage/checkpoint.h"
#include "trainer/trainer.h"

struct handover {
    const struct settings *live, *replay;
    struct log *log;
    int32_t partitions;
};

static enum status marker_path(const struct settings *live, char path[4096], struct error *err) {
    int length = snprintf(path, 4096, "%s/%s.handover", live->directory, live->name);
    return length > 0 && length < 4096
               ? STATUS_OK
               : error_set(err, STATUS_INVALID, "`directory` or `name` is too long");
}

enum status handover_check(const struct settings *live, struct error *err) {
    char path[4096];
    enum status status = marker_path(live, path, err);
    if (status == STATUS_OK && disk_exists(path))
        status = error_set(err, STATUS_CHANGED,
                           "a handover to `%s` was begun and not ended: do it again (`freshet "
                           "replay CONFIG --handover`)",
                           live->name);
    return status;
}

static enum status task_of(const struct handover *handover, const struct settings *settings,
                           enum task_kind kind, int32_t index, struct task *task,
                           struct error *err) {
    struct task_context context = {
        .settings = settings, .log = handover->log, .partitions = handover->partitions};
    return task_init(task, &context, kind, index, err);
}

// Recovers a task of the replay, lets its trainer learn what is there, and leaves a checkpoint.
static enum status settle(const struct handover *handover, enum task_kind kind, int32_t index,
                          struct error *err) {
    struct task task;
    struct runner *runner = NULL;
    atomic_bool stop = false;
    enum status status = task_of(handover, handover->replay, kind, index, &task, err);
    if (status != STATUS_OK)
        return status;
    task.setup.bounded = task.setup.halts = kind == TASK_TRAINER;
    status = runner_open(&task.setup, &runner, err);
    if (status == STATUS_OK)
        status =
            kind == TASK_TRAINER ? runner_run(runner, &stop, err) : runner_checkpoint(runner, err);
    runner_close(runner);
    task_deinit(&task);
    return status;
}

// A task of the deployment that is running holds the lock in its folder.
static enum status idle_check(const struct handover *handover, enum task_kind kind, int32_t index,
                              struct error *err) {
    struct task task;
    struct disk_file *lock = NULL;
    char path[4096 + 8];
    enum status status = task_of(handover, handover->live, kind, index, &task, err);
    if (status != STATUS_OK)
        return status;
    snprintf(path, sizeof path, "%s/lock", task.directory);
    if (disk_exists(path))
        status = disk_open(path, DISK_APPEND, &lock, err);
    if (status == STATUS_OK && lock)
        status = disk_lock(lock, err);
    if (status != STATUS_OK)
        status = error_prefix(err, "task `%s`", task.name);
    disk_close(lock);
    task_deinit(&task);
    return status;
}

static enum status idle_check_all(const struct handover *handover, struct error *err) {
    enum status status = idle_check(handover, TASK_TRAINER, 0, err);
    for (int32_t i = 0; status == STATUS_OK && i < handover->partitions; i++)
        status = idle_check(handover, TASK_INGEST, i, err);
    return status;
}

static enum status topics_ensure(const struct handover *handover, const struct settings *settings,
                                 struct error *err) {
    struct task_context context = {
        .settings = settings, .log = handover->log, .partitions = handover->partitions};
    return task_topics_ensure(&context, err);
}

static enum status settle_all(const struct handover *handover, struct error *err) {
    enum status status = topics_ensure(handover, handover->replay, err);
    for (int32_t i = 0; status == STATUS_OK && i < handover->partitions; i++)
        status = settle(handover, TASK_INGEST, i, err);
    return status == STATUS_OK ? settle(handover, TASK_TRAINER, 0, err) : status;
}

static enum status begin_lineage(void *self, void *state, struct error *err) {
    (void)err;
    trainer_lineage_begin(state, *(const uint64_t *)self);
    return STATUS_OK;
}

// Where the deployment's examples end now, and what its next lineage is called.
static enum status examples_end(const struct handover *handover, int64_t *offsets,
                                uint64_t *ret_lineage, struct error *err) {
    const struct settings *live = handover->live;
    int64_t now_ms = clock_system.wall_ms(&clock_system);
    enum status status = STATUS_OK;
    for (int32_t i = 0; status == STATUS_OK && i < handover->partitions; i++) {
        int64_t begin;
        status =
            log_topic_bounds(handover->log, live->trainer.examples, i, &begin, &offsets[i], err);
    }
    *ret_lineage = hash_bytes(live->name, strlen(live->name), (uint64_t)now_ms);
    return status;
}

static enum status take_over(const struct handover *handover, enum task_kind kind, int32_t index,
                             struct error *err) {
    struct task task;
    char from[4096];
    struct checkpoint_reader *reader = NULL;
    uint64_t lineage = 0;
    enum status status = task_of(handover, handover->live, kind, index, &task, err);
    if (status != STATUS_OK)
        return status;
    int64_t *offsets = memory_new((size_t)handover->partitions, sizeof *offsets);
    if (!offsets)
        status = error_no_memory(err, (size_t)handover->partitions * sizeof *offsets, "offsets");
    snprintf(from, sizeof from, "%s/%s%s", handover->replay->directory, handover->replay->name,
             task.name + strlen(handover->live->name));
    if (status == STATUS_OK)
        status = examples_end(handover, offsets, &lineage, err);
    if (status == STATUS_OK)
        status = checkpoint_reader_newest(from, task_kind_name(kind), &reader, err);
    struct runner_adoption adoption = {.from = reader, .self = &lineage};
    if (kind == TASK_TRAINER) {
        adoption.offsets = offsets;
        adoption.change = begin_lineage;
    }
    if (status == STATUS_OK)
        status = runner_adopt(&task.setup, &adoption, err);
    checkpoint_reader_close(reader);
    memory_free(offsets);
    task_deinit(&task);
    return status;
}

static enum status take_over_all(const struct handover *handover, struct error *err) {
    enum status status = STATUS_OK;
    for (int32_t i = 0; status == STATUS_OK && i < handover->partitions; i++)
        status = take_over(handover, TASK_INGEST, i, err);
    return status == STATUS_OK ? take_over(handover, TASK_TRAINER, 0, err) : status;
}

enum status handover_run(const struct settings *live, const struct settings *replay,
                         struct error *err) {
    struct handover handover = {.live = live, .replay = replay};
    char path[4096];
    enum status status = log_open(&live->log, &handover.log, err);
    if (status == STATUS_OK)
        status = task_input_partitions(live, handover.log, &handover.partitions, err);
    if (status == STATUS_OK)
        status = topics_ensure(&handover, live, err);
    if (status == STATUS_OK)
        status = idle_check_all(&handover, err);
    if (status == STATUS_OK)
        status = settle_all(&handover, err);
    if (status == STATUS_OK)
        status = marker_path(live, path, err);
    if (status == STATUS_OK)
        status = disk_replace_all(path, replay->name, strlen(replay->name), err);
    if (status == STATUS_OK)
        status = take_over_all(&handover, err);
    if (status == STATUS_OK)
        status = disk_remove(path, err);
    log_close(handover.log);
    return status;
}
