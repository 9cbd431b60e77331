// The fold of the control log, and the decision on a version; see steer.h.
#include "publisher/steer.h"

#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "base/logger.h"
#include "log/sweep.h"

void steer_init(struct steer *steer) {
    *steer = (struct steer){.limit = INT64_MIN};
}

// Texts of other people's making, for a log line.
static int printable(size_t length) {
    return length > 200 ? 200 : (int)length;
}

static void say(const struct control *control, const struct log_record *record) {
    char what[64] = "unpin";
    if (control->kind == CONTROL_PIN)
        snprintf(what, sizeof what, "pin lineage=%016" PRIx64 " version=%" PRIu64, control->lineage,
                 control->version);
    logger_line(LOGGER_INFO, "publisher", "control",
                "offset=%" PRId64 " %s author=\"%.*s\" note=\"%.*s\"", record->offset, what,
                printable(control->author_length), control->author, printable(control->note_length),
                control->note);
}

void steer_command(struct steer *steer, const char *topic, const struct log_record *record) {
    struct control control;
    struct error err;
    steer->read++;
    steer->control_next = record->offset + 1;
    if (control_decode(record->value, record->value_length, &control, &err) != STATUS_OK) {
        steer->undecodable++;
        logger_line(LOGGER_WARN, "publisher", "control-skipped",
                    "topic=\"%s\" offset=%" PRId64 " reason=\"%s\"", topic, record->offset,
                    err.message);
        return;
    }
    bool same = control.kind == CONTROL_PIN && steer->pinned && steer->lineage == control.lineage &&
                steer->version == control.version;
    steer->pinned = control.kind == CONTROL_PIN;
    steer->lineage = steer->pinned ? control.lineage : 0;
    steer->version = steer->pinned ? control.version : 0;
    if (!same)
        steer->limit = INT64_MIN;
    say(&control, record);
}

struct load {
    struct steer steer;
    const char *topic;
};

static enum status load_each(void *self, const struct log_record *record, struct error *err) {
    struct load *load = self;
    (void)err;
    if (!record->end_of_stream)
        steer_command(&load->steer, load->topic, record);
    return STATUS_OK;
}

enum status steer_load(struct steer *steer, struct log *log, const char *topic, struct error *err) {
    struct load load = {.topic = topic};
    int64_t end;
    steer_init(&load.steer);
    enum status status = log_sweep(log, topic, 0, load_each, &load, &end, err);
    if (status != STATUS_OK)
        return status;
    struct steer *loaded = &load.steer;
    bool same = loaded->pinned == steer->pinned && loaded->lineage == steer->lineage &&
                loaded->version == steer->version;
    loaded->limit = same ? steer->limit : INT64_MIN;
    loaded->control_next = end; // the last may have been a transaction's marker
    *steer = *loaded;
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
