// Numbers, checksums and appends what a fold emits.
//
// Every output partition has a dense sequence of its own, kept in the checkpoint, so that a reader
// can tell a lost or repeated record. While a journal is folded again nothing is appended: the
// records are in the log already, and only their checksum is compared.
#include "stage/machine.h"

#include "base/hash.h"

#include <string.h>

enum status outputs_init(struct stage_outputs *outputs, const struct runner_setup *setup,
                         struct error *err) {
    outputs->topics = setup->outputs;
    outputs->count = setup->output_count;
    outputs->sequences = memory_new(setup->output_count + 1, sizeof(*outputs->sequences));
    outputs->emitted = memory_new(setup->output_count + 1, sizeof(struct metric *));
    if (!outputs->sequences || !outputs->emitted)
        return error_no_memory(err, setup->output_count * sizeof(*outputs->sequences), "outputs");
    for (size_t i = 0; i < setup->output_count; i++) {
        REQUIRE(setup->outputs[i].partition_first >= 0 && setup->outputs[i].partition_count > 0);
        size_t partitions = (size_t)setup->outputs[i].partition_count;
        outputs->sequences[i] = memory_new(partitions, sizeof(**outputs->sequences));
        if (!outputs->sequences[i])
            return error_no_memory(err, partitions * sizeof(**outputs->sequences), "outputs");
    }
    return STATUS_OK;
}

void outputs_deinit(struct stage_outputs *outputs) {
    for (size_t i = 0; outputs->sequences && i < outputs->count; i++)
        memory_free(outputs->sequences[i]);
    memory_free(outputs->sequences);
    memory_free(outputs->emitted);
    outputs->sequences = NULL;
    outputs->emitted = NULL;
}

void outputs_reset(struct stage_outputs *outputs) {
    for (size_t i = 0; i < outputs->count; i++)
        memset(outputs->sequences[i], 0,
               (size_t)outputs->topics[i].partition_count * sizeof(**outputs->sequences));
    outputs->pending_bytes = 0;
    outputs_begin(outputs);
}

void outputs_begin(struct stage_outputs *outputs) {
    outputs->step_records = 0;
    outputs->step_checksum = 0;
}

enum status stage_emit(struct stage_outputs *outputs, size_t output, int32_t partition,
                       const struct log_record *record, struct error *err) {
    REQUIRE(output < outputs->count);
    const struct stage_output *topic = &outputs->topics[output];
    int64_t index = (int64_t)partition - topic->partition_first;
    REQUIRE(index >= 0 && index < topic->partition_count);
    struct log_record numbered = *record;
    numbered.slot = 0;
    numbered.offset = 0;
    numbered.sequence = outputs->sequences[output][index]++;
    if (!numbered.key)
        numbered.key_length = 0;
    if (!numbered.value)
        numbered.value_length = 0;
    uint64_t place[2] = {output, (uint64_t)partition};
    outputs->step_checksum = hash_chain(outputs->step_checksum, place, sizeof(place));
    outputs->step_checksum = record_checksum(outputs->step_checksum, &numbered);
    outputs->step_records++;
    if (!outputs->writer)
        return STATUS_OK;
    metric_count(outputs->emitted[output], 1);
    outputs->pending_bytes += numbered.key_length + numbered.value_length + sizeof(numbered);
    return log_writer_append(outputs->writer, output, partition, &numbered, err);
}

enum status outputs_end_of_stream(struct stage_outputs *outputs, int64_t timestamp_ms,
                                  struct error *err) {
    const struct log_record end = {.timestamp_ms = timestamp_ms, .end_of_stream = true};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < outputs->count; i++) {
        const struct stage_output *topic = &outputs->topics[i];
        for (int32_t p = 0; status == STATUS_OK && p < topic->partition_count; p++)
            status = stage_emit(outputs, i, topic->partition_first + p, &end, err);
    }
    return status;
}
