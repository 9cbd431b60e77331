// The fold of the control log, and the decision on a version; see steer.h.
#include "publisher/steer.h"

#include <string.h>

#include <jansson.h>

#include "log/sweep.h"

void steer_init(struct steer *steer) {
    *steer = (struct steer){.limit = INT64_MIN};
}

enum status steer_command(struct steer *steer, const struct log_record *record,
                          struct control *ret_control, struct error *err) {
    steer->read++;
    steer->control_next = record->offset + 1;
    enum status status = control_decode(record->value, record->value_length, ret_control, err);
    if (status != STATUS_OK) {
        steer->undecodable++;
        return status;
    }
    bool pins = ret_control->kind == CONTROL_PIN;
    bool same = pins && steer->pinned && steer->lineage == ret_control->lineage &&
                steer->version == ret_control->version;
    steer->pinned = pins;
    steer->lineage = pins ? ret_control->lineage : 0;
    steer->version = pins ? ret_control->version : 0;
    if (!same)
        steer->limit = INT64_MIN;
    return STATUS_OK;
}

// What cannot be read is counted; it was said in the log when it came.
static enum status load_each(void *self, const struct log_record *record, struct error *err) {
    struct control control;
    struct error ignored;
    (void)err;
    if (!record->end_of_stream)
        (void)!steer_command(self, record, &control, &ignored);
    return STATUS_OK;
}

enum status steer_load(struct steer *steer, struct log *log, const char *topic, struct error *err) {
    struct steer loaded;
    int64_t end;
    steer_init(&loaded);
    enum status status = log_sweep(log, topic, 0, load_each, &loaded, &end, err);
    if (status != STATUS_OK)
        return status;
    bool same = loaded.pinned == steer->pinned && loaded.lineage == steer->lineage &&
                loaded.version == steer->version;
    loaded.limit = same ? steer->limit : INT64_MIN;
    loaded.control_next = end; // the last may have been a transaction's marker
    *steer = loaded;
    return STATUS_OK;
}

enum steer_way steer_open(struct steer *steer, const struct weights *open, int64_t offset,
                          bool passed) {
    bool goal =
        steer->pinned ? open->lineage == steer->lineage && open->version == steer->version : passed;
    if (offset > steer->limit && !goal) {
        steer->held++;
        return STEER_HOLD;
    }
    if (offset > steer->limit)
        steer->limit = offset;
    if (steer->held > 0)
        return STEER_AGAIN;
    return goal ? STEER_OUT : STEER_THROUGH;
}

bool steer_passed(const char *measures, size_t length, char *reason) {
    json_t *root = json_loadb(measures, length, 0, NULL);
    const json_t *gate = json_object_get(root, "gate");
    const char *verdict = json_string_value(json_object_get(gate, "verdict"));
    const char *text = json_string_value(json_object_get(gate, "reason"));
    bool passed = !verdict || strcmp(verdict, "hold") != 0;
    if (reason)
        snprintf(reason, STEER_REASON_MAX, "%s", !passed && text ? text : "");
    json_decref(root);
    return passed;
}
