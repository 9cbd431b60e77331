// freshet rollback, pin and unpin: records on the control log.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/command.h"
#include "cli/versions.h"

struct order {
    const struct command *command;
    const struct settings *settings;
    int64_t version; // 0 = not named
    const char *note;
};

static enum status append(struct log *log, const struct settings *settings, struct control *control,
                          struct error *err) {
    const char *const topics[] = {settings->control};
    const char *author = getenv("LOGNAME");
    char task[192];
    struct buffer bytes;
    struct log_writer *writer = NULL;
    buffer_init(&bytes);
    control->time_ms = clock_system.wall_ms(&clock_system);
    control->author = author ? author : "";
    control->author_length = strlen(control->author);
    control_encode(control, &bytes);
    struct log_record record = {.timestamp_ms = control->time_ms,
                                .sequence = LOG_NO_SEQUENCE,
                                .value = bytes.data,
                                .value_length = bytes.length};
    // A task of its own, so that two who command at once come one after the other.
    snprintf(task, sizeof task, "%.150s.commands", settings->name);
    enum status status = bytes.failed ? error_no_memory(err, bytes.length, "a control record")
                                      : log_topic_ensure(log, settings->control, 1, err);
    if (status == STATUS_OK)
        status = log_writer_open(log, task, topics, 1, &writer, err);
    if (status == STATUS_OK)
        status = log_writer_append(writer, 0, 0, &record, err);
    if (status == STATUS_OK)
        status = log_writer_commit(writer, NULL, 0, err);
    log_writer_close(writer);
    buffer_deinit(&bytes);
    return status;
}

// The newest version that passed before the one that is out.
static const struct catalogue_version *before_out(const struct versions *versions) {
    const struct catalogue *catalogue = &versions->catalogue;
    const struct catalogue_version *out =
        catalogue_find(catalogue, versions->out_lineage, versions->out_version);
    for (const struct catalogue_version *at = out; at && at-- > catalogue->versions;)
        if (at->lineage == out->lineage && at->passed && at->end >= 0)
            return at;
    return NULL;
}

// The version that was named, or the command's own choice; NULL with a reason.
static const struct catalogue_version *choose(const struct order *order,
                                              const struct versions *versions, const char **why) {
    const struct catalogue *catalogue = &versions->catalogue;
    uint64_t lineage = versions->out_version > 0 ? versions->out_lineage
                       : catalogue->count > 0    ? catalogue->versions[catalogue->count - 1].lineage
                                                 : 0;
    *why = "the weights log does not hold that version";
    if (order->version > 0)
        return catalogue_find(catalogue, lineage, (uint64_t)order->version);
    *why = "no version is out, or Redis does not answer: name one";
    if (versions->out_version == 0)
        return NULL;
    if (order->command == &command_pin)
        return catalogue_find(catalogue, lineage, versions->out_version);
    *why = "the weights log holds no earlier version that passed the gate";
    return before_out(versions);
}

// True when Redis must be taken back for it.
static bool is_back(const struct versions *versions, const struct catalogue_version *goal) {
    return versions->out_version > 0 &&
           (goal->lineage != versions->out_lineage || goal->version < versions->out_version);
}

static enum status pin(const struct order *order, struct log *log, struct error *err) {
    struct versions versions;
    const char *why;
    enum status status = versions_read(&versions, order->settings, log, false, err);
    if (status != STATUS_OK)
        return status;
    const struct catalogue_version *goal = choose(order, &versions, &why);
    if (!goal) {
        status =
            error_set(err, STATUS_NOT_FOUND, "could not %s: %s (`freshet versions` lists them)",
                      order->command->name, why);
    } else if (is_back(&versions, goal) && !versions_can_return(&versions, goal)) {
        status = error_set(err, STATUS_NOT_FOUND,
                           "could not %s to version %" PRIu64 ": the weights log no longer holds "
                           "the versions that rebuild it (`freshet versions`, column back)",
                           order->command->name, goal->version);
    } else {
        struct control control = {.kind = CONTROL_PIN,
                                  .note = order->note,
                                  .note_length = strlen(order->note),
                                  .lineage = goal->lineage,
                                  .version = goal->version};
        status = append(log, order->settings, &control, err);
        if (status == STATUS_OK)
            printf("pinned version %" PRIu64 ", until `freshet unpin`\n", goal->version);
    }
    versions_deinit(&versions);
    return status;
}

static enum status unpin(const struct order *order, struct log *log, struct error *err) {
    struct control control = {
        .kind = CONTROL_UNPIN, .note = order->note, .note_length = strlen(order->note)};
    enum status status = append(log, order->settings, &control, err);
    if (status == STATUS_OK)
        printf("unpinned: versions go out as the gate lets them\n");
    return status;
}

static int carry_out(const struct order *order) {
    struct error err;
    struct log *log = NULL;
    enum status status = STATUS_OK;
    if (!order->settings->control[0])
        status = error_set(&err, STATUS_INVALID, "could not %s: `control` names no topic",
                           order->command->name);
    if (status == STATUS_OK)
        status = log_open(&order->settings->log, &log, &err);
    if (status == STATUS_OK)
        status = order->command == &command_unpin ? unpin(order, log, &err) : pin(order, log, &err);
    log_close(log);
    return status == STATUS_OK ? EXIT_DONE : command_fail(&err);
}

static int run_order(const struct command *command, int argc, char **argv) {
    const char *positional[2] = {NULL, NULL}, *note = "";
    struct order order = {.command = command};
    const struct argument arguments[] = {{.name = "--note", .value = &note}};
    size_t most = command == &command_unpin ? 1 : 2;
    if (!arguments_parse(command, argc, argv, arguments, 1, positional, 1, most) ||
        (positional[1] &&
         !arguments_number(command, "VERSION", positional[1], 1, INT64_MAX, &order.version)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    order.note = note;
    order.settings = &settings;
    if (command_settings(positional[0], &run_arena, &settings, &code))
        code = carry_out(&order);
    arena_deinit(&run_arena);
    return code;
}

#define NOTE_HELP "  --note TEXT  why, for those who read the control log or the publishers' log\n"

static int run_rollback(int argc, char **argv) {
    return run_order(&command_rollback, argc, argv);
}
const struct command command_rollback = {
    .name = "rollback",
    .arguments = "CONFIG [VERSION] [--note TEXT]",
    .summary = "takes every publisher back to an earlier version, and keeps it there",
    .help =
        "  VERSION      of `freshet versions`; by default the newest before the one that is out\n"
        "               that passed the gate\n" NOTE_HELP "\n"
        "A record on the control log, which publishers of all regions follow: each takes its\n"
        "Redis back, to the bit, by reading the versions again that rebuild it. Scorers go on\n"
        "with the version they have until the earlier one is whole. Training goes on; what it\n"
        "emits is held until `freshet unpin`.",
    .run = run_rollback,
};

static int run_pin(int argc, char **argv) {
    return run_order(&command_pin, argc, argv);
}
const struct command command_pin = {
    .name = "pin",
    .arguments = "CONFIG [VERSION] [--note TEXT]",
    .summary = "keeps a version out, whatever comes",
    .help =
        "  VERSION      of `freshet versions`, one that the gate holds too; by default the one\n"
        "               that is out\n" NOTE_HELP "\n"
        "A record on the control log, as of `freshet rollback`. A newer pin takes an older\n"
        "one's place; `freshet unpin` takes it away.",
    .run = run_pin,
};

static int run_unpin(int argc, char **argv) {
    return run_order(&command_unpin, argc, argv);
}
const struct command command_unpin = {
    .name = "unpin",
    .arguments = "CONFIG [--note TEXT]",
    .summary = "lets versions go out again as the gate lets them",
    .help = NOTE_HELP "\nThe newest version that passed the gate goes out next, with all that was "
                      "held.",
    .run = run_unpin,
};
