// Reads heads and ends of versions; see catalogue.h.
#include "publisher/catalogue.h"

#include <inttypes.h>
#include <string.h>

#include "log/sweep.h"

void catalogue_deinit(struct catalogue *catalogue) {
    for (size_t i = 0; i < catalogue->count; i++)
        memory_free(catalogue->versions[i].measures);
    memory_free(catalogue->versions);
    *catalogue = (struct catalogue){0};
}

static enum status opened(struct catalogue *catalogue, const struct weights *open,
                          const struct log_record *record, bool with_measures, struct error *err) {
    if (catalogue->count == catalogue->capacity) {
        size_t room = catalogue->capacity ? catalogue->capacity * 2 : 64;
        struct catalogue_version *versions =
            memory_resize(catalogue->versions, catalogue->capacity, room, sizeof *versions);
        if (!versions)
            return error_no_memory(err, room * sizeof *versions, "a list of versions");
        catalogue->versions = versions;
        catalogue->capacity = room;
    }
    struct catalogue_version *version = &catalogue->versions[catalogue->count++];
    *version = (struct catalogue_version){.lineage = open->lineage,
                                          .version = open->version,
                                          .open = record->offset,
                                          .end = -1,
                                          .watermark_ms = open->watermark_ms,
                                          .written_ms = record->timestamp_ms};
    version->passed = steer_passed(open->measures, open->measures_length, version->reason);
    if (!with_measures)
        return STATUS_OK;
    version->measures = memory_new(open->measures_length + 1, 1);
    if (!version->measures)
        return error_no_memory(err, open->measures_length, "a version's measures");
    memcpy(version->measures, open->measures, open->measures_length);
    return STATUS_OK;
}

struct reading {
    struct catalogue catalogue;
    const char *topic;
    bool with_measures;
};

static enum status take(void *self, const struct log_record *record, struct error *err) {
    struct reading *reading = self;
    struct catalogue *catalogue = &reading->catalogue;
    struct weights weights;
    if (record->end_of_stream)
        return STATUS_OK;
    if (weights_decode(record->value, record->value_length, &weights, err) != STATUS_OK)
        return error_prefix(err, "%s/0 offset %" PRId64, reading->topic, record->offset);
    struct catalogue_version *last =
        catalogue->count > 0 ? &catalogue->versions[catalogue->count - 1] : NULL;
    if (weights.kind == WEIGHTS_OPEN)
        return opened(catalogue, &weights, record, reading->with_measures, err);
    if (last && weights.kind == WEIGHTS_SLICE)
        last->slice_bits = weights.slice_bits;
    if (last && weights.kind == WEIGHTS_COMMIT)
        last->end = record->offset + 1;
    return STATUS_OK;
}

enum status catalogue_read(struct log *log, const char *topic, bool with_measures,
                           struct catalogue *ret_catalogue, struct error *err) {
    struct reading reading = {.topic = topic, .with_measures = with_measures};
    int64_t end;
    enum status status = log_sweep(log, topic, 0, take, &reading, &end, err);
    if (status == STATUS_OK)
        *ret_catalogue = reading.catalogue;
    else
        catalogue_deinit(&reading.catalogue);
    return status;
}

const struct catalogue_version *catalogue_find(const struct catalogue *catalogue, uint64_t lineage,
                                               uint64_t version) {
    for (size_t i = catalogue->count; i-- > 0;) {
        const struct catalogue_version *at = &catalogue->versions[i];
        if (at->lineage == lineage && at->version == version && at->end >= 0)
            return at;
    }
    return NULL;
}

const struct catalogue_version *catalogue_begin(const struct catalogue *catalogue,
                                                const struct catalogue_version *goal,
                                                bool *ret_clean) {
    uint64_t slices = UINT64_C(1) << goal->slice_bits;
    uint64_t first = goal->version >= slices ? goal->version - slices + 1 : 1;
    const struct catalogue_version *at = goal;
    while (at->version > first && at > catalogue->versions && at[-1].lineage == goal->lineage &&
           at[-1].version + 1 == at->version && at[-1].end >= 0)
        at--;
    *ret_clean = goal->version < slices;
    return at->version == first ? at : NULL;
}
