// Times to offsets, and the file that keeps them; see replay_plan.h.
#include "cli/replay_plan.h"

#include <inttypes.h>
#include <string.h>

#include "base/disk.h"
#include "cli/moment.h"
#include "cli/task.h"

#define MAGIC "freshet-replay 1"
#define HEAD MAGIC "\nconfiguration %016" PRIx64 "\nfrom %" PRId64 "\nto %" PRId64 "\nbeside %d\n"

struct planning {
    const struct settings *settings;
    struct log *log;
    uint64_t identity;
    struct replay_plan *plan;
};

static const char *topic_of(const struct planning *planning, size_t input) {
    return ingest_input_at(&planning->settings->ingest, input)->topic;
}

static struct runner_stretch *stretch_at(const struct replay_plan *plan, size_t partition,
                                         size_t input) {
    return &plan->stretch[partition * plan->inputs + input];
}

static void time_print(int64_t ms, char text[MOMENT_TEXT_MAX]) {
    if (ms == REPLAY_OLDEST || ms == REPLAY_NEWEST)
        snprintf(text, MOMENT_TEXT_MAX, "%s", ms == REPLAY_OLDEST ? "oldest" : "newest");
    else
        moment_print(ms, text);
}

// --- Times to offsets.

// Nothing before `from` is left where something once was.
static enum status passed(const struct planning *planning, const char *topic, int32_t partition,
                          int64_t oldest, struct error *err) {
    char from[MOMENT_TEXT_MAX];
    moment_print(planning->plan->from_ms, from);
    return error_set(err, STATUS_CHANGED,
                     "could not replay from %s: topic `%s` partition %d keeps no record before it, "
                     "the oldest is offset %" PRId64
                     ": retention has passed that time; begin later, or with `--from oldest`",
                     from, topic, (int)partition, oldest);
}

static enum status stretch_find(const struct planning *planning, const char *topic,
                                int32_t partition, struct runner_stretch *ret_stretch,
                                struct error *err) {
    const struct replay_plan *plan = planning->plan;
    int64_t begin, end, first, last;
    enum status status = log_topic_bounds(planning->log, topic, partition, &begin, &end, err);
    first = begin;
    last = end;
    if (status == STATUS_OK && plan->from_ms != REPLAY_OLDEST) {
        status = log_topic_offset_at(planning->log, topic, partition, plan->from_ms, &first, err);
        if (status == STATUS_OK && begin > 0 && first == begin)
            return passed(planning, topic, partition, begin, err);
    }
    if (status == STATUS_OK && plan->to_ms != REPLAY_NEWEST)
        status = log_topic_offset_at(planning->log, topic, partition, plan->to_ms, &last, err);
    if (status == STATUS_OK)
        *ret_stretch = (struct runner_stretch){first, last > first ? last : first};
    return status;
}

static enum status plan_find(const struct planning *planning, struct error *err) {
    const struct replay_plan *plan = planning->plan;
    bool any = false;
    for (size_t p = 0; p < plan->partitions; p++) {
        for (size_t i = 0; i < plan->inputs; i++) {
            struct runner_stretch *stretch = stretch_at(plan, p, i);
            enum status status =
                stretch_find(planning, topic_of(planning, i), (int32_t)p, stretch, err);
            if (status != STATUS_OK)
                return status;
            any |= stretch->end > stretch->first;
        }
    }
    char from[MOMENT_TEXT_MAX], to[MOMENT_TEXT_MAX];
    time_print(plan->from_ms, from);
    time_print(plan->to_ms, to);
    return any ? STATUS_OK
               : error_set(err, STATUS_NOT_FOUND,
                           "nothing to replay: no input holds a record from %s to %s", from, to);
}

// --- The file.

static enum status plan_write(const struct planning *planning, const char *path,
                              struct error *err) {
    const struct replay_plan *plan = planning->plan;
    struct buffer text;
    buffer_init(&text);
    buffer_append_text(&text, HEAD, planning->identity, plan->from_ms, plan->to_ms, plan->beside);
    for (size_t p = 0; p < plan->partitions; p++) {
        for (size_t i = 0; i < plan->inputs; i++) {
            const struct runner_stretch *stretch = stretch_at(plan, p, i);
            buffer_append_text(&text, "stretch %s %zu %" PRId64 " %" PRId64 "\n",
                               topic_of(planning, i), p, stretch->first, stretch->end);
        }
    }
    enum status status = text.failed ? error_no_memory(err, text.length, "a replay's plan")
                                     : disk_make_directory(planning->settings->directory, err);
    if (status == STATUS_OK)
        status = disk_replace_all(path, text.data, text.length, err);
    buffer_deinit(&text);
    return status;
}

static enum status begun_otherwise(const struct planning *planning, const char *what,
                                   struct error *err) {
    return error_set(err, STATUS_CHANGED,
                     "could not go on with the replay `%s`: it was begun with %s; go on with "
                     "those, or begin another one with `--as`",
                     planning->settings->name, what);
}

static enum status stretches_read(const struct planning *planning, const char *text,
                                  const char *path, struct error *err) {
    struct replay_plan *plan = planning->plan;
    for (size_t k = 0; k < plan->partitions * plan->inputs; k++) {
        char topic[256];
        size_t partition;
        int length = 0;
        struct runner_stretch *stretch = &plan->stretch[k];
        if (sscanf(text, "stretch %255s %zu %" SCNd64 " %" SCNd64 "\n%n", topic, &partition,
                   &stretch->first, &stretch->end, &length) != 4 ||
            length == 0 || stretch->first < 0 || stretch->end < stretch->first)
            return error_set(err, STATUS_CORRUPT,
                             "could not read the replay's plan %s: line %zu is not one; begin "
                             "another replay with `--as`",
                             path, k + 6);
        if (partition != k / plan->inputs || strcmp(topic, topic_of(planning, k % plan->inputs)))
            return begun_otherwise(planning, "other inputs or partitions", err);
        text += length;
    }
    return *text == '\0' ? STATUS_OK : begun_otherwise(planning, "other inputs or partitions", err);
}

// The file's text, NUL-terminated, and its head; the stretches follow at *ret_length.
static enum status head_read(const char *path, struct buffer *bytes, uint64_t *ret_identity,
                             struct replay_plan *ret_plan, int *ret_length, struct error *err) {
    int beside = 0, length = 0;
    enum status status = disk_read_all(path, bytes, err);
    buffer_append_byte(bytes, 0);
    if (status == STATUS_OK && bytes->failed)
        status = error_no_memory(err, bytes->length, "a replay's plan");
    if (status == STATUS_OK &&
        (sscanf((const char *)bytes->data,
                MAGIC " configuration %" SCNx64 " from %" SCNd64 " to %" SCNd64 " beside %d\n%n",
                ret_identity, &ret_plan->from_ms, &ret_plan->to_ms, &beside, &length) != 4 ||
         length == 0))
        status = error_set(err, STATUS_CORRUPT,
                           "could not read the replay's plan %s: begin another replay with `--as`",
                           path);
    ret_plan->beside = beside != 0;
    *ret_length = length;
    return status;
}

static enum status plan_read(const struct planning *planning, const char *path, struct error *err) {
    const struct replay_plan *plan = planning->plan;
    struct replay_plan begun = {0};
    struct buffer bytes;
    uint64_t identity = 0;
    int length = 0;
    buffer_init(&bytes);
    enum status status = head_read(path, &bytes, &identity, &begun, &length, err);
    if (status == STATUS_OK && (begun.from_ms != plan->from_ms || begun.to_ms != plan->to_ms ||
                                begun.beside != plan->beside)) {
        char what[128], from[MOMENT_TEXT_MAX], to[MOMENT_TEXT_MAX];
        time_print(begun.from_ms, from);
        time_print(begun.to_ms, to);
        snprintf(what, sizeof what, "`--from %s --to %s%s`", from, to,
                 begun.beside ? " --beside" : "");
        status = begun_otherwise(planning, what, err);
    }
    if (status == STATUS_OK && identity != planning->identity)
        status = begun_otherwise(planning, "other settings of data, ingest, model or trainer", err);
    if (status == STATUS_OK)
        status = stretches_read(planning, (const char *)bytes.data + length, path, err);
    buffer_deinit(&bytes);
    return status;
}

static enum status plan_path(const struct settings *settings, char path[4096], struct error *err) {
    int length = snprintf(path, 4096, "%s/%s.plan", settings->directory, settings->name);
    return length > 0 && length < 4096
               ? STATUS_OK
               : error_set(err, STATUS_INVALID, "`directory` or `name` is too long");
}

enum status replay_plan_beside(const struct settings *settings, struct error *err) {
    struct replay_plan begun = {0};
    struct buffer bytes;
    uint64_t identity;
    char path[4096];
    int length;
    enum status status = plan_path(settings, path, err);
    if (status == STATUS_OK && !disk_exists(path))
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no replay `%s` to hand over: begin one with `--beside`",
                         settings->name);
    buffer_init(&bytes);
    if (status == STATUS_OK)
        status = head_read(path, &bytes, &identity, &begun, &length, err);
    buffer_deinit(&bytes);
    if (status == STATUS_OK && !begun.beside)
        status = error_set(err, STATUS_CHANGED,
                           "could not hand over the replay `%s`: it was begun without `--beside`, "
                           "so its windows are closed where it ended",
                           settings->name);
    return status;
}

// --- The whole.

enum status replay_plan_open(const struct settings *settings, struct log *log,
                             const struct replay_plan *wanted, uint64_t identity,
                             struct arena *arena, struct replay_plan *ret_plan, struct error *err) {
    char path[4096];
    int32_t partitions = 0;
    struct replay_plan plan = {.from_ms = wanted->from_ms,
                               .to_ms = wanted->to_ms,
                               .beside = wanted->beside,
                               .inputs = settings->ingest.inputs.count};
    struct planning planning = {settings, log, identity, &plan};
    enum status status = task_input_partitions(settings, log, &partitions, err);
    if (status != STATUS_OK)
        return status;
    plan.partitions = (size_t)partitions;
    plan.stretch = arena_get(arena, plan.partitions * plan.inputs, sizeof *plan.stretch);
    if (!plan.stretch)
        return error_no_memory(err, plan.partitions * plan.inputs * sizeof *plan.stretch,
                               "a replay's plan");
    status = plan_path(settings, path, err);
    if (status == STATUS_OK && disk_exists(path)) {
        status = plan_read(&planning, path, err);
    } else if (status == STATUS_OK) {
        status = plan_find(&planning, err);
        if (status == STATUS_OK)
            status = plan_write(&planning, path, err);
    }
    for (size_t k = 0; k < plan.partitions * plan.inputs; k++) {
        plan.first_sum += plan.stretch[k].first;
        plan.end_sum += plan.stretch[k].end;
    }
    if (status == STATUS_OK)
        *ret_plan = plan;
    return status;
}
