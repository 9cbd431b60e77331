// The runner's own part of a checkpoint: positions, running maxima, sequences, the last tick, and
// the identity under which the newest steps were folded.
#include "stage/machine.h"

#include "base/wire.h"

#include <string.h>

#define STATE_VERSION 1
#define SECTION "runner"

static void slot_reset(struct slot *slot) {
    slot->identity = 0;
    slot->next_offset = 0;
    slot->order_ms = INT64_MIN;
    slot->next_sequence = -1;
    slot->silent = false;
    slot->ended = false;
    slot->records = 0;
    slot->ends = 0;
    slot->counted = 0;
    slot->last = (struct journal_range){0};
    slot->queued_ms = INT64_MIN;
    slot->verified = false;
}

void state_reset(struct runner *runner) {
    for (size_t i = 0; i < runner->setup.input_count; i++)
        slot_reset(&runner->slots[i]);
    outputs_reset(&runner->outputs);
    runner->tick_ms = STAGE_TIME_NONE;
    runner->finished = false;
}

enum status state_identity(struct runner *runner, uint64_t config_hash, const char *build,
                           struct error *err) {
    char *copy = memory_copy_string(build);
    if (!copy)
        return error_no_memory(err, strlen(build), "the build's name");
    memory_free(runner->recorded_build);
    runner->recorded_build = copy;
    runner->recorded_config = config_hash;
    return STATUS_OK;
}

static void slot_put(const struct slot *slot, const struct stage_input *input,
                     struct buffer *into) {
    wire_put_string(into, input->topic);
    wire_put_long(into, input->partition);
    wire_put_fixed64(into, slot->identity);
    wire_put_long(into, slot->next_offset);
    wire_put_long(into, slot->order_ms);
    wire_put_long(into, slot->next_sequence);
    buffer_append_byte(into, slot->silent);
    buffer_append_byte(into, slot->ended);
    wire_put_long(into, (int64_t)slot->records);
    wire_put_long(into, (int64_t)slot->ends);
    wire_put_long(into, slot->last.first);
    wire_put_long(into, slot->last.last);
    wire_put_long(into, (int64_t)slot->last.count);
    wire_put_fixed64(into, slot->last.checksum);
}

enum status state_save(struct runner *runner, struct checkpoint_writer *writer, struct error *err) {
    struct buffer into;
    buffer_init(&into);
    wire_put_long(&into, STATE_VERSION);
    wire_put_string(&into, runner->setup.task);
    wire_put_fixed64(&into, runner->setup.config_hash);
    wire_put_string(&into, runner->setup.build);
    wire_put_long(&into, runner->tick_ms);
    buffer_append_byte(&into, runner->finished);
    wire_put_long(&into, (int64_t)runner->setup.input_count);
    for (size_t i = 0; i < runner->setup.input_count; i++)
        slot_put(&runner->slots[i], &runner->setup.inputs[i], &into);
    wire_put_long(&into, (int64_t)runner->outputs.count);
    for (size_t i = 0; i < runner->outputs.count; i++) {
        const struct stage_output *topic = &runner->outputs.topics[i];
        wire_put_string(&into, topic->topic);
        wire_put_long(&into, topic->partition_first);
        wire_put_long(&into, topic->partition_count);
        for (int32_t p = 0; p < topic->partition_count; p++)
            wire_put_long(&into, runner->outputs.sequences[i][p]);
    }
    struct sink sink;
    enum status status = into.failed ? error_no_memory(err, into.length, "a checkpoint")
                                     : checkpoint_section(writer, SECTION, &sink, err);
    if (status == STATUS_OK)
        status = sink_put(&sink, into.data, into.length, err);
    buffer_deinit(&into);
    return status;
}

static bool text_equals(struct wire *in, const char *text) {
    size_t length = 0;
    const unsigned char *bytes = wire_get_bytes(in, &length);
    return bytes && length == strlen(text) && memcmp(bytes, text, length) == 0;
}

static enum status differs(const struct runner *runner, const char *what, size_t index,
                           const char *name, int32_t partition, struct error *err) {
    return error_set(err, STATUS_CHANGED,
                     "could not continue task `%s`: %s %zu of the configuration, topic `%s` "
                     "partition %d, is not the one in the checkpoint: start again with the inputs "
                     "and outputs as they were, or with an empty directory under another task name",
                     runner->setup.task, what, index, name, (int)partition);
}

// `adopted`: of whatever topic.
static enum status slot_get(struct runner *runner, size_t index, bool adopted, struct wire *in,
                            struct error *err) {
    const struct stage_input *input = &runner->setup.inputs[index];
    struct slot *slot = &runner->slots[index];
    bool same = text_equals(in, input->topic);
    if (wire_get_int(in) != input->partition)
        same = false;
    if (!in->bad && !same && !adopted)
        return differs(runner, "input", index, input->topic, input->partition, err);
    slot->identity = wire_get_fixed64(in);
    slot->next_offset = wire_get_long(in);
    slot->order_ms = wire_get_long(in);
    slot->queued_ms = slot->order_ms;
    slot->next_sequence = wire_get_long(in);
    slot->silent = wire_get_bool(in);
    slot->ended = wire_get_bool(in);
    slot->records = (uint64_t)wire_get_long(in);
    slot->ends = (uint64_t)wire_get_long(in);
    slot->counted = slot->records;
    slot->last.slot = (uint32_t)index;
    slot->last.first = wire_get_long(in);
    slot->last.last = wire_get_long(in);
    slot->last.count = (uint64_t)wire_get_long(in);
    slot->last.checksum = wire_get_fixed64(in);
    return STATUS_OK;
}

static enum status output_get(struct runner *runner, size_t index, struct wire *in,
                              struct error *err) {
    const struct stage_output *topic = &runner->outputs.topics[index];
    bool same = text_equals(in, topic->topic);
    if (wire_get_int(in) != topic->partition_first)
        same = false;
    if (wire_get_int(in) != topic->partition_count)
        same = false;
    if (!in->bad && !same)
        return differs(runner, "output", index, topic->topic, topic->partition_first, err);
    for (int32_t p = 0; p < topic->partition_count; p++)
        runner->outputs.sequences[index][p] = wire_get_long(in);
    return STATUS_OK;
}

static enum status identity_get(struct runner *runner, struct wire *in, struct error *err) {
    uint64_t config_hash = wire_get_fixed64(in);
    size_t length = 0;
    const unsigned char *bytes = wire_get_bytes(in, &length);
    const char *build =
        arena_copy_string(&runner->scratch, bytes ? (const char *)bytes : "", bytes ? length : 0);
    if (!build)
        return error_no_memory(err, length, "the build's name");
    return state_identity(runner, config_hash, build, err);
}

static enum status outputs_get(struct runner *runner, struct wire *in, struct error *err) {
    enum status status = STATUS_OK;
    if (wire_get_long(in) != (int64_t)runner->outputs.count)
        status = error_set(err, STATUS_CHANGED,
                           "could not continue task `%s`: the checkpoint has another number of "
                           "outputs than the %zu of the configuration",
                           runner->setup.task, runner->outputs.count);
    for (size_t i = 0; status == STATUS_OK && i < runner->outputs.count; i++)
        status = output_get(runner, i, in, err);
    if (status == STATUS_OK && (in->bad || in->at != in->end))
        status =
            error_set(err, STATUS_CORRUPT, "the checkpoint's section `%s` is malformed", SECTION);
    return status;
}

static enum status slots_get(struct runner *runner, bool adopted, struct wire *in,
                             struct error *err) {
    enum status status = STATUS_OK;
    if (wire_get_long(in) != (int64_t)runner->setup.input_count)
        status = error_set(err, STATUS_CHANGED,
                           "could not continue task `%s`: the checkpoint has another number of "
                           "inputs than the %zu of the configuration",
                           runner->setup.task, runner->setup.input_count);
    for (size_t i = 0; status == STATUS_OK && i < runner->setup.input_count; i++)
        status = slot_get(runner, i, adopted, in, err);
    return status;
}

static enum status state_decode(struct runner *runner, struct wire *in, struct error *err) {
    if (wire_get_long(in) != STATE_VERSION)
        return error_set(err, STATUS_UNSUPPORTED, "the checkpoint is of another format version");
    if (!text_equals(in, runner->setup.task))
        return error_set(err, STATUS_CHANGED, "the checkpoint is of another task than `%s`",
                         runner->setup.task);
    enum status status = identity_get(runner, in, err);
    runner->tick_ms = wire_get_long(in);
    runner->finished = wire_get_bool(in);
    if (status == STATUS_OK)
        status = slots_get(runner, false, in, err);
    return status == STATUS_OK ? outputs_get(runner, in, err) : status;
}

// The version, whose task it is (skipped), identity, tick and end (left), then the slots.
static enum status adopted_decode(struct runner *runner, struct wire *in, struct error *err) {
    size_t length;
    if (wire_get_long(in) != STATE_VERSION)
        return error_set(err, STATUS_UNSUPPORTED, "the checkpoint is of another format version");
    (void)wire_get_bytes(in, &length);
    (void)wire_get_fixed64(in);
    (void)wire_get_bytes(in, &length);
    (void)wire_get_long(in);
    (void)wire_get_bool(in);
    enum status status = slots_get(runner, true, in, err);
    if (status == STATUS_OK && in->bad)
        status =
            error_set(err, STATUS_CORRUPT, "the checkpoint's section `%s` is malformed", SECTION);
    runner->finished = false;
    return status;
}

// *ret_in stands over bytes of the scratch.
static enum status section_read(struct runner *runner, struct checkpoint_reader *reader,
                                struct wire *ret_in, struct error *err) {
    struct source source;
    uint64_t length = 0;
    enum status status = checkpoint_open_section(reader, SECTION, &source, &length, err);
    if (status != STATUS_OK)
        return status;
    arena_reset(&runner->scratch);
    void *bytes = arena_get(&runner->scratch, (size_t)length + 1, 1);
    if (!bytes)
        return error_no_memory(err, (size_t)length, "a checkpoint");
    status = source_get(&source, bytes, (size_t)length, err);
    *ret_in = wire_over(bytes, (size_t)length);
    return status;
}

enum status state_load(struct runner *runner, struct checkpoint_reader *reader, struct error *err) {
    struct wire in;
    enum status status = section_read(runner, reader, &in, err);
    state_reset(runner);
    return status == STATUS_OK ? state_decode(runner, &in, err) : status;
}

enum status state_adopt(struct runner *runner, struct checkpoint_reader *reader,
                        struct error *err) {
    struct wire in;
    enum status status = section_read(runner, reader, &in, err);
    return status == STATUS_OK ? adopted_decode(runner, &in, err) : status;
}
