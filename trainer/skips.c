// Stretches that are left out; see skips.h.
#include "trainer/skips.h"

#include "base/wire.h"

#define SECTION "skips"
enum { BYTES_MAX = 10 * (2 + 2 * SKIPS_MAX) };

enum status skips_add(struct skips *skips, int64_t from_ms, int64_t to_ms, struct error *err) {
    if (skips->count == SKIPS_MAX)
        return error_set(err, STATUS_EXHAUSTED, "%d stretches are skipped already", SKIPS_MAX);
    skips->ranges[skips->count++] = (struct skip){from_ms, to_ms};
    return STATUS_OK;
}

bool skips_take(struct skips *skips, int64_t time_ms) {
    for (size_t i = 0; i < skips->count; i++) {
        if (time_ms >= skips->ranges[i].from_ms && time_ms < skips->ranges[i].to_ms) {
            skips->records++;
            return true;
        }
    }
    return false;
}

enum status skips_save(const struct skips *skips, struct checkpoint_writer *writer,
                       struct error *err) {
    struct sink sink;
    struct buffer into;
    if (skips->count == 0)
        return STATUS_OK;
    buffer_init(&into);
    wire_put_long(&into, (int64_t)skips->records);
    wire_put_long(&into, (int64_t)skips->count);
    for (size_t i = 0; i < skips->count; i++) {
        wire_put_long(&into, skips->ranges[i].from_ms);
        wire_put_long(&into, skips->ranges[i].to_ms);
    }
    enum status status = into.failed ? error_no_memory(err, into.length, "skipped stretches")
                                     : checkpoint_section(writer, SECTION, &sink, err);
    if (status == STATUS_OK)
        status = sink_put(&sink, into.data, into.length, err);
    buffer_deinit(&into);
    return status;
}

enum status skips_load(struct skips *skips, struct checkpoint_reader *reader, struct error *err) {
    struct source source;
    unsigned char bytes[BYTES_MAX];
    uint64_t length;
    *skips = (struct skips){0};
    enum status status = checkpoint_open_section(reader, SECTION, &source, &length, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status == STATUS_OK && length <= sizeof bytes)
        status = source_get(&source, bytes, (size_t)length, err);
    if (status != STATUS_OK)
        return status;
    struct wire in = wire_over(bytes, length <= sizeof bytes ? (size_t)length : 0);
    skips->records = (uint64_t)wire_get_long(&in);
    int64_t count = wire_get_long(&in);
    in.bad |= count < 0 || count > SKIPS_MAX;
    for (; !in.bad && (int64_t)skips->count < count; skips->count++) {
        skips->ranges[skips->count].from_ms = wire_get_long(&in);
        skips->ranges[skips->count].to_ms = wire_get_long(&in);
    }
    return in.bad || in.at != in.end
               ? error_set(err, STATUS_CORRUPT, "could not read the skipped stretches: malformed")
               : STATUS_OK;
}
