// Is the log still the one that was folded? Asked when a task is taken up again.
//
// The tail of the journal proves itself as it is folded again. Where there is none, the newest
// journalled range of each input is read once more, as long as retention has kept it.
#include "stage/machine.h"

enum status verify_identities(struct runner *runner, struct error *err) {
    for (size_t i = 0; i < runner->setup.input_count; i++) {
        const struct stage_input *input = &runner->setup.inputs[i];
        uint64_t identity = 0;
        enum status status = log_topic_identity(runner->setup.log, input->topic, &identity, err);
        if (status != STATUS_OK)
            return status;
        if (identity != 0 && runner->slots[i].identity != 0 &&
            identity != runner->slots[i].identity)
            return error_set(err, STATUS_CHANGED,
                             "could not continue: topic `%s` was deleted and made anew since "
                             "partition %d was read up to offset %lld",
                             input->topic, (int)input->partition,
                             (long long)runner->slots[i].next_offset);
    }
    return STATUS_OK;
}

// A range being read again.
struct check {
    uint32_t slot;
    struct journal_range want, got;
};

static enum status check_refused(const struct runner *runner, const struct check *check,
                                 struct error *err) {
    const struct stage_input *input = &runner->setup.inputs[check->slot];
    return error_set(err, STATUS_CHANGED,
                     "could not continue: topic `%s` partition %d no longer holds at offsets %lld "
                     "to %lld what was read there: the log was changed or made anew",
                     input->topic, (int)input->partition, (long long)check->want.first,
                     (long long)check->want.last);
}

// The ranges still to be checked and retained; their positions, one a check.
static enum status checks_collect(struct runner *runner, struct check *checks,
                                  struct log_position *positions, size_t *ret_count,
                                  struct error *err) {
    size_t count = 0;
    for (uint32_t i = 0; i < runner->setup.input_count; i++) {
        struct slot *slot = &runner->slots[i];
        const struct stage_input *input = &runner->setup.inputs[i];
        if (slot->last.count == 0 || slot->verified)
            continue;
        int64_t begin = 0, end = 0;
        enum status status =
            log_topic_bounds(runner->setup.log, input->topic, input->partition, &begin, &end, err);
        if (status != STATUS_OK)
            return status;
        checks[count] = (struct check){.slot = i, .want = slot->last};
        if (end <= slot->last.last)
            return check_refused(runner, &checks[count], err);
        if (begin > slot->last.first)
            continue;
        positions[count] = (struct log_position){input->topic, input->partition, slot->last.first};
        count++;
    }
    *ret_count = count;
    return STATUS_OK;
}

static bool check_feed(struct check *check, const struct log_record *record) {
    if (record->offset > check->want.last)
        return false;
    if (check->got.count == 0)
        check->got.first = record->offset;
    check->got.last = record->offset;
    check->got.count++;
    struct log_record plain = *record;
    if (!plain.key)
        plain.key_length = 0;
    if (!plain.value)
        plain.value_length = 0;
    check->got.checksum = record_checksum(check->got.checksum, &plain);
    return record->offset < check->want.last;
}

static enum status checks_read(struct runner *runner, struct log_reader *reader,
                               struct check *checks, bool *done, size_t count, struct error *err) {
    size_t left = count;
    int timeouts = 0;
    while (left > 0) {
        struct log_batch batch = {0};
        enum status status = log_reader_poll(reader, (size_t)runner->setup.settings.batch_records,
                                             1000, &batch, err);
        if (status == STATUS_TIMEOUT && ++timeouts < 60)
            continue;
        if (status == STATUS_TIMEOUT)
            return error_set(err, STATUS_UNAVAILABLE,
                             "could not read what was read before: nothing came for a minute");
        if (status != STATUS_OK)
            return status;
        timeouts = 0;
        for (size_t i = 0; i < batch.count; i++) {
            uint32_t at = batch.records[i].slot;
            if (done[at] || check_feed(&checks[at], &batch.records[i]))
                continue;
            done[at] = true;
            left--;
            status = log_reader_pause(reader, at, true, err);
            if (status != STATUS_OK)
                return status;
        }
    }
    return STATUS_OK;
}

enum status verify_ranges(struct runner *runner, struct error *err) {
    size_t slots = runner->setup.input_count + 1;
    arena_reset(&runner->scratch);
    struct check *checks = arena_get(&runner->scratch, slots, sizeof(*checks));
    struct log_position *positions = arena_get(&runner->scratch, slots, sizeof(*positions));
    bool *done = arena_get(&runner->scratch, slots, sizeof(*done));
    if (!checks || !positions || !done)
        return error_no_memory(err, slots * sizeof(*checks), "a check of the log");
    size_t count = 0;
    enum status status = checks_collect(runner, checks, positions, &count, err);
    if (status != STATUS_OK || count == 0)
        return status;
    struct log_reader *reader = NULL;
    status = log_reader_open(runner->setup.log, positions, count, &reader, err);
    if (status == STATUS_OK)
        status = checks_read(runner, reader, checks, done, count, err);
    log_reader_close(reader);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        const struct check *check = &checks[i];
        if (check->got.count != check->want.count || check->got.first != check->want.first ||
            check->got.last != check->want.last || check->got.checksum != check->want.checksum)
            return check_refused(runner, check, err);
        runner->slots[check->slot].verified = true;
    }
    return status;
}

enum status verify_again(struct runner *runner, struct error *err) {
    enum status status = verify_identities(runner, err);
    for (size_t i = 0; i < runner->setup.input_count; i++)
        runner->slots[i].verified = false;
    return status == STATUS_OK ? verify_ranges(runner, err) : status;
}
