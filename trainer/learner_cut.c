// A cut of the learner, and how it is loaded.
//
// Rows travel in blocks, each of one table and one cut:
//
//   head     magic, table, rows, bytes a record, number of the cut, checksum of head and records
//   records  as table_cut.h gives them
//
// Blocks of one cut hold each row at most once, so they are placed side by side, in any order;
// those of a later cut go on top of those of an earlier one.
#include "trainer/learner_inside.h"

#include <stdatomic.h>
#include <string.h>

#include "base/hash.h"

#define BLOCK_ROWS_MAX 4096u
static const uint32_t block_magic = 0x62726c66; // "flrb"

struct block_head {
    uint32_t magic, table, rows, record_bytes;
    uint64_t number;   // of the cut
    uint64_t checksum; // of the head with 0 here, then of the records
};
_Static_assert(sizeof(struct block_head) == 32, "as saved");

static uint64_t block_checksum(struct block_head head, const unsigned char *records) {
    head.checksum = 0;
    uint64_t checksum = hash_chain(0, &head, sizeof head);
    return hash_chain(checksum, records, (size_t)head.rows * head.record_bytes);
}

// --- Taking a cut.

size_t learner_cut_bytes(const struct learner *learner) {
    size_t bytes = 0;
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        bytes += table_cut_changed(&learner->cuts[t], &learner->model->tables[t]) *
                 table_record_bytes(&learner->model->tables[t]);
    return bytes;
}

bool learner_cut_complete(const struct learner *learner) {
    for (size_t t = 0; t < learner->model->spec.table_count; t++)
        if (learner->cuts[t].complete)
            return true;
    return false;
}

enum status learner_cut(struct learner *learner, bool whole, const struct sink *sink,
                        struct error *err) {
    for (size_t t = 0; t < learner->model->spec.table_count; t++) {
        const struct table *table = &learner->model->tables[t];
        enum status status = table_cut_reserve(&learner->cuts[t], table, err);
        if (status != STATUS_OK)
            return status;
        table_cut_begin(&learner->cuts[t], table, whole);
    }
    return learner_head_save(learner, sink, err);
}

// One block of the table's cut; returns its rows.
static size_t block_copy(struct table_cut *cut, const struct table *table, size_t t,
                         uint64_t number, struct buffer *into) {
    struct block_head head = {.magic = block_magic,
                              .table = (uint32_t)t,
                              .record_bytes = (uint32_t)table_record_bytes(table),
                              .number = number};
    size_t begin = into->length;
    buffer_append(into, &head, sizeof head);
    head.rows = (uint32_t)table_cut_copy(cut, table, BLOCK_ROWS_MAX, into);
    if (into->failed)
        return 0;
    head.checksum = block_checksum(head, into->data + begin + sizeof head);
    memcpy(into->data + begin, &head, sizeof head);
    return head.rows;
}

enum status learner_cut_copy(struct learner *learner, uint64_t number, size_t rows_max,
                             struct buffer *into, bool *ret_done, struct error *err) {
    size_t rows = 0, waiting = 0;
    for (size_t t = 0; t < learner->model->spec.table_count; t++) {
        struct table_cut *cut = &learner->cuts[t];
        const struct table *table = &learner->model->tables[t];
        size_t most = rows_max - rows < cut->left ? rows_max - rows : cut->left;
        if (most > 0 && !buffer_reserve(into, most * table_record_bytes(table)))
            return error_no_memory(err, most * table_record_bytes(table), "a checkpoint");
        while (table_cut_left(cut) > 0 && rows < rows_max && !into->failed)
            rows += block_copy(cut, table, t, number, into);
        waiting += table_cut_left(cut);
    }
    if (into->failed)
        return error_no_memory(err, into->length, "a checkpoint");
    *ret_done = waiting == 0;
    return STATUS_OK;
}

// --- Loading.

// A block in a file.
struct place {
    uint64_t at; // of its records
    struct block_head head;
};
struct restoring {
    struct learner *learner;
    struct disk_file *file;
    const struct place *places; // of one cut
    unsigned char **records;    // [workers][largest block]
    atomic_int status;          // enum status of a failure
};

static void table_restore_work(void *self, size_t item, size_t worker) {
    (void)worker;
    struct restoring *job = self;
    enum status status =
        table_restore(&job->learner->model->tables[item], job->learner->cuts[item].slots, NULL);
    if (status != STATUS_OK)
        atomic_store(&job->status, (int)status);
}

enum status learner_restore(struct learner *learner, const struct source *source,
                            struct error *err) {
    struct restoring job = {.learner = learner};
    enum status status = learner_head_load(learner, source, err);
    if (status != STATUS_OK)
        return status;
    lanes_run(learner->lanes, learner->model->spec.table_count, table_restore_work, &job);
    if (atomic_load(&job.status) != STATUS_OK)
        return error_set(err, STATUS_EXHAUSTED, "could not load the learner: memory is out");
    return STATUS_OK;
}

static enum status corrupt(struct error *err, const char *reason) {
    return error_set(err, STATUS_CORRUPT, "could not load the learner's rows: %s", reason);
}

// The heads of all blocks of a file, as struct place.
static enum status places_find(const struct learner *learner, struct disk_file *file,
                               uint64_t length, struct buffer *places, struct error *err) {
    for (uint64_t at = 0; at < length;) {
        struct place place = {0};
        size_t got = 0;
        enum status status = disk_read_at(file, at, &place.head, sizeof place.head, &got, err);
        if (status != STATUS_OK)
            return status;
        const struct block_head *head = &place.head;
        at += sizeof *head;
        uint64_t bytes = (uint64_t)head->rows * head->record_bytes;
        if (got != sizeof *head || head->magic != block_magic ||
            head->table >= learner->model->spec.table_count || head->rows > BLOCK_ROWS_MAX ||
            head->record_bytes != table_record_bytes(&learner->model->tables[head->table]) ||
            length < at || length - at < bytes)
            return corrupt(err, "a block's head is damaged");
        place.at = at;
        buffer_append(places, &place, sizeof place);
        at += bytes;
    }
    return places->failed ? error_no_memory(err, places->length, "a checkpoint's blocks")
                          : STATUS_OK;
}

static enum status block_place(const struct restoring *job, const struct place *place,
                               unsigned char *records) {
    struct table *table = &job->learner->model->tables[place->head.table];
    size_t bytes = (size_t)place->head.rows * place->head.record_bytes, got = 0;
    enum status status = disk_read_at(job->file, place->at, records, bytes, &got, NULL);
    if (status != STATUS_OK)
        return status;
    if (got != bytes || block_checksum(place->head, records) != place->head.checksum)
        return STATUS_CORRUPT;
    for (size_t i = 0; i < place->head.rows; i++)
        if (!table_record_put(table, records + i * place->head.record_bytes))
            return STATUS_CORRUPT;
    return STATUS_OK;
}

static void block_work(void *self, size_t item, size_t worker) {
    struct restoring *job = self;
    enum status status = block_place(job, &job->places[item], job->records[worker]);
    if (status != STATUS_OK)
        atomic_store(&job->status, (int)status);
}

// Cut after cut; the blocks of one side by side.
static enum status places_load(struct restoring *job, const struct place *places, size_t count,
                               struct error *err) {
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && places[end].head.number == places[first].head.number;)
            end++;
        job->places = places + first;
        lanes_run(job->learner->lanes, end - first, block_work, job);
        enum status status = (enum status)atomic_load(&job->status);
        if (status == STATUS_CORRUPT)
            return corrupt(err, "a block's checksum does not agree");
        if (status != STATUS_OK)
            return error_set(err, status, "could not read the learner's rows");
    }
    return STATUS_OK;
}

enum status learner_restore_blocks(struct learner *learner, struct disk_file *file, uint64_t length,
                                   struct error *err) {
    struct restoring job = {.learner = learner, .file = file};
    struct buffer places;
    struct arena arena;
    size_t largest = 1, workers = lanes_threads(learner->lanes);
    buffer_init(&places);
    arena_init(&arena, 4096);
    enum status status = places_find(learner, file, length, &places, err);
    const struct place *all = (const void *)places.data;
    size_t count = places.length / sizeof *all;
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        size_t bytes = (size_t)all[i].head.rows * all[i].head.record_bytes;
        largest = bytes > largest ? bytes : largest;
    }
    if (status == STATUS_OK)
        job.records = arena_get(&arena, workers, sizeof *job.records);
    for (size_t i = 0; status == STATUS_OK && i < workers; i++) {
        if (job.records)
            job.records[i] = arena_get(&arena, largest, 1);
        if (!job.records || !job.records[i])
            status = error_no_memory(err, largest, "a checkpoint's blocks");
    }
    if (status == STATUS_OK)
        status = places_load(&job, all, count, err);
    arena_deinit(&arena);
    buffer_deinit(&places);
    return status;
}

static void table_restored_work(void *self, size_t item, size_t worker) {
    (void)worker;
    struct restoring *job = self;
    struct table_cut *cut = &job->learner->cuts[item];
    const struct table *table = &job->learner->model->tables[item];
    enum status status = table_restored(&job->learner->model->tables[item], NULL);
    table_cut_reset(cut, false);
    if (status == STATUS_OK)
        status = table_cut_reserve(cut, table, NULL);
    if (status != STATUS_OK)
        atomic_store(&job->status, (int)status);
}

enum status learner_restore_end(struct learner *learner, struct error *err) {
    struct restoring job = {.learner = learner};
    lanes_run(learner->lanes, learner->model->spec.table_count, table_restored_work, &job);
    enum status status = (enum status)atomic_load(&job.status);
    if (status == STATUS_CORRUPT)
        return corrupt(err, "an id comes twice");
    if (status != STATUS_OK)
        return error_set(err, status, "could not load the learner: memory is out");
    network_unsettle(learner->model);
    return STATUS_OK;
}
