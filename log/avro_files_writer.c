// The files backend's writer: a task's journal and the partitions that it has written to.
//
// A newer writer of the task in the same process takes the older one's locks away, which from then
// on is fenced; one in another process holds them until it ends, and opening says so. A writer
// without a task journals too, under a name of its own, so that its commits are whole as well:
// closing removes that journal, and whoever next opens a partition finishes one that a crash left
// behind.
#include "log/avro_files.h"

#include <string.h>
#include <unistd.h>

#include "base/hash.h"

enum { LOCK_ATTEMPTS = 10, LOCK_WAIT_MS = 20 };

struct files_writer {
    struct log_writer head;
    char *name; // as given
    char *journal_name;
    uint64_t owner; // hash of journal_name
    char **topics;  // [head.output_count]
    int32_t *partition_counts;
    struct files_partition ***partitions; // [output][partition], NULL until written to
    struct files_named_end *ends;         // [all partitions] scratch of a commit
    struct files_journal *journal;
    pthread_mutex_t lock; // guards `fenced` and the release of journal and partitions
    bool fenced;
    struct files_writer *next; // in the log's list
};

// Lock held, or nobody else knows the writer.
static void files_release(struct files_writer *writer) {
    for (size_t i = 0; writer->partitions && i < writer->head.output_count; i++)
        for (int32_t p = 0; writer->partitions[i] && p < writer->partition_counts[i]; p++) {
            files_partition_close(writer->partitions[i][p]);
            writer->partitions[i][p] = NULL;
        }
    files_journal_close(writer->journal);
    writer->journal = NULL;
}

static void writer_free(struct files_writer *writer) {
    files_release(writer);
    for (size_t i = 0; i < writer->head.output_count; i++) {
        if (writer->topics)
            memory_free(writer->topics[i]);
        if (writer->partitions)
            memory_free(writer->partitions[i]);
    }
    pthread_mutex_destroy(&writer->lock);
    memory_free(writer->topics);
    memory_free(writer->partitions);
    memory_free(writer->partition_counts);
    memory_free(writer->ends);
    memory_free(writer->name);
    memory_free(writer->journal_name);
    memory_free(writer);
}

static enum status end_recover(void *self, const struct files_named_end *end, struct error *err) {
    return files_partition_recover(self, end, err);
}

// Publishes what one journal names, if its writer is gone; one whose writer lives is left alone.
static enum status journal_finish(struct files_log *log, const char *name, bool remove,
                                  struct error *err) {
    struct files_journal *journal = NULL;
    struct error ignored;
    enum status status = files_journal_open(log, name, &journal, end_recover, log, &ignored);
    if (status == STATUS_FENCED || status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status != STATUS_OK)
        return error_set(err, status, "%s", ignored.message);
    char path[PATH_MAX];
    if (remove)
        status = disk_remove_tree(files_path(log, path, FILES_JOURNALS "/%s", name), err);
    files_journal_close(journal);
    return status;
}

// Those of writers without a task, which then go, or those of tasks.
static enum status journals_finish(struct files_log *log, bool anonymous, struct error *err) {
    char path[PATH_MAX];
    struct arena arena;
    arena_init(&arena, 4096);
    char **names = NULL;
    size_t count = 0;
    enum status status =
        disk_list(files_path(log, path, FILES_JOURNALS), &arena, &names, &count, err);
    for (size_t i = 0; status == STATUS_OK && i < count; i++)
        if (anonymous == (strncmp(names[i], FILES_ANONYMOUS, strlen(FILES_ANONYMOUS)) == 0))
            status = journal_finish(log, names[i], anonymous, err);
    arena_deinit(&arena);
    return status;
}

enum status files_writer_adopt(struct files_log *log, struct error *err) {
    return journals_finish(log, true, err);
}

enum status files_writer_restore(struct files_log *log, struct error *err) {
    enum status status = journals_finish(log, true, err);
    return status == STATUS_OK ? journals_finish(log, false, err) : status;
}

// Takes journal and partitions from older writers of this task in this process.
static void older_fence(struct files_log *log, const char *task) {
    pthread_mutex_lock(&log->lock);
    for (struct files_writer *older = log->writers; older; older = older->next)
        if (strcmp(older->journal_name, task) == 0) {
            pthread_mutex_lock(&older->lock);
            older->fenced = true;
            files_release(older);
            pthread_mutex_unlock(&older->lock);
        }
    pthread_mutex_unlock(&log->lock);
}

static enum status outputs_bind(struct files_log *log, struct files_writer *writer,
                                const char *const *outputs, struct error *err) {
    size_t all = 1;
    for (size_t i = 0; i < writer->head.output_count; i++) {
        struct files_topic topic = {0};
        enum status status = files_topic_read(log, outputs[i], &topic, err);
        if (status != STATUS_OK)
            return status;
        writer->topics[i] = memory_copy_string(outputs[i]);
        writer->partitions[i] = memory_new((size_t)topic.partitions, sizeof(void *));
        if (!writer->topics[i] || !writer->partitions[i])
            return error_no_memory(err, (size_t)topic.partitions * sizeof(void *), "a writer");
        writer->partition_counts[i] = topic.partitions;
        all += (size_t)topic.partitions;
    }
    writer->ends = memory_new(all, sizeof(*writer->ends));
    return writer->ends ? STATUS_OK : error_no_memory(err, all * sizeof(*writer->ends), "a writer");
}

// A journal under a name that nobody else has. A writer that adopts may take a new name's lock
// before us; then the next name is tried.
static enum status anonymous_bind(struct files_log *log, struct files_writer *writer,
                                  struct error *err) {
    char name[LOG_NAME_MAX + 1];
    enum status status = STATUS_FENCED;
    for (int attempt = 0; attempt < 100; attempt++) {
        pthread_mutex_lock(&log->lock);
        uint64_t number = ++log->anonymous;
        pthread_mutex_unlock(&log->lock);
        snprintf(name, sizeof(name), FILES_ANONYMOUS "%lld-%lld-%llu", (long long)getpid(),
                 (long long)clock_system.wall_ms(&clock_system), (unsigned long long)number);
        memory_free(writer->journal_name);
        writer->journal_name = memory_copy_string(name);
        if (!writer->journal_name)
            return error_no_memory(err, sizeof(name), "a writer");
        status = files_journal_open(log, name, &writer->journal, end_recover, log, err);
        if (status != STATUS_FENCED && status != STATUS_NOT_FOUND)
            break;
    }
    return status;
}

// The task's own journal. A reader that restores ends holds its lock for a moment.
static enum status task_bind(struct files_log *log, struct files_writer *writer,
                             struct error *err) {
    writer->journal_name = memory_copy_string(writer->name);
    if (!writer->journal_name)
        return error_no_memory(err, strlen(writer->name), "a writer");
    for (int attempt = 0;; attempt++) {
        enum status status =
            files_journal_open(log, writer->name, &writer->journal, end_recover, log, err);
        if (status != STATUS_FENCED || attempt == LOCK_ATTEMPTS)
            return status;
        clock_system.sleep_ms(&clock_system, LOCK_WAIT_MS);
    }
}

static enum status journal_bind(struct files_log *log, struct files_writer *writer,
                                struct error *err) {
    enum status status =
        *writer->name == '\0' ? anonymous_bind(log, writer, err) : task_bind(log, writer, err);
    if (status == STATUS_OK)
        writer->owner = hash_bytes(writer->journal_name, strlen(writer->journal_name), 0);
    return status;
}

enum status files_writer_open(struct log *head, const char *task, const char *const *outputs,
                              size_t output_count, struct log_writer **ret_writer,
                              struct error *err) {
    struct files_log *log = (struct files_log *)head;
    struct files_writer *writer = memory_new(1, sizeof(*writer));
    if (!writer)
        return error_no_memory(err, sizeof(*writer), "a writer");
    REQUIRE(pthread_mutex_init(&writer->lock, NULL) == 0);
    writer->name = memory_copy_string(task);
    writer->topics = memory_new(output_count + 1, sizeof(*writer->topics));
    writer->partitions = memory_new(output_count + 1, sizeof(*writer->partitions));
    writer->partition_counts = memory_new(output_count + 1, sizeof(*writer->partition_counts));
    writer->head = (struct log_writer){.log = head,
                                       .task = writer->name,
                                       .output_count = output_count,
                                       .output_partitions = writer->partition_counts};
    enum status status;
    if (!writer->name || !writer->topics || !writer->partitions || !writer->partition_counts)
        status = error_no_memory(err, output_count * sizeof(*writer->topics), "a writer");
    else
        status = outputs_bind(log, writer, outputs, err);
    if (status == STATUS_OK && *task != '\0')
        older_fence(log, task);
    if (status == STATUS_OK)
        status = journal_bind(log, writer, err);
    if (status != STATUS_OK) {
        writer_free(writer);
        return status;
    }
    pthread_mutex_lock(&log->lock);
    writer->next = log->writers;
    log->writers = writer;
    pthread_mutex_unlock(&log->lock);
    *ret_writer = &writer->head;
    return STATUS_OK;
}

void files_writer_close(struct log_writer *head) {
    struct files_writer *writer = (struct files_writer *)head;
    struct files_log *log = (struct files_log *)head->log;
    pthread_mutex_lock(&log->lock);
    struct files_writer **link = &log->writers;
    while (*link != writer)
        link = &(*link)->next;
    *link = writer->next;
    pthread_mutex_unlock(&log->lock);
    bool adopt = *writer->name == '\0';
    if (adopt) {
        // Its own journal is finished like a dead writer's: the ends become durable, it goes. When
        // that fails the next writer does it, so there is nothing to tell.
        files_release(writer);
        struct error ignored;
        enum status status = journal_finish(log, writer->journal_name, true, &ignored);
        (void)status;
    }
    writer_free(writer);
}

static enum status fenced(const struct files_writer *writer, struct error *err) {
    return error_set(err, STATUS_FENCED, "task `%s` has a newer writer", writer->name);
}

enum status files_writer_append(struct log_writer *head, size_t output, int32_t number,
                                const struct log_record *record, struct error *err) {
    struct files_writer *writer = (struct files_writer *)head;
    enum status status = STATUS_OK;
    pthread_mutex_lock(&writer->lock);
    struct files_partition **partition = &writer->partitions[output][number];
    if (writer->fenced)
        status = fenced(writer, err);
    else if (!*partition)
        status = files_partition_open((struct files_log *)head->log, writer->topics[output], number,
                                      writer->owner, partition, err);
    if (status == STATUS_OK)
        status = files_partition_append(*partition, record, err);
    pthread_mutex_unlock(&writer->lock);
    return status;
}

// Settles what was appended and lists the ends of all partitions ever written to by this writer.
static enum status ends_settle(struct files_writer *writer, size_t *ret_count, bool *ret_touched,
                               struct error *err) {
    *ret_count = 0;
    *ret_touched = false;
    for (size_t i = 0; i < writer->head.output_count; i++)
        for (int32_t p = 0; p < writer->partition_counts[i]; p++) {
            struct files_partition *partition = writer->partitions[i][p];
            if (!partition)
                continue;
            *ret_touched = *ret_touched || partition->touched;
            enum status status = files_partition_settle(partition, err);
            if (status != STATUS_OK)
                return status;
            writer->ends[(*ret_count)++] =
                (struct files_named_end){.topic = partition->topic,
                                         .partition = p,
                                         .identity = partition->identity,
                                         .end = files_partition_next(partition)};
        }
    return STATUS_OK;
}

static enum status ends_publish(struct files_writer *writer, struct error *err) {
    for (size_t i = 0; i < writer->head.output_count; i++)
        for (int32_t p = 0; p < writer->partition_counts[i]; p++) {
            struct files_partition *partition = writer->partitions[i][p];
            if (!partition || !partition->touched)
                continue;
            enum status status = files_partition_publish(partition, err);
            if (status != STATUS_OK)
                return status;
        }
    return STATUS_OK;
}

enum status files_writer_commit(struct log_writer *head, const struct log_journal_entry *entries,
                                size_t entry_count, struct error *err) {
    struct files_writer *writer = (struct files_writer *)head;
    struct files_log *log = (struct files_log *)head->log;
    size_t end_count = 0;
    bool touched = false;
    pthread_mutex_lock(&writer->lock);
    enum status status =
        writer->fenced ? fenced(writer, err) : ends_settle(writer, &end_count, &touched, err);
    bool empty = !touched && entry_count == 0;
    if (status == STATUS_OK && !empty)
        status = files_journal_write(writer->journal, writer->ends, end_count, entries, entry_count,
                                     err);
    if (status == STATUS_OK && !empty)
        status = ends_publish(writer, err);
    pthread_mutex_unlock(&writer->lock);
    if (status == STATUS_OK && !empty) {
        pthread_mutex_lock(&log->lock);
        log->commits++;
        pthread_cond_broadcast(&log->committed);
        pthread_mutex_unlock(&log->lock);
    }
    return status;
}

int64_t files_writer_place(struct log_writer *head) {
    struct files_writer *writer = (struct files_writer *)head;
    pthread_mutex_lock(&writer->lock);
    int64_t place = writer->journal ? writer->journal->place : 0;
    pthread_mutex_unlock(&writer->lock);
    return place;
}

enum status files_writer_trim(struct log_writer *head, int64_t place, struct error *err) {
    struct files_writer *writer = (struct files_writer *)head;
    pthread_mutex_lock(&writer->lock);
    enum status status =
        writer->fenced ? fenced(writer, err) : files_journal_drop(writer->journal, place, err);
    pthread_mutex_unlock(&writer->lock);
    return status;
}

enum status files_writer_journal(struct log *head, struct log_writer *writer, const char *task,
                                 int64_t place, log_journal_visit *each, void *self,
                                 struct error *err) {
    (void)writer;
    return files_journal_visit((struct files_log *)head, task, place, each, self, err);
}
