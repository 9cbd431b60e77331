// Gives one journalled input to the stage: records, a tick, a decision on a silent input, the end.
//
// What the records themselves imply needs no journal: an end_of_stream record makes its slot silent
// to the stage, and a record of a silent slot wakes it before it is folded. Live steps and refolded
// ones come through here alike.
#include "stage/machine.h"

static enum status silence_tell(struct runner *runner, uint32_t index, bool idle,
                                struct error *err) {
    const struct stage_operations *operations = runner->setup.operations;
    struct slot *slot = &runner->slots[index];
    if (slot->silent == idle)
        return STATUS_OK;
    slot->silent = idle;
    if (!operations->idle)
        return STATUS_OK;
    return operations->idle(runner->setup.state, index, idle, &runner->outputs, err);
}

static enum status records_give(struct runner *runner, size_t from, size_t to, struct error *err) {
    if (from == to)
        return STATUS_OK;
    return runner->setup.operations->fold(runner->setup.state, runner->set.records + from,
                                          to - from, &runner->outputs, err);
}

// Does this record need something said to the stage before or instead of it?
static bool record_is_plain(const struct runner *runner, const struct log_record *record) {
    return !record->end_of_stream && !runner->slots[record->slot].silent;
}

static enum status record_special(struct runner *runner, const struct log_record *record,
                                  struct error *err) {
    struct slot *slot = &runner->slots[record->slot];
    slot->ended = record->end_of_stream;
    if (record->end_of_stream) {
        slot->ends++;
        return silence_tell(runner, record->slot, true, err);
    }
    return silence_tell(runner, record->slot, false, err);
}

static void record_count(struct runner *runner, const struct log_record *record) {
    runner->slots[record->slot].records++;
    runner->status.records++;

    runner->finished = false;
}

static void records_report(struct runner *runner) {
    for (size_t i = 0; i < runner->set.range_count; i++) {
        uint32_t index = runner->set.ranges[i].slot;
        struct slot *slot = &runner->slots[index];
        metric_count(runner->report.records[index], (double)(slot->records - slot->counted));
        slot->counted = slot->records;
    }
}

enum status fold_set(struct runner *runner, struct error *err) {
    const struct step_set *set = &runner->set;
    enum status status = STATUS_OK;
    outputs_begin(&runner->outputs);
    size_t from = 0;
    for (size_t i = 0; status == STATUS_OK && i < set->count; i++) {
        const struct log_record *record = &set->records[i];
        if (!record_is_plain(runner, record)) {
            status = records_give(runner, from, i, err);
            if (status == STATUS_OK)
                status = record_special(runner, record, err);
            from = record->end_of_stream ? i + 1 : i;
        }
        if (!record->end_of_stream)
            record_count(runner, record);
    }
    if (status == STATUS_OK)
        status = records_give(runner, from, set->count, err);
    records_report(runner);
    return status;
}

enum status fold_tick(struct runner *runner, int64_t now_ms, struct error *err) {
    outputs_begin(&runner->outputs);
    runner->tick_ms = now_ms;
    if (!runner->setup.operations->tick)
        return STATUS_OK;
    return runner->setup.operations->tick(runner->setup.state, now_ms, &runner->outputs, err);
}

enum status fold_idle(struct runner *runner, uint32_t slot, bool idle, struct error *err) {
    outputs_begin(&runner->outputs);
    return silence_tell(runner, slot, idle, err);
}

enum status fold_finish(struct runner *runner, struct error *err) {
    outputs_begin(&runner->outputs);
    runner->finished = true;
    enum status status = STATUS_OK;
    if (runner->setup.operations->finish)
        status = runner->setup.operations->finish(runner->setup.state, &runner->outputs, err);
    int64_t latest_ms = 0;
    for (size_t i = 0; i < runner->setup.input_count; i++)
        if (runner->slots[i].order_ms > latest_ms)
            latest_ms = runner->slots[i].order_ms;
    if (status == STATUS_OK)
        status = outputs_end_of_stream(&runner->outputs, latest_ms, err);
    return status;
}
