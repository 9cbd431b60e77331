// The memory backend's writer: records wait in the writer until a commit links them in under the
// lock.
//
// A commit reserves room in every array it will touch before it changes any, so it cannot fail half
// way; planted faults (memory.h) decide what its caller is told.
#include "log/memory_store.h"

#include <string.h>

struct memory_pending {
    size_t output;
    int32_t partition;
    struct log_record *record; // owns its bytes
};

struct memory_writer {
    struct log_writer head;
    char *name;
    struct memory_topic **topics; // [head.output_count]
    int32_t *partitions;          // [head.output_count]
    struct memory_task *task;     // NULL = ""
    uint64_t epoch;
    uint64_t crashes; // the log's count when opened
    struct memory_pending *pending;
    size_t count, capacity;
};

static void pending_drop(struct memory_writer *writer) {
    for (size_t i = 0; i < writer->count; i++)
        memory_free(writer->pending[i].record);
    writer->count = 0;
}

void memory_writer_close(struct log_writer *head) {
    struct memory_writer *writer = (struct memory_writer *)head;
    pending_drop(writer);
    memory_free(writer->pending);
    memory_free(writer->topics);
    memory_free(writer->partitions);
    memory_free(writer->name);
    memory_free(writer);
}

static struct memory_task *task_find(struct memory_log *log, const char *name) {
    struct memory_task *task = log->tasks;
    while (task && strcmp(task->name, name) != 0)
        task = task->next;
    return task;
}

// Lock held.
static struct memory_task *task_get(struct memory_log *log, const char *name) {
    struct memory_task *task = task_find(log, name);
    if (task)
        return task;
    task = memory_new(1, sizeof(*task));
    char *copy = memory_copy_string(name);
    if (!task || !copy) {
        memory_free(task);
        memory_free(copy);
        return NULL;
    }
    task->name = copy;
    task->next = log->tasks;
    log->tasks = task;
    return task;
}

// Lock held. Finds the outputs and makes this writer the newest of its task.
static enum status writer_bind(struct memory_log *log, struct memory_writer *writer,
                               const char *const *outputs, struct error *err) {
    for (size_t i = 0; i < writer->head.output_count; i++) {
        writer->topics[i] = memory_topic_find(log, outputs[i]);
        if (!writer->topics[i])
            return error_set(err, STATUS_NOT_FOUND, "could not find topic `%s`", outputs[i]);
        writer->partitions[i] = writer->topics[i]->partition_count;
    }
    writer->crashes = log->crashes;
    if (*writer->name == '\0')
        return STATUS_OK;
    writer->task = task_get(log, writer->name);
    if (!writer->task)
        return error_no_memory(err, sizeof(*writer->task), "a task");
    writer->epoch = ++writer->task->epoch;
    return STATUS_OK;
}

enum status memory_writer_open(struct log *head, const char *task, const char *const *outputs,
                               size_t output_count, struct log_writer **ret_writer,
                               struct error *err) {
    struct memory_log *log = (struct memory_log *)head;
    struct memory_writer *writer = memory_new(1, sizeof(*writer));
    if (!writer)
        return error_no_memory(err, sizeof(*writer), "a writer");
    writer->name = memory_copy_string(task);
    writer->topics = memory_new(output_count + 1, sizeof(*writer->topics));
    writer->partitions = memory_new(output_count + 1, sizeof(*writer->partitions));
    enum status status;
    if (!writer->name || !writer->topics || !writer->partitions) {
        status = error_no_memory(err, output_count * sizeof(*writer->topics), "a writer");
    } else {
        writer->head = (struct log_writer){.log = head,
                                           .task = writer->name,
                                           .output_count = output_count,
                                           .output_partitions = writer->partitions};
        pthread_mutex_lock(&log->lock);
        status = writer_bind(log, writer, outputs, err);
        pthread_mutex_unlock(&log->lock);
    }
    if (status == STATUS_OK)
        *ret_writer = &writer->head;
    else
        memory_writer_close(&writer->head);
    return status;
}

// One block: the record, then its key, then its value.
static struct log_record *record_copy(const struct log_record *record) {
    size_t key_length = record->key ? record->key_length : 0;
    size_t value_length = record->value ? record->value_length : 0;
    struct log_record *copy = memory_new(1, sizeof(*copy) + key_length + value_length);
    if (!copy)
        return NULL;
    unsigned char *bytes = (unsigned char *)(copy + 1);
    *copy = *record;
    copy->key_length = key_length;
    copy->value_length = value_length;
    copy->key = record->key ? bytes : NULL;
    copy->value = record->value ? bytes + key_length : NULL;
    if (key_length > 0)
        memcpy(bytes, record->key, key_length);
    if (value_length > 0)
        memcpy(bytes + key_length, record->value, value_length);
    return copy;
}

enum status memory_writer_append(struct log_writer *head, size_t output, int32_t partition,
                                 const struct log_record *record, struct error *err) {
    struct memory_writer *writer = (struct memory_writer *)head;
    if (writer->count == writer->capacity) {
        size_t wanted = writer->capacity ? writer->capacity * 2 : 64;
        struct memory_pending *grown =
            memory_resize(writer->pending, writer->capacity, wanted, sizeof(*grown));
        if (!grown)
            return error_no_memory(err, wanted * sizeof(*grown), "pending records");
        writer->pending = grown;
        writer->capacity = wanted;
    }
    struct log_record *copy = record_copy(record);
    if (!copy)
        return error_no_memory(err, record->key_length + record->value_length, "a record");
    writer->pending[writer->count++] =
        (struct memory_pending){.output = output, .partition = partition, .record = copy};
    return STATUS_OK;
}

// Lock held. Is this writer still the task's own, and are its outputs there?
static enum status writer_alive(struct memory_log *log, const struct memory_writer *writer,
                                struct error *err) {
    if (writer->crashes != log->crashes)
        return error_set(err, STATUS_IO, "could not write: planted crash");
    if (writer->task && writer->task->epoch != writer->epoch)
        return error_set(err, STATUS_FENCED, "task `%s` has a newer writer", writer->name);
    if (log->unavailable)
        return error_set(err, STATUS_UNAVAILABLE, "could not write: the log is unavailable");
    for (size_t i = 0; i < writer->head.output_count; i++)
        if (writer->topics[i]->deleted)
            return error_set(err, STATUS_CHANGED, "could not write topic `%s`: it was deleted",
                             writer->topics[i]->name);
    return STATUS_OK;
}

// Lock held. Room for every pending record, counting all of them for each partition touched.
static bool room_reserve(struct memory_writer *writer, size_t entry_count) {
    for (size_t i = 0; i < writer->count; i++) {
        struct memory_pending *pending = &writer->pending[i];
        struct memory_partition *partition =
            &writer->topics[pending->output]->partitions[pending->partition];
        void *array = partition->records;
        if (!memory_grow(&array, partition->count, &partition->capacity, writer->count))
            return false;
        partition->records = array;
    }
    if (!writer->task)
        return true;
    void *array = writer->task->entries;
    if (!memory_grow(&array, writer->task->count, &writer->task->capacity, entry_count))
        return false;
    writer->task->entries = array;
    return true;
}

// Copies of the journal records, behind one another in an array; NULL when memory is out.
static struct memory_entry **entries_copy(const struct log_journal_entry *entries, size_t count) {
    struct memory_entry **copies = memory_new(count + 1, sizeof(*copies));
    for (size_t i = 0; copies && i < count; i++) {
        copies[i] = memory_new(1, sizeof(**copies) + entries[i].length);
        if (!copies[i]) {
            while (i-- > 0)
                memory_free(copies[i]);
            memory_free(copies);
            return NULL;
        }
        copies[i]->length = entries[i].length;
        if (entries[i].length > 0)
            memcpy(copies[i]->bytes, entries[i].bytes, entries[i].length);
    }
    return copies;
}

// Lock held, room reserved: cannot fail.
static void commit_apply(struct memory_log *log, struct memory_writer *writer,
                         struct memory_entry **entries, size_t entry_count) {
    for (size_t i = 0; i < writer->count; i++) {
        struct memory_pending *pending = &writer->pending[i];
        struct memory_partition *partition =
            &writer->topics[pending->output]->partitions[pending->partition];
        pending->record->offset = partition->end++;
        partition->records[partition->count++] = pending->record;
    }
    for (size_t i = 0; log->gaps && i < writer->count; i++) {
        struct memory_pending *pending = &writer->pending[i];
        struct memory_partition *partition =
            &writer->topics[pending->output]->partitions[pending->partition];
        if (partition->records[partition->count - 1] == pending->record)
            partition->end++;
    }
    writer->count = 0;
    for (size_t i = 0; i < entry_count; i++)
        writer->task->entries[writer->task->count++] = entries[i];
    pthread_cond_broadcast(&log->committed);
}

// Lock held. Counts a mutation and tells whether it meets the planted fault.
static bool fault_meets(struct memory_log *log) {
    log->mutations++;
    if (log->fault_at == 0 || log->mutations != log->fault_at)
        return false;
    log->fault_at = 0;
    return true;
}

static bool fault_spares(enum log_memory_fault fault) {
    return fault == LOG_MEMORY_CRASH_AFTER || fault == LOG_MEMORY_UNAVAILABLE_AFTER;
}

// Lock held.
static enum status fault_report(struct memory_log *log, struct error *err) {
    if (log->fault == LOG_MEMORY_UNAVAILABLE || log->fault == LOG_MEMORY_UNAVAILABLE_AFTER)
        return error_set(err, STATUS_UNAVAILABLE, "could not write: planted loss of the server");
    log->crashes++;
    return error_set(err, STATUS_IO, "could not write: planted crash");
}

enum status memory_writer_commit(struct log_writer *head, const struct log_journal_entry *entries,
                                 size_t entry_count, struct error *err) {
    struct memory_writer *writer = (struct memory_writer *)head;
    struct memory_log *log = (struct memory_log *)head->log;
    struct memory_entry **copies = entries_copy(entries, entry_count);
    if (!copies)
        return error_no_memory(err, entry_count * sizeof(*copies), "journal records");
    bool applied = false;
    pthread_mutex_lock(&log->lock);
    enum status status = writer_alive(log, writer, err);
    if (status == STATUS_OK && !room_reserve(writer, entry_count))
        status = error_no_memory(err, writer->count * sizeof(void *), "a commit");
    if (status == STATUS_OK) {
        bool fault = fault_meets(log);
        applied = !fault || fault_spares(log->fault);
        if (applied)
            commit_apply(log, writer, copies, entry_count);
        if (fault)
            status = fault_report(log, err);
    }
    pthread_mutex_unlock(&log->lock);
    for (size_t i = 0; !applied && i < entry_count; i++)
        memory_free(copies[i]);
    memory_free(copies);
    return status;
}

int64_t memory_journal_place(struct log_writer *head) {
    struct memory_writer *writer = (struct memory_writer *)head;
    struct memory_log *log = (struct memory_log *)head->log;
    pthread_mutex_lock(&log->lock);
    int64_t place = writer->task->begin + (int64_t)writer->task->count;
    pthread_mutex_unlock(&log->lock);
    return place;
}

// Lock held.
static void journal_drop(struct memory_task *task, int64_t place) {
    size_t drop = 0;
    while (drop < task->count && task->begin + (int64_t)drop < place)
        memory_free(task->entries[drop++]);
    task->begin += (int64_t)drop;
    task->count -= drop;
    if (drop > 0 && task->count > 0)
        memmove(task->entries, task->entries + drop, task->count * sizeof(*task->entries));
}

enum status memory_journal_trim(struct log_writer *head, int64_t place, struct error *err) {
    struct memory_writer *writer = (struct memory_writer *)head;
    struct memory_log *log = (struct memory_log *)head->log;
    pthread_mutex_lock(&log->lock);
    enum status status = writer_alive(log, writer, err);
    if (status == STATUS_OK) {
        bool fault = fault_meets(log);
        if (!fault || fault_spares(log->fault))
            journal_drop(writer->task, place);
        if (fault)
            status = fault_report(log, err);
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

// Copies the entry at *place into `into`; STATUS_END behind the last one.
static enum status journal_get(struct memory_log *log, const char *name, int64_t *place,
                               struct buffer *into, struct error *err) {
    buffer_reset(into);
    enum status status = STATUS_OK;
    pthread_mutex_lock(&log->lock);
    const struct memory_task *task = task_find(log, name);
    if (!task) {
        status = error_set(err, STATUS_NOT_FOUND, "could not find the journal of task `%s`", name);
    } else {
        int64_t end = task->begin + (int64_t)task->count;
        if (*place == 0)
            *place = task->begin;
        if (*place < task->begin || *place > end) {
            status = error_set(err, STATUS_CHANGED,
                               "could not read the journal of task `%s` from %lld: it holds %lld "
                               "to %lld now",
                               name, (long long)*place, (long long)task->begin, (long long)end);
        } else if (*place == end) {
            status = STATUS_END;
        } else {
            const struct memory_entry *entry = task->entries[*place - task->begin];
            buffer_append(into, entry->bytes, entry->length);
            if (into->failed)
                status = error_no_memory(err, entry->length, "a journal record");
        }
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

enum status memory_journal_read(struct log *head, struct log_writer *writer, const char *task,
                                int64_t place, log_journal_visit *each, void *self,
                                struct error *err) {
    (void)writer;
    struct memory_log *log = (struct memory_log *)head;
    struct buffer entry;
    buffer_init(&entry);
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = journal_get(log, task, &place, &entry, err);
        if (status == STATUS_OK)
            status = each(self, place++, entry.data, entry.length, err);
    }
    buffer_deinit(&entry);
    return status == STATUS_END ? STATUS_OK : status;
}
