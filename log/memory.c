// The memory backend: topics in this process, for tests and for stages wired inside one process.
//
// One lock and one condition serve the whole log. A commit allocates all that it needs first and
// then links it in, so it happens whole or not at all. Records are copied to a reader's own memory
// at each poll. Nothing is bounded but by log_memory_retain; nothing survives log_close.
#include "log/memory_store.h"

#include <string.h>

struct memory_topic *memory_topic_find(struct memory_log *log, const char *name) {
    for (struct memory_topic *topic = log->topics; topic; topic = topic->next)
        if (!topic->deleted && strcmp(topic->name, name) == 0)
            return topic;
    return NULL;
}

size_t memory_partition_index(const struct memory_partition *partition, int64_t offset) {
    size_t low = 0, high = partition->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (partition->records[middle]->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool memory_grow(void **array, size_t count, size_t *capacity, size_t more) {
    if (count + more <= *capacity)
        return true;
    size_t wanted = *capacity * 2 > count + more ? *capacity * 2 : count + more;
    void *grown = memory_resize(*array, *capacity, wanted, sizeof(void *));
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

static void partition_drop(struct memory_partition *partition, size_t count) {
    for (size_t i = 0; i < count; i++)
        memory_free(partition->records[i]);
    partition->count -= count;
    if (partition->count > 0)
        memmove(partition->records, partition->records + count,
                partition->count * sizeof(*partition->records));
}

static void topic_free(struct memory_topic *topic) {
    for (int32_t p = 0; topic->partitions && p < topic->partition_count; p++) {
        partition_drop(&topic->partitions[p], topic->partitions[p].count);
        memory_free(topic->partitions[p].records);
    }
    memory_free(topic->partitions);
    memory_free(topic->name);
    memory_free(topic);
}

static void memory_close(struct log *head) {
    struct memory_log *log = (struct memory_log *)head;
    while (log->topics) {
        struct memory_topic *next = log->topics->next;
        topic_free(log->topics);
        log->topics = next;
    }
    while (log->tasks) {
        struct memory_task *task = log->tasks;
        log->tasks = task->next;
        for (size_t i = 0; i < task->count; i++)
            memory_free(task->entries[i]);
        memory_free(task->entries);
        memory_free(task->name);
        memory_free(task);
    }
    pthread_cond_destroy(&log->committed);
    pthread_mutex_destroy(&log->lock);
    memory_free(log);
}

static enum status topic_make(struct memory_log *log, const char *name, int32_t partitions,
                              struct error *err) {
    struct memory_topic *topic = memory_new(1, sizeof(*topic));
    if (!topic)
        return error_no_memory(err, sizeof(*topic), "a topic");
    topic->partition_count = partitions;
    topic->name = memory_copy_string(name);
    topic->partitions = memory_new((size_t)partitions, sizeof(*topic->partitions));
    if (!topic->name || !topic->partitions) {
        topic_free(topic);
        return error_no_memory(err, (size_t)partitions * sizeof(*topic->partitions), "a topic");
    }
    topic->identity = ++log->identities;
    topic->next = log->topics;
    log->topics = topic;
    return STATUS_OK;
}

static enum status memory_topic_ensure(struct log *head, const char *name, int32_t partitions,
                                       struct error *err) {
    struct memory_log *log = (struct memory_log *)head;
    pthread_mutex_lock(&log->lock);
    enum status status = STATUS_OK;
    struct memory_topic *topic = memory_topic_find(log, name);
    if (!topic)
        status = topic_make(log, name, partitions, err);
    else if (topic->partition_count != partitions)
        status = error_set(err, STATUS_CHANGED, "topic `%s` has %d partitions, %d wanted", name,
                           (int)topic->partition_count, (int)partitions);
    pthread_mutex_unlock(&log->lock);
    return status;
}

// Finds the topic and takes the lock, which the caller gives back in either case.
static enum status topic_lock(struct memory_log *log, const char *name,
                              struct memory_topic **ret_topic, struct error *err) {
    pthread_mutex_lock(&log->lock);
    struct memory_topic *topic = memory_topic_find(log, name);
    if (!topic)
        return error_set(err, STATUS_NOT_FOUND, "could not find topic `%s`", name);
    *ret_topic = topic;
    return STATUS_OK;
}

static enum status memory_topic_partitions(struct log *head, const char *name,
                                           int32_t *ret_partitions, struct error *err) {
    struct memory_log *log = (struct memory_log *)head;
    struct memory_topic *topic = NULL;
    enum status status = topic_lock(log, name, &topic, err);
    if (status == STATUS_OK)
        *ret_partitions = topic->partition_count;
    pthread_mutex_unlock(&log->lock);
    return status;
}

static enum status memory_topic_bounds(struct log *head, const char *name, int32_t partition,
                                       int64_t *ret_begin, int64_t *ret_end, struct error *err) {
    struct memory_log *log = (struct memory_log *)head;
    struct memory_topic *topic = NULL;
    enum status status = topic_lock(log, name, &topic, err);
    if (status == STATUS_OK) {
        *ret_begin = topic->partitions[partition].begin;
        *ret_end = topic->partitions[partition].end;
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

static enum status memory_topic_offset_at(struct log *head, const char *name, int32_t partition,
                                          int64_t timestamp_ms, int64_t *ret_offset,
                                          struct error *err) {
    struct memory_log *log = (struct memory_log *)head;
    struct memory_topic *topic = NULL;
    enum status status = topic_lock(log, name, &topic, err);
    if (status == STATUS_OK) {
        const struct memory_partition *found = &topic->partitions[partition];
        *ret_offset = found->end;
        for (size_t i = 0; i < found->count && *ret_offset == found->end; i++)
            if (found->records[i]->timestamp_ms >= timestamp_ms)
                *ret_offset = found->records[i]->offset;
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

static enum status memory_topic_identity(struct log *head, const char *name, uint64_t *ret_identity,
                                         struct error *err) {
    struct memory_log *log = (struct memory_log *)head;
    struct memory_topic *topic = NULL;
    enum status status = topic_lock(log, name, &topic, err);
    if (status == STATUS_OK)
        *ret_identity = topic->identity;
    pthread_mutex_unlock(&log->lock);
    return status;
}

static const struct log_operations memory_operations = {
    .backend = LOG_MEMORY,
    .close = memory_close,
    .topic_ensure = memory_topic_ensure,
    .topic_partitions = memory_topic_partitions,
    .topic_bounds = memory_topic_bounds,
    .topic_offset_at = memory_topic_offset_at,
    .topic_identity = memory_topic_identity,
    .reader_open = memory_reader_open,
    .reader_close = memory_reader_close,
    .reader_poll = memory_reader_poll,
    .reader_pause = memory_reader_pause,
    .reader_seek = memory_reader_seek,
    .reader_end = memory_reader_end,
    .reader_position = memory_reader_position,
    .writer_open = memory_writer_open,
    .writer_close = memory_writer_close,
    .writer_append = memory_writer_append,
    .writer_commit = memory_writer_commit,
    .journal_place = memory_journal_place,
    .journal_trim = memory_journal_trim,
    .journal_read = memory_journal_read,
};

enum status log_open_memory(struct log **ret_log, struct error *err) {
    struct memory_log *log = memory_new(1, sizeof(*log));
    if (!log)
        return error_no_memory(err, sizeof(*log), "a memory log");
    log->head.operations = &memory_operations;
    pthread_condattr_t attributes;
    REQUIRE(pthread_condattr_init(&attributes) == 0);
    REQUIRE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    REQUIRE(pthread_cond_init(&log->committed, &attributes) == 0);
    REQUIRE(pthread_mutex_init(&log->lock, NULL) == 0);
    pthread_condattr_destroy(&attributes);
    *ret_log = &log->head;
    return STATUS_OK;
}

static struct memory_log *memory_of(struct log *log) {
    REQUIRE(log->operations == &memory_operations);
    return (struct memory_log *)log;
}

void log_memory_fault_plant(struct log *head, uint64_t n, enum log_memory_fault fault) {
    struct memory_log *log = memory_of(head);
    pthread_mutex_lock(&log->lock);
    log->fault_at = n == 0 ? 0 : log->mutations + n;
    log->fault = fault;
    pthread_mutex_unlock(&log->lock);
}

uint64_t log_memory_mutations(struct log *head) {
    struct memory_log *log = memory_of(head);
    pthread_mutex_lock(&log->lock);
    uint64_t mutations = log->mutations;
    pthread_mutex_unlock(&log->lock);
    return mutations;
}

void log_memory_unavailable(struct log *head, bool unavailable) {
    struct memory_log *log = memory_of(head);
    pthread_mutex_lock(&log->lock);
    log->unavailable = unavailable;
    pthread_cond_broadcast(&log->committed);
    pthread_mutex_unlock(&log->lock);
}

void log_memory_gaps(struct log *head, bool gaps) {
    struct memory_log *log = memory_of(head);
    pthread_mutex_lock(&log->lock);
    log->gaps = gaps;
    pthread_mutex_unlock(&log->lock);
}

enum status log_memory_retain(struct log *head, const char *name, int32_t partition, int64_t begin,
                              struct error *err) {
    struct memory_log *log = memory_of(head);
    struct memory_topic *topic = NULL;
    enum status status = topic_lock(log, name, &topic, err);
    if (status == STATUS_OK && (partition < 0 || partition >= topic->partition_count))
        status = error_set(err, STATUS_NOT_FOUND, "could not find partition %d of topic `%s`",
                           (int)partition, name);
    if (status == STATUS_OK) {
        struct memory_partition *found = &topic->partitions[partition];
        if (begin > found->end)
            begin = found->end;
        if (begin > found->begin) {
            partition_drop(found, memory_partition_index(found, begin));
            found->begin = begin;
        }
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}

enum status log_memory_topic_delete(struct log *head, const char *name, struct error *err) {
    struct memory_log *log = memory_of(head);
    struct memory_topic *topic = NULL;
    enum status status = topic_lock(log, name, &topic, err);
    if (status == STATUS_OK) {
        topic->deleted = true;
        pthread_cond_broadcast(&log->committed);
    }
    pthread_mutex_unlock(&log->lock);
    return status;
}
