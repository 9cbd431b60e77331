// freshet inspect: prints what a log, a journal, a checkpoint or Redis holds, one JSON object a
// line.
#include <string.h>

#include "cli/command.h"
#include "cli/inspect.h"

#include "log/log.h"

// A topic's records are printed by what the configuration says the topic holds.
static enum inspect_kind kind_of(const struct settings *settings, const char *topic) {
    if (strcmp(topic, settings->ingest.examples) == 0)
        return INSPECT_EXAMPLES;
    if (strcmp(topic, settings->trainer.weights) == 0)
        return INSPECT_WEIGHTS;
    if (strcmp(topic, settings->ingest.dead_letter) == 0)
        return INSPECT_DEAD_LETTERS;
    return INSPECT_EVENTS;
}

struct inspect_options {
    int64_t partition; // -1 = all
    int64_t from;      // -1 = the oldest
    int64_t count;     // most records a partition, -1 = to the end
};

static enum status inspect_partition(const struct settings *settings, struct log *log,
                                     const char *topic, int32_t partition,
                                     const struct inspect_options *options, struct error *err) {
    int64_t begin, end;
    enum status status = log_topic_bounds(log, topic, partition, &begin, &end, err);
    if (status != STATUS_OK)
        return status;
    struct log_position position = {topic, partition, options->from >= 0 ? options->from : begin};
    struct inspect_printer *printer;
    struct log_reader *reader = NULL;
    status = inspect_printer_new(settings, kind_of(settings, topic), topic, &printer, err);
    if (status != STATUS_OK)
        return status;
    status = log_reader_open(log, &position, 1, &reader, err);
    int64_t left = options->count >= 0 ? options->count : INT64_MAX;
    while (status == STATUS_OK && left > 0) {
        int64_t next = 0;
        struct log_batch batch;
        status = log_reader_position(reader, 0, &next, err);
        if (status != STATUS_OK || next >= end)
            break;
        status = log_reader_poll(reader, left < 1000 ? (size_t)left : 1000, 1000, &batch, err);
        if (status == STATUS_TIMEOUT) {
            status = STATUS_OK; // a transaction's marker may be all that is left
            if (next >= end)
                break;
            continue;
        }
        for (size_t i = 0; status == STATUS_OK && i < batch.count && batch.records[i].offset < end;
             i++, left--)
            status = inspect_print(printer, partition, &batch.records[i], stdout, err);
    }
    log_reader_close(reader);
    inspect_printer_free(printer);
    return status;
}

static enum status inspect_log(const struct settings *settings, const char *topic,
                               const struct inspect_options *options, struct error *err) {
    struct log *log = NULL;
    int32_t partitions;
    enum status status = log_open(&settings->log, &log, err);
    if (status == STATUS_OK)
        status = log_topic_partitions(log, topic, &partitions, err);
    if (status == STATUS_OK && options->partition >= partitions)
        status = error_set(err, STATUS_INVALID, "could not read partition %lld: %s has %d",
                           (long long)options->partition, topic, partitions);
    for (int32_t p = 0; status == STATUS_OK && p < partitions; p++)
        if (options->partition < 0 || options->partition == p)
            status = inspect_partition(settings, log, topic, p, options, err);
    log_close(log);
    return status;
}

static enum status inspect_journal(const struct settings *settings, const char *task,
                                   struct error *err) {
    struct log *log = NULL;
    enum status status = log_open(&settings->log, &log, err);
    if (status == STATUS_OK)
        status = log_journal_read(log, task, 0, inspect_print_journal, stdout, err);
    log_close(log);
    return status;
}

static int inspect(const struct settings *settings, const char *what, const char *name,
                   const struct inspect_options *options) {
    struct error err;
    enum status status;
    if (strcmp(what, "log") == 0 && name)
        status = inspect_log(settings, name, options, &err);
    else if (strcmp(what, "journal") == 0 && name)
        status = inspect_journal(settings, name, &err);
    else if (strcmp(what, "checkpoint") == 0 && name)
        status = inspect_print_checkpoints(settings, name, stdout, &err);
    else if (strcmp(what, "redis") == 0 && !name)
        status = inspect_print_redis(settings, stdout, &err);
    else {
        fprintf(stderr, "freshet inspect: expected log TOPIC, journal TASK, checkpoint TASK or "
                        "redis\n");
        return EXIT_USAGE;
    }
    return status == STATUS_OK ? EXIT_DONE : command_fail(&err);
}

static int run_inspect(int argc, char **argv) {
    const char *positional[3] = {NULL, NULL, NULL};
    const char *partition = NULL, *from = NULL, *count = NULL;
    struct inspect_options options = {-1, -1, -1};
    const struct argument arguments[] = {{.name = "--partition", .value = &partition},
                                         {.name = "--from", .value = &from},
                                         {.name = "--count", .value = &count}};
    const struct command *self = &command_inspect;
    if (!arguments_parse(self, argc, argv, arguments, 3, positional, 2, 3) ||
        (partition &&
         !arguments_number(self, "--partition", partition, 0, 100000, &options.partition)) ||
        (from && !arguments_number(self, "--from", from, 0, INT64_MAX, &options.from)) ||
        (count && !arguments_number(self, "--count", count, 0, INT64_MAX, &options.count)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    if (command_settings(positional[0], &run_arena, &settings, &code))
        code = inspect(&settings, positional[1], positional[2], &options);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_inspect = {
    .name = "inspect",
    .arguments = "CONFIG (log TOPIC | journal TASK | checkpoint TASK | redis) [OPTIONS]",
    .summary = "prints a log, a journal, checkpoints or the model in Redis, a JSON object a line",
    .help =
        "  log TOPIC        records, decoded by what the configuration says the topic holds:\n"
        "                   examples, weights, dead letters, or events through ingest's mapping\n"
        "  journal TASK     where each step of a task came from, e.g. NAME.ingest-0, NAME.trainer\n"
        "  checkpoint TASK  generations, their sections, sizes and whether checksums hold\n"
        "  redis            the manifest and each group's state\n"
        "  --partition N    only that partition\n"
        "  --from OFFSET    begin there instead of at the oldest record\n"
        "  --count N        at most N records a partition\n"
        "\n"
        "Only reads; running daemons are not disturbed.\n"
        "Example: freshet inspect config/kuairand.yaml log kuairand.examples --count 3",
    .run = run_inspect,
};
