// A task's journal: one frame a commit, in segments named by the place of their first record.
//
// A frame is mark, payload length and checksum (8 bytes each, little-endian) and the payload: place
// of its first record, the ends of all partitions that the writer has touched, the records. What is
// wrong at the very end is a write that a crash cut short and is cut off; what is wrong before a
// good frame is corruption.
#include "log/avro_files.h"

#include <string.h>

#include "base/hash.h"

#define SEGMENT_BYTES ((int64_t)8 * 1024 * 1024)
#define HEAD_BYTES ((size_t)24)

static const unsigned char mark[8] = {'F', 'R', 'S', 'H', 'J', 'N', 'L', '1'};

struct frame {
    struct wire in; // after the place
    size_t length;  // of the whole frame
    int64_t place;
};

static uint64_t fixed_get(const unsigned char *bytes) {
    struct wire in = wire_over(bytes, 8);
    return wire_get_fixed64(&in);
}

// The frame that stands at `at`; false when there is none that is whole and good.
static bool frame_at(const struct buffer *file, size_t at, struct frame *ret_frame) {
    if (file->length - at < HEAD_BYTES || memcmp(file->data + at, mark, sizeof(mark)) != 0)
        return false;
    const unsigned char *head = file->data + at;
    uint64_t length = fixed_get(head + 8);
    if (length > file->length - at - HEAD_BYTES ||
        fixed_get(head + 16) != hash_bytes(head + HEAD_BYTES, (size_t)length, 0))
        return false;
    ret_frame->in = wire_over(head + HEAD_BYTES, (size_t)length);
    ret_frame->length = HEAD_BYTES + (size_t)length;
    ret_frame->place = wire_get_long(&ret_frame->in);
    return !ret_frame->in.bad;
}

static bool good_frame_after(const struct buffer *file, size_t at) {
    struct frame frame;
    for (size_t i = at + 1; i < file->length && file->length - i >= HEAD_BYTES; i++)
        if (file->data[i] == mark[0] && frame_at(file, i, &frame))
            return true;
    return false;
}

struct scan {
    const char *path;
    struct buffer file;
    size_t at;     // of the next frame
    int64_t place; // of its first record
    bool last;     // newest segment: its end may be torn
};

// STATUS_END at the end, or where a torn frame stands (then scan->at < scan->file.length).
static enum status scan_next(struct scan *scan, struct frame *ret_frame, struct error *err) {
    if (scan->at == scan->file.length)
        return STATUS_END;
    if (!frame_at(&scan->file, scan->at, ret_frame)) {
        if (scan->last && !good_frame_after(&scan->file, scan->at))
            return STATUS_END;
        return error_set(
            err, STATUS_CORRUPT,
            "could not read journal %s: the record at byte %zu is bad and others follow",
            scan->path, scan->at);
    }
    if (ret_frame->place != scan->place)
        return error_set(err, STATUS_CORRUPT,
                         "could not read journal %s: place %lld stands where %lld should",
                         scan->path, (long long)ret_frame->place, (long long)scan->place);
    scan->at += ret_frame->length;
    return STATUS_OK;
}

static void end_get(struct wire *in, struct buffer *topic, struct files_named_end *end) {
    size_t length = 0;
    const unsigned char *name = wire_get_bytes(in, &length);
    buffer_reset(topic);
    buffer_append(topic, name, length);
    buffer_append_byte(topic, 0);
    end->topic = (const char *)topic->data;
    end->partition = wire_get_int(in);
    end->identity = wire_get_fixed64(in);
    end->end.version = wire_get_fixed64(in);
    end->end.next_offset = wire_get_long(in);
    end->end.segment = wire_get_long(in);
    end->end.bytes = wire_get_long(in);
    end->end.owner = wire_get_fixed64(in);
}

static void end_put(struct buffer *out, const struct files_named_end *end) {
    wire_put_string(out, end->topic);
    wire_put_long(out, end->partition);
    wire_put_fixed64(out, end->identity);
    wire_put_fixed64(out, end->end.version);
    wire_put_long(out, end->end.next_offset);
    wire_put_long(out, end->end.segment);
    wire_put_long(out, end->end.bytes);
    wire_put_fixed64(out, end->end.owner);
}

typedef enum status end_visit(void *self, const struct files_named_end *end, struct error *err);

// Walks the ends of a frame (`each` NULL: over them) and leaves frame->in at the records.
static enum status frame_ends(struct frame *frame, end_visit *each, void *self, struct error *err) {
    struct buffer topic;
    buffer_init(&topic);
    enum status status = STATUS_OK;
    int64_t count = wire_get_long(&frame->in);
    for (int64_t i = 0; status == STATUS_OK && i < count; i++) {
        struct files_named_end end;
        end_get(&frame->in, &topic, &end);
        if (topic.failed)
            status = error_no_memory(err, topic.capacity, "a topic's name");
        else if (frame->in.bad)
            status = error_set(err, STATUS_CORRUPT, "could not read a journal's frame");
        else if (each)
            status = each(self, &end, err);
    }
    buffer_deinit(&topic);
    return status;
}

static char *journal_path(const struct files_log *log, const char *task, int64_t first,
                          char path[PATH_MAX]) {
    return files_path(log, path, FILES_JOURNALS "/%s/%020lld.journal", task, (long long)first);
}

static enum status scan_open(struct scan *scan, const char *path, int64_t first, bool last,
                             struct error *err) {
    *scan = (struct scan){.path = path, .place = first, .last = last};
    buffer_init(&scan->file);
    return disk_read_all(path, &scan->file, err);
}

// Goes through one segment: where it ends, and its last frame (last->length 0: none). The frame's
// bytes are in scan->file.
static enum status segment_survey(struct scan *scan, struct frame *ret_last, struct error *err) {
    struct frame frame = {0}, last = {0};
    enum status status;
    while ((status = scan_next(scan, &frame, err)) == STATUS_OK) {
        last = frame;
        status = frame_ends(&frame, NULL, NULL, err);
        if (status != STATUS_OK)
            return status;
        scan->place += wire_get_long(&frame.in);
    }
    *ret_last = last;
    return status == STATUS_END ? STATUS_OK : status;
}

// Surveys the newest segments until one has a frame, whose ends `each` is told.
static enum status journal_resume(struct files_journal *journal, const int64_t *firsts,
                                  size_t count, end_visit *each, void *self, struct error *err) {
    enum status status = STATUS_OK;
    struct frame last = {0};
    for (size_t i = count; status == STATUS_OK && i-- > 0 && last.length == 0;) {
        char path[PATH_MAX];
        bool newest = i + 1 == count;
        struct scan scan;
        journal_path(journal->log, journal->task, firsts[i], path);
        status = scan_open(&scan, path, firsts[i], newest, err);
        if (status == STATUS_OK)
            status = segment_survey(&scan, &last, err);
        if (status == STATUS_OK && newest) {
            journal->place = scan.place;
            journal->segment_first = firsts[i];
            journal->segment_bytes = (int64_t)scan.at;
            status = disk_open(path, DISK_UPDATE, &journal->segment, err);
            if (status == STATUS_OK && scan.at < scan.file.length)
                status = disk_truncate(journal->segment, scan.at, err);
        }
        if (status == STATUS_OK && last.length > 0)
            status = frame_ends(&last, each, self, err);
        buffer_deinit(&scan.file);
    }
    return status;
}

void files_journal_close(struct files_journal *journal) {
    if (!journal)
        return;
    disk_close(journal->segment);
    disk_close(journal->lock);
    buffer_deinit(&journal->frame);
    memory_free(journal->task);
    memory_free(journal);
}

enum status files_journal_open(struct files_log *log, const char *task,
                               struct files_journal **ret_journal, end_visit *each, void *self,
                               struct error *err) {
    struct files_journal *journal = memory_new(1, sizeof(*journal));
    if (!journal)
        return error_no_memory(err, sizeof(*journal), "a journal");
    journal->log = log;
    buffer_init(&journal->frame);
    journal->task = memory_copy_string(task);
    struct arena arena;
    arena_init(&arena, 4096);
    int64_t *firsts = NULL;
    size_t count = 0;
    char folder[PATH_MAX], path[PATH_MAX];
    files_path(log, folder, FILES_JOURNALS "/%s", task);
    files_path(log, path, FILES_JOURNALS "/%s/lock", task);
    enum status status = journal->task ? STATUS_OK : error_no_memory(err, strlen(task), "a task");
    if (status == STATUS_OK)
        status = disk_make_directory(folder, err);
    if (status == STATUS_OK)
        status = disk_open(path, DISK_UPDATE, &journal->lock, err);
    if (status == STATUS_OK && disk_lock(journal->lock, err) != STATUS_OK)
        status = error_prefix(err, "could not write as task `%s`", task);
    if (status == STATUS_OK)
        status = files_segments(folder, ".journal", &arena, &firsts, &count, err);
    if (status == STATUS_OK)
        status = journal_resume(journal, firsts, count, each, self, err);
    arena_deinit(&arena);
    if (status == STATUS_OK)
        *ret_journal = journal;
    else
        files_journal_close(journal);
    return status;
}

static enum status journal_roll(struct files_journal *journal, struct error *err) {
    char path[PATH_MAX];
    disk_close(journal->segment);
    journal->segment = NULL;
    journal->segment_first = journal->place;
    journal->segment_bytes = 0;
    journal_path(journal->log, journal->task, journal->place, path);
    enum status status = disk_open(path, DISK_REPLACE, &journal->segment, err);
    if (status == STATUS_OK && journal->log->fsync)
        status = disk_sync_directory(
            files_path(journal->log, path, FILES_JOURNALS "/%s", journal->task), err);
    return status;
}

static void frame_build(struct files_journal *journal, const struct files_named_end *ends,
                        size_t end_count, const struct log_journal_entry *entries,
                        size_t entry_count) {
    static const unsigned char blank[HEAD_BYTES];
    struct buffer *frame = &journal->frame;
    buffer_reset(frame);
    buffer_append(frame, blank, sizeof(blank));
    wire_put_long(frame, journal->place);
    wire_put_long(frame, (int64_t)end_count);
    for (size_t i = 0; i < end_count; i++)
        end_put(frame, &ends[i]);
    wire_put_long(frame, (int64_t)entry_count);
    for (size_t i = 0; i < entry_count; i++)
        wire_put_bytes(frame, entries[i].bytes, entries[i].length);
    if (frame->failed)
        return;
    size_t length = frame->length - HEAD_BYTES;
    struct buffer head;
    buffer_init(&head);
    buffer_append(&head, mark, sizeof(mark));
    wire_put_fixed64(&head, length);
    wire_put_fixed64(&head, hash_bytes(frame->data + HEAD_BYTES, length, 0));
    frame->failed = head.failed;
    if (!head.failed)
        memcpy(frame->data, head.data, HEAD_BYTES);
    buffer_deinit(&head);
}

enum status files_journal_write(struct files_journal *journal, const struct files_named_end *ends,
                                size_t end_count, const struct log_journal_entry *entries,
                                size_t entry_count, struct error *err) {
    enum status status = STATUS_OK;
    if (!journal->segment ||
        (journal->segment_bytes >= SEGMENT_BYTES && journal->place > journal->segment_first))
        status = journal_roll(journal, err);
    if (status != STATUS_OK)
        return status;
    frame_build(journal, ends, end_count, entries, entry_count);
    if (journal->frame.failed)
        return error_no_memory(err, journal->frame.capacity, "a journal record");
    status = disk_write_at(journal->segment, (uint64_t)journal->segment_bytes, journal->frame.data,
                           journal->frame.length, err);
    if (status == STATUS_OK && journal->log->fsync)
        status = disk_sync(journal->segment, err);
    if (status != STATUS_OK)
        return status;
    journal->segment_bytes += (int64_t)journal->frame.length;
    journal->place += (int64_t)entry_count;
    return STATUS_OK;
}

enum status files_journal_drop(struct files_journal *journal, int64_t place, struct error *err) {
    char path[PATH_MAX];
    struct arena arena;
    arena_init(&arena, 4096);
    int64_t *firsts = NULL;
    size_t count = 0;
    files_path(journal->log, path, FILES_JOURNALS "/%s", journal->task);
    enum status status = files_segments(path, ".journal", &arena, &firsts, &count, err);
    for (size_t i = 0; status == STATUS_OK && i + 1 < count && firsts[i + 1] <= place; i++)
        status = disk_remove(journal_path(journal->log, journal->task, firsts[i], path), err);
    arena_deinit(&arena);
    return status;
}

// Tells `each` the records of one segment from `place` on; *ret_end is the place after its last.
static enum status segment_visit(struct scan *scan, int64_t place, log_journal_visit *each,
                                 void *self, int64_t *ret_end, struct error *err) {
    struct frame frame = {0};
    enum status status;
    while ((status = scan_next(scan, &frame, err)) == STATUS_OK) {
        status = frame_ends(&frame, NULL, NULL, err);
        int64_t count = status == STATUS_OK ? wire_get_long(&frame.in) : 0;
        for (int64_t i = 0; status == STATUS_OK && i < count; i++) {
            size_t length = 0;
            const unsigned char *bytes = wire_get_bytes(&frame.in, &length);
            if (frame.in.bad)
                status = error_set(err, STATUS_CORRUPT, "could not read journal %s at place %lld",
                                   scan->path, (long long)scan->place);
            else if (scan->place >= place)
                status = each(self, scan->place, bytes, length, err);
            scan->place++;
        }
        if (status != STATUS_OK)
            return status;
    }
    *ret_end = scan->place;
    return status == STATUS_END ? STATUS_OK : status;
}

static enum status place_refused(const char *task, int64_t place, int64_t begin, int64_t end,
                                 struct error *err) {
    return error_set(err, STATUS_CHANGED,
                     "could not read the journal of task `%s` from %lld: it holds %lld to %lld now",
                     task, (long long)place, (long long)begin, (long long)end);
}

static enum status segments_visit(struct files_log *log, const char *task, const int64_t *firsts,
                                  size_t count, int64_t place, log_journal_visit *each, void *self,
                                  struct error *err) {
    int64_t begin = count > 0 ? firsts[0] : 0, end = 0;
    if (place != 0 && place < begin)
        return place_refused(task, place, begin, firsts[count - 1], err);
    size_t start = 0;
    while (start + 1 < count && firsts[start + 1] <= place)
        start++;
    enum status status = STATUS_OK;
    for (size_t i = start; status == STATUS_OK && i < count; i++) {
        char path[PATH_MAX];
        struct scan scan;
        status = scan_open(&scan, journal_path(log, task, firsts[i], path), firsts[i],
                           i + 1 == count, err);
        if (status == STATUS_OK)
            status = segment_visit(&scan, place, each, self, &end, err);
        buffer_deinit(&scan.file);
    }
    return status == STATUS_OK && place > end ? place_refused(task, place, begin, end, err)
                                              : status;
}

enum status files_journal_visit(struct files_log *log, const char *task, int64_t place,
                                log_journal_visit *each, void *self, struct error *err) {
    char folder[PATH_MAX];
    files_path(log, folder, FILES_JOURNALS "/%s", task);
    if (!disk_exists(folder))
        return error_set(err, STATUS_NOT_FOUND, "could not find the journal of task `%s`", task);
    struct arena arena;
    arena_init(&arena, 4096);
    int64_t *firsts = NULL;
    size_t count = 0;
    enum status status = files_segments(folder, ".journal", &arena, &firsts, &count, err);
    if (status == STATUS_OK)
        status = segments_visit(log, task, firsts, count, place, each, self, err);
    arena_deinit(&arena);
    return status;
}
