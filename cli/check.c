// freshet check: the configuration against its schemas and, where they can be reached, the servers.
#include <string.h>

#include "cli/command.h"
#include "cli/task.h"
#include "ingest/decoder.h"

#include "publisher/publisher.h"

// One line a finding; *ret_code keeps the first failure.
static void tell(const char *what, enum status status, const struct error *err, int *ret_code) {
    if (status == STATUS_OK) {
        printf("ok    %s\n", what);
        return;
    }
    printf("%s %s: %s\n", status == STATUS_UNAVAILABLE ? "away " : "wrong", what, err->message);
    if (*ret_code == EXIT_DONE)
        *ret_code = (int)exit_code_of(status);
}

static enum status check_mapping(const struct settings *settings, struct error *err) {
    struct decoder *decoder;
    enum status status = ingest_settings_check(&settings->ingest, err);
    if (status == STATUS_OK)
        status = decoder_new(&settings->ingest, &settings->data, &clock_system, &decoder, err);
    if (status == STATUS_OK)
        decoder_free(decoder);
    return status;
}

static void check_log(const struct settings *settings, int *ret_code) {
    struct error err;
    struct log *log = NULL;
    enum status status = log_open(&settings->log, &log, &err);
    tell("the log's servers or folder", status, &err, ret_code);
    if (status != STATUS_OK)
        return;
    int32_t partitions;
    status = task_input_partitions(settings, log, &partitions, &err);
    tell("input topics: there, and equally partitioned", status, &err, ret_code);
    log_close(log);
}

static int check(const struct settings *settings, const char *path) {
    struct error err;
    int code = EXIT_DONE;
    printf("ok    %s: sections, keys, types and ranges\n", path);
    tell("data and ingest: schemas and mapped paths", check_mapping(settings, &err), &err, &code);
    tell("model and trainer", task_check_model(settings, &err), &err, &code);
    check_log(settings, &code);
    struct buffer keys;
    buffer_init(&keys);
    config_reloadable(&settings_options, "", &keys);
    if (!keys.failed)
        printf("ok    SIGHUP reloads %.*s\n", (int)keys.length, (const char *)keys.data);
    buffer_deinit(&keys);
    tell("Redis", publisher_check(&settings->publisher, &err), &err, &code);
    return code;
}

static int run_check(int argc, char **argv) {
    const char *path = NULL;
    bool print = false;
    const struct argument arguments[] = {{.name = "--print", .flag = &print}};
    if (!arguments_parse(&command_check, argc, argv, arguments, 1, &path, 1, 1))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    if (command_settings(path, &run_arena, &settings, &code)) {
        if (print) {
            struct buffer text;
            buffer_init(&text);
            config_print(&settings_options, &settings, &text);
            if (!text.failed)
                fwrite(text.data, 1, text.length, stdout);
            buffer_deinit(&text);
        }
        code = check(&settings, path);
    }
    arena_deinit(&run_arena);
    return code;
}

const struct command command_check = {
    .name = "check",
    .arguments = "CONFIG [--print]",
    .summary = "checks a configuration against its schemas and the servers it names",
    .help =
        "  --print   every setting as it is in force, secrets hidden\n"
        "\n"
        "One line a finding: ok, wrong, or away (a server that cannot be reached now). The exit\n"
        "code is that of the first finding that is not ok.",
    .run = run_check,
};
