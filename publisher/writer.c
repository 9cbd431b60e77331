// Sorting rows into buckets and buckets into chunks; see writer.h.
//
// Chunks are numbered by where they come from (the record, the group), not by when they are sent,
// so a publisher that goes on in the middle of a version skips exactly the chunks that Redis
// already has.
#include "publisher/writer.h"

#include <string.h>

struct writer_row {
    uint32_t bucket, place; // place: keeps equal buckets in the record's order
    uint32_t table, dimension;
    uint64_t id;
    const unsigned char *values; // NULL for a tombstone
};
// Rows of many records gather up to PENDING_BYTES, so that a bucket gets several of them at once: a
// first load of ten million rows into 131,072 buckets goes twice as fast as with half a row at a
// time, since each write finds the bucket anew and searches it from its beginning.
enum {
    GROUPS = 1 << REDIS_LAYOUT_GROUP_BITS,
    CHUNK_BUCKETS = 64,
    CHUNK_ROWS = 1500,
    PENDING_BYTES = 64 << 20
};

void writer_init(struct writer *writer, const char *name, unsigned bucket_bits,
                 enum redis_row_type row_type) {
    *writer = (struct writer){.name = name, .bucket_bits = bucket_bits, .row_type = row_type};
    buffer_init(&writer->text);
    buffer_init(&writer->pending);
    buffer_init(&writer->whole);
}

void writer_deinit(struct writer *writer) {
    memory_free(writer->rows);
    redis_command_deinit(&writer->command);
    buffer_deinit(&writer->text);
    buffer_deinit(&writer->pending);
    buffer_deinit(&writer->whole);
}

void writer_begin(struct writer *writer) {
    buffer_reset(&writer->pending);
    buffer_reset(&writer->whole);
    writer->pending_rows = 0;
}

void writer_reset(struct writer *writer) {
    memset(writer->groups, 0, sizeof writer->groups);
    writer_begin(writer);
}

static int compare_rows(const void *left, const void *right) {
    const struct writer_row *a = left, *b = right;
    if (a->bucket != b->bucket)
        return a->bucket < b->bucket ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static enum status rows_room(struct writer *writer, size_t count, struct error *err) {
    if (count <= writer->rows_room)
        return STATUS_OK;
    struct writer_row *rows = memory_resize(writer->rows, writer->rows_room, count, sizeof *rows);
    if (!rows)
        return error_no_memory(err, count * sizeof *rows, "rows to publish");
    writer->rows = rows;
    writer->rows_room = count;
    return STATUS_OK;
}

// A copy in the command's own text, which does not move while the command is built.
static void add_copy(struct writer *writer, const void *bytes, size_t length) {
    unsigned char *at = writer->text.data + writer->text.length;
    buffer_append(&writer->text, bytes, length);
    redis_command_add(&writer->command, at, length);
}

static void add_number(struct writer *writer, uint64_t number) {
    char text[24];
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    add_copy(writer, text, (size_t)length);
}

// One bucket of a chunk: rows [first, last).
struct chunk_bucket {
    uint32_t bucket;
    size_t first, last;
};

// Rates are never rounded.
static enum redis_row_type type_of(const struct writer *writer, uint32_t table) {
    return table >= WEIGHTS_RATES_FIRST ? REDIS_ROW_FP32 : writer->row_type;
}

static size_t chunk_text_bytes(const struct writer *writer, const struct chunk_bucket *buckets,
                               size_t bucket_count) {
    size_t bytes = 4096 + (bucket_count + 1) * (REDIS_LAYOUT_KEY_MAX + 32);
    for (size_t r = bucket_count ? buckets[0].first : 0;
         bucket_count && r < buckets[bucket_count - 1].last; r++)
        bytes += REDIS_LAYOUT_FIELD_MAX +
                 redis_row_bytes(type_of(writer, writer->rows[r].table), writer->rows[r].dimension);
    return bytes;
}

// A row's field and value. Floats are sent from where they are; other types are made here.
static void add_row(struct writer *writer, const struct writer_row *row) {
    unsigned char field[REDIS_LAYOUT_FIELD_MAX];
    add_copy(writer, field, redis_layout_field(field, row->table, row->id, writer->bucket_bits));
    if (!row->values)
        return;
    enum redis_row_type type = type_of(writer, row->table);
    size_t bytes = redis_row_bytes(type, row->dimension);
    if (type == REDIS_ROW_FP32) {
        redis_command_add(&writer->command, row->values, bytes);
        return;
    }
    unsigned char *at = writer->text.data + writer->text.length;
    redis_row_write(type, row->values, row->dimension, at);
    writer->text.length += bytes;
    redis_command_add(&writer->command, at, bytes);
}

static void build_chunk(struct writer *writer, const struct group *group, const char *new_text,
                        uint32_t number, const struct chunk_bucket *buckets, size_t bucket_count,
                        const char *mode) {
    struct redis_command *command = &writer->command;
    char key[REDIS_LAYOUT_KEY_MAX];
    redis_command_reset(command);
    redis_command_add_text(command, "EVALSHA");
    redis_command_add_text(command, redis_script_sha(writer->redis, REDIS_SCRIPT_APPLY));
    add_number(writer, bucket_count + 1);
    add_copy(writer, key, redis_layout_state_key(key, writer->name, number));
    for (size_t i = 0; i < bucket_count; i++)
        add_copy(writer, key,
                 redis_layout_bucket_key(key, writer->name, number, buckets[i].bucket));
    redis_command_add_text(command, group->text);
    redis_command_add_text(command, new_text);
    add_copy(writer, &group->version, sizeof group->version);
    for (size_t i = 0; i < bucket_count; i++) {
        size_t rows = buckets[i].last - buckets[i].first;
        redis_command_add_text(command, mode);
        add_number(writer, mode[0] == 'D' ? rows : rows * 2);
        for (size_t r = buckets[i].first; r < buckets[i].last; r++)
            add_row(writer, &writer->rows[r]);
    }
}

// Sends one chunk unless Redis has it; with no buckets it only moves the group's state to `done`.
static enum status send_chunk(struct writer *writer, uint32_t number,
                              const struct chunk_bucket *buckets, size_t bucket_count,
                              const char *mode, int64_t done_offset, struct error *err) {
    struct group *group = &writer->groups[number];
    if (!group->active)
        return STATUS_OK;
    if (done_offset < 0 && group->met++ < group->chunks)
        return STATUS_OK;
    struct group next = *group;
    char new_text[GROUP_TEXT_MAX];
    if (done_offset >= 0) {
        next.done = true;
        next.offset = done_offset;
    } else {
        next.chunks = group->met;
    }
    group_print(&next, new_text);
    size_t bytes = chunk_text_bytes(writer, buckets, bucket_count);
    buffer_reset(&writer->text);
    // Reserved at once: arguments point into the text, so it must not move.
    if (!buffer_reserve(&writer->text, bytes))
        return error_no_memory(err, bytes, "a chunk of rows");
    build_chunk(writer, group, new_text, number, buckets, bucket_count, mode);
    enum status status = redis_send(writer->redis, &writer->command, err);
    if (status != STATUS_OK)
        return status;
    memcpy(next.text, new_text, sizeof next.text);
    *group = next;
    return STATUS_OK;
}

// Sends the sorted rows as chunks of whole buckets of one group; each bucket number in [from, to)
// gets its turn when `every` is set (an empty one is replaced by nothing), else only those with
// rows.
static enum status send_rows(struct writer *writer, size_t count, const char *mode, bool every,
                             uint32_t from, uint32_t to, struct error *err) {
    struct chunk_bucket buckets[CHUNK_BUCKETS];
    size_t filled = 0, at = 0, rows = 0;
    uint32_t number = 0;
    enum status status = STATUS_OK;
    uint32_t bucket = from;
    while (status == STATUS_OK && (every ? bucket < to : at < count)) {
        if (!every)
            bucket = writer->rows[at].bucket;
        uint32_t group = redis_layout_group(bucket, writer->bucket_bits);
        size_t last = at;
        while (last < count && writer->rows[last].bucket == bucket && last - at < CHUNK_ROWS)
            last++;
        if (filled > 0 &&
            (group != number || filled == CHUNK_BUCKETS || rows + (last - at) > CHUNK_ROWS)) {
            status = send_chunk(writer, number, buckets, filled, mode, -1, err);
            filled = rows = 0;
        }
        number = group;
        buckets[filled++] = (struct chunk_bucket){bucket, at, last};
        rows += last - at;
        at = last;
        // A bucket too large for one chunk is replaced by the first and added to by the next.
        bool more = at < count && writer->rows[at].bucket == bucket;
        if (more && status == STATUS_OK) {
            status = send_chunk(writer, number, buckets, filled, mode, -1, err);
            filled = rows = 0;
            while (status == STATUS_OK && at < count && writer->rows[at].bucket == bucket) {
                last = at;
                while (last < count && writer->rows[last].bucket == bucket &&
                       last - at < CHUNK_ROWS)
                    last++;
                struct chunk_bucket rest = {bucket, at, last};
                status = send_chunk(writer, number, &rest, 1, mode[0] == 'R' ? "S" : mode, -1, err);
                at = last;
            }
        }
        bucket++;
    }
    if (status == STATUS_OK && filled > 0)
        status = send_chunk(writer, number, buckets, filled, mode, -1, err);
    return status;
}

// How a row waits in a buffer, its values behind.
struct kept_row {
    uint32_t table, dimension;
    uint64_t id;
};

static enum status keep(struct buffer *kept, const struct weights *rows, struct error *err) {
    size_t bytes = (size_t)rows->dimension * sizeof(float);
    for (uint32_t i = 0; i < rows->count; i++) {
        struct kept_row head = {rows->table, rows->dimension, 0};
        memcpy(&head.id, rows->ids + (size_t)i * sizeof head.id, sizeof head.id);
        buffer_append(kept, &head, sizeof head);
        buffer_append(kept, rows->values + i * bytes, bytes);
    }
    return kept->failed ? error_no_memory(err, kept->length, "rows to publish") : STATUS_OK;
}

// The rows that were kept, in writer->rows, sorted by bucket.
static enum status sort_kept(struct writer *writer, const struct buffer *kept, size_t *ret_count,
                             struct error *err) {
    size_t count = 0;
    for (size_t at = 0; at < kept->length; count++) {
        struct kept_row head;
        if (count == writer->rows_room) {
            enum status status = rows_room(writer, count * 2 + 1024, err);
            if (status != STATUS_OK)
                return status;
        }
        memcpy(&head, kept->data + at, sizeof head);
        at += sizeof head;
        writer->rows[count] =
            (struct writer_row){.bucket = redis_layout_bucket(head.id, writer->bucket_bits),
                                .place = (uint32_t)count,
                                .table = head.table,
                                .dimension = head.dimension,
                                .id = head.id,
                                .values = kept->data + at};
        at += (size_t)head.dimension * sizeof(float);
    }
    if (count > 0)
        qsort(writer->rows, count, sizeof *writer->rows, compare_rows);
    *ret_count = count;
    return STATUS_OK;
}

enum status writer_flush(struct writer *writer, struct error *err) {
    size_t count = 0;
    enum status status = sort_kept(writer, &writer->pending, &count, err);
    if (status == STATUS_OK)
        status = send_rows(writer, count, "S", false, 0, 0, err);
    buffer_reset(&writer->pending);
    writer->pending_rows = 0;
    return status;
}

enum status writer_rows(struct writer *writer, const struct weights *rows, struct error *err) {
    if (rows->whole)
        return keep(&writer->whole, rows, err);
    enum status status = keep(&writer->pending, rows, err);
    writer->pending_rows += rows->count;
    return status == STATUS_OK && writer->pending.length >= PENDING_BYTES
               ? writer_flush(writer, err)
               : status;
}

enum status writer_tombstones(struct writer *writer, const struct weights *tombstones,
                              struct error *err) {
    enum status status = writer_flush(writer, err);
    if (status == STATUS_OK)
        status = rows_room(writer, tombstones->count, err);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < tombstones->count; i++) {
        uint64_t id;
        memcpy(&id, tombstones->ids + (size_t)i * sizeof id, sizeof id);
        writer->rows[i] =
            (struct writer_row){.bucket = redis_layout_bucket(id, writer->bucket_bits),
                                .place = i,
                                .table = tombstones->table,
                                .id = id};
    }
    if (tombstones->count > 0)
        qsort(writer->rows, tombstones->count, sizeof *writer->rows, compare_rows);
    return send_rows(writer, tombstones->count, "D", false, 0, 0, err);
}

static void note_fullest(struct writer *writer, size_t count) {
    for (size_t first = 0, i = 0; i < count; i++) {
        if (writer->rows[i].bucket != writer->rows[first].bucket)
            first = i;
        if (i - first + 1 > writer->fullest)
            writer->fullest = i - first + 1;
    }
}

enum status writer_slice(struct writer *writer, const struct weights *slice, struct error *err) {
    if (slice->slice_bits > writer->bucket_bits)
        return error_set(err, STATUS_INVALID,
                         "could not publish a slice of %u bits into buckets of %u: set "
                         "publisher.bucket_bits at least to trainer.slice_bits",
                         slice->slice_bits, writer->bucket_bits);
    size_t count = 0;
    unsigned shift = writer->bucket_bits - slice->slice_bits;
    enum status status = writer_flush(writer, err);
    if (status == STATUS_OK)
        status = sort_kept(writer, &writer->whole, &count, err);
    if (status != STATUS_OK)
        return status;
    note_fullest(writer, count);
    status = send_rows(writer, count, "R", true, slice->slice << shift, (slice->slice + 1) << shift,
                       err);
    buffer_reset(&writer->whole);
    return status;
}

enum status writer_commit(struct writer *writer, int64_t next_offset, struct error *err) {
    enum status status = writer_flush(writer, err);
    for (uint32_t g = 0; status == STATUS_OK && g < GROUPS; g++)
        status = send_chunk(writer, g, NULL, 0, "S", next_offset, err);
    return status;
}
