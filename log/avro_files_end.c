// The committed end of a partition: a file of two slots, written in turn.
//
// A slot is version, next offset, segment, bytes, owner, checksum, each 8 bytes little-endian. The
// valid slot with the higher version counts, so a torn write of one leaves the other. It is not
// synced at a commit: the journal's frame names the same end and a writer that opens publishes it
// again.
#include "log/avro_files.h"

#include <string.h>

#include "base/hash.h"

#define SLOT_FIELDS 6
#define SLOT_BYTES ((size_t)SLOT_FIELDS * 8)
#define SLOT_SPACING ((uint64_t)64)

static void fields_put(unsigned char *bytes, const uint64_t fields[SLOT_FIELDS]) {
    for (size_t i = 0; i < SLOT_BYTES; i++)
        bytes[i] = (unsigned char)(fields[i / 8] >> (8 * (i % 8)));
}

static void fields_get(const unsigned char *bytes, uint64_t fields[SLOT_FIELDS]) {
    memset(fields, 0, SLOT_BYTES);
    for (size_t i = 0; i < SLOT_BYTES; i++)
        fields[i / 8] |= (uint64_t)bytes[i] << (8 * (i % 8));
}

// False when the slot was never written or is torn.
static bool slot_get(const unsigned char *bytes, struct files_end *ret_end) {
    uint64_t fields[SLOT_FIELDS];
    fields_get(bytes, fields);
    if (fields[0] == 0 || fields[5] != hash_bytes(bytes, SLOT_BYTES - 8, 0))
        return false;
    *ret_end = (struct files_end){.version = fields[0],
                                  .next_offset = (int64_t)fields[1],
                                  .segment = (int64_t)fields[2],
                                  .bytes = (int64_t)fields[3],
                                  .owner = fields[4]};
    return true;
}

enum status files_end_read(struct disk_file *file, const char *path, struct files_end *ret_end,
                           struct error *err) {
    unsigned char bytes[SLOT_SPACING + SLOT_BYTES] = {0};
    struct files_end slots[2] = {{0}, {0}};
    // A reader may meet the moment of a write; the writer is done long before the last attempt.
    for (int attempt = 0; attempt < 100; attempt++) {
        size_t length = 0;
        enum status status = disk_read_at(file, 0, bytes, sizeof(bytes), &length, err);
        if (status != STATUS_OK)
            return status;
        bool first = length >= SLOT_BYTES && slot_get(bytes, &slots[0]);
        bool second = length >= sizeof(bytes) && slot_get(bytes + SLOT_SPACING, &slots[1]);
        if (!first && !second)
            continue;
        *ret_end = !second || (first && slots[0].version > slots[1].version) ? slots[0] : slots[1];
        return STATUS_OK;
    }
    return error_set(err, STATUS_CORRUPT, "could not read %s: no slot has a good checksum", path);
}

enum status files_end_publish(struct disk_file *file, struct files_end *end, struct error *err) {
    end->version++;
    uint64_t fields[SLOT_FIELDS] = {end->version,
                                    (uint64_t)end->next_offset,
                                    (uint64_t)end->segment,
                                    (uint64_t)end->bytes,
                                    end->owner,
                                    0};
    unsigned char bytes[SLOT_BYTES];
    fields_put(bytes, fields);
    fields[5] = hash_bytes(bytes, SLOT_BYTES - 8, 0);
    fields_put(bytes, fields);
    return disk_write_at(file, (end->version % 2) * SLOT_SPACING, bytes, sizeof(bytes), err);
}
