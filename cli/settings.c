// The root table of options: sections in the order in which events flow.
#include "cli/settings.h"

static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_names[] = {"text", "json", NULL};

static const struct option logging_option_list[] = {
    {.key = "level",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct settings, logging.level) - offsetof(struct settings, logging),
     .default_text = "info",
     .choices = level_names,
     .reloadable = true,
     .help = "The least serious line that is written."},
    {.key = "format",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct settings, logging.format) - offsetof(struct settings, logging),
     .default_text = "text",
     .choices = format_names,
     .reloadable = true,
     .help = "One line a record: key=value text, or a JSON object."},
};
static const struct option_table logging_options = {
    .title = "logging",
    .help = "Log lines go to standard error.",
    .struct_bytes = sizeof(((struct settings *)0)->logging),
    .options = logging_option_list,
    .count = sizeof logging_option_list / sizeof logging_option_list[0],
};

#define SECTION(key_text, member, options, help_text)                                              \
    {                                                                                              \
        .key = key_text, .type = OPTION_SECTION, .offset = offsetof(struct settings, member),      \
        .table = &options, .help = help_text                                                       \
    }

static const struct option settings_option_list[] = {
    {.key = "name",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, name),
     .default_text = "freshet",
     .help =
         "Names the deployment: prefixes tasks, consumer groups and Redis keys, so that several "
         "share servers."},
    {.key = "directory",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, directory),
     .default_text = "freshet-state",
     .help = "Where tasks keep their checkpoints, one folder a task."},
    {.key = "checkpoint_copies",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, copies),
     .default_text = "",
     .help =
         "A folder, best on another machine's disk, that gets a copy of each checkpoint. A task "
         "that finds its own folder lost goes on from there, its journal and its inputs, "
         "exactly. Empty copies nothing."},
    {.key = "control",
     .type = OPTION_TEXT,
     .offset = offsetof(struct settings, control),
     .default_text = "control",
     .help = "The topic of what operators command (`freshet pin`, `unpin`, `rollback`), of one "
             "partition, kept for ever. Empty = none: such commands are then refused."},
    SECTION("logging", logging, logging_options, "Log lines."),
    SECTION("log", log, log_options, "Where the logs live: files, Kafka or memory."),
    SECTION("data", data, spec_options, "Features, tasks and domain."),
    SECTION("ingest", ingest, ingest_options, "Reading and joining events."),
    SECTION("model", model, model_options, "The network."),
    SECTION("trainer", trainer, trainer_options, "Learning and measuring."),
    SECTION("publisher", publisher, publisher_options, "Bringing weights to Redis."),
    SECTION("monitor", monitor, monitor_options, "What a daemon shows over HTTP."),
    SECTION("simulate", simulate, simulate_options, "The generator of events with known truth."),
    SECTION("kuairand", kuairand, kuairand_options, "The loader of the KuaiRand data."),
};
const struct option_table settings_options = {
    .title = "Configuration",
    .help = "One YAML file describes a deployment; every daemon of it reads the same file.",
    .struct_bytes = sizeof(struct settings),
    .options = settings_option_list,
    .count = sizeof settings_option_list / sizeof settings_option_list[0],
};

enum status settings_load(const char *path, struct arena *arena, struct settings *settings,
                          struct error *err) {
    enum status status = config_load(path, &settings_options, settings, arena, err);
    if (status != STATUS_OK)
        return status;
    status = spec_check(&settings->data, err);
    if (status != STATUS_OK)
        return error_prefix(err, "%s", path);
    return STATUS_OK;
}

struct freshet_scorer_options settings_scorer_options(const struct settings *settings) {
    const struct publisher_redis *redis = &settings->publisher.redis;
    return (struct freshet_scorer_options){.host = redis->host,
                                           .port = (int)redis->port,
                                           .socket = redis->socket,
                                           .user = redis->user,
                                           .password = redis->password,
                                           .database = (int)redis->database,
                                           .timeout_ms = (int)redis->timeout_ms,
                                           .name = settings->name};
}
