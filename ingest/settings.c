// The option tables of ingest and the checks that go across them.
#include "ingest/settings.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const role_choices[] = {"impression", "feedback", NULL};
static const char *const framing_choices[] = {"plain", "single_object", "confluent", NULL};
static const char *const unit_choices[] = {"auto", "ms", "us", "s", NULL};
static const char *const join_choices[] = {"window", "none", NULL};
static const char *const full_choices[] = {"stop", "expire", NULL};

static const struct option input_rows[] = {
    {.key = "name",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_input, name),
     .help = "What tasks (`data.tasks[].input`), accounts and messages call this input."},
    {.key = "topic",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_input, topic),
     .help =
         "The log that brings the events. All inputs must be partitioned alike by the join key."},
    {.key = "role",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct ingest_input, role),
     .choices = role_choices,
     .help = "`impression`: something was shown; carries the features. `feedback`: a click, a "
             "conversion, or whatever else tasks count as their positive."},
    {.key = "schema",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_input, schema),
     .default_text = "",
     .help =
         "Path of the Avro schema (.avsc) of the values, relative to the working directory. With "
         "`confluent` framing it may be left out: the registry names each record's schema; when "
         "given, the paths below are checked against it at start."},
    {.key = "older_schemas",
     .type = OPTION_TEXTS,
     .offset = offsetof(struct ingest_input, older_schemas),
     .help = "Paths of further schemas that records of `single_object` framing may name."},
    {.key = "framing",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct ingest_input, framing),
     .default_text = "plain",
     .choices = framing_choices,
     .help = "`plain`: the value is Avro binary and nothing else. `single_object`: Avro's two-byte "
             "marker and schema fingerprint come first. `confluent`: a zero byte and the schema "
             "registry's 4-byte id come first."},
    {.key = "time",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_input, time),
     .help =
         "Path of the event time. A path is field names and map keys joined by dots; unions are "
         "passed through. With `each`, a path is relative to the item, and one that begins with "
         "`/` to the record."},
    {.key = "time_unit",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct ingest_input, time_unit),
     .default_text = "auto",
     .choices = unit_choices,
     .help = "Unit of the event time. `auto` follows the field's Avro logical type, and takes "
             "milliseconds where it has none."},
    {.key = "key",
     .type = OPTION_TEXTS,
     .offset = offsetof(struct ingest_input, key),
     .help = "Paths whose values together are the join key; in the same order for every input. "
             "Numbers and text that read alike are alike."},
    {.key = "each",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_input, each),
     .default_text = "",
     .help = "Path of an array whose items are the events, where one record holds many."},
    {.key = "future_limit",
     .type = OPTION_DURATION,
     .offset = offsetof(struct ingest_input, future_limit_ms),
     .default_text = "1h",
     .minimum = 0,
     .maximum = 31536000000.0,
     .help =
         "An event whose time is later than its record's timestamp by more than this goes to the "
         "dead-letter log, before it can move a watermark."},
};
static const struct option_table input_options = {
    .title = "Ingest inputs",
    .help = "One entry a topic: who it is, how its bytes are framed, and where in its schema the "
            "event time and the join key are found. The features' paths are in `data.features`.",
    .struct_bytes = sizeof(struct ingest_input),
    .options = input_rows,
    .count = COUNT(input_rows),
};

static const struct option registry_rows[] = {
    {.key = "url",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_registry, url),
     .default_text = "",
     .help = "Address of a Confluent-compatible schema registry, for `confluent` framing."},
    {.key = "user",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_registry, user),
     .default_text = "",
     .help = "User name for HTTP basic authentication."},
    {.key = "password",
     .type = OPTION_SECRET,
     .offset = offsetof(struct ingest_registry, password),
     .default_text = "",
     .help = "Password for HTTP basic authentication."},
    {.key = "timeout",
     .type = OPTION_DURATION,
     .offset = offsetof(struct ingest_registry, timeout_ms),
     .default_text = "5s",
     .minimum = 1,
     .maximum = 600000,
     .help = "Bound on one request."},
    {.key = "attempts",
     .type = OPTION_INT,
     .offset = offsetof(struct ingest_registry, attempts),
     .default_text = "3",
     .minimum = 1,
     .maximum = 100,
     .help =
         "Requests for one schema before the registry counts as unavailable. The stage then waits "
         "and tries the same records again; nothing is lost."},
    {.key = "retry_backoff",
     .type = OPTION_DURATION,
     .offset = offsetof(struct ingest_registry, retry_backoff_ms),
     .default_text = "200ms",
     .minimum = 1,
     .maximum = 60000,
     .help = "Wait before the second request; doubled before each further one."},
    {.key = "cache",
     .type = OPTION_INT,
     .offset = offsetof(struct ingest_registry, cache_schemas),
     .default_text = "1000",
     .minimum = 1,
     .maximum = 1000000,
     .help =
         "Schemas kept in memory and in checkpoints. Ids are never reassigned, so that an answer "
         "stays true."},
    {.key = "answer_bytes_max",
     .type = OPTION_BYTES,
     .offset = offsetof(struct ingest_registry, answer_bytes_max),
     .default_text = "1MiB",
     .minimum = 1024,
     .maximum = 67108864,
     .help = "Bound on one answer."},
};
static const struct option_table registry_options = {
    .title = "Schema registry",
    .help = "Where schemas of `confluent` framing are asked for.",
    .struct_bytes = sizeof(struct ingest_registry),
    .options = registry_rows,
    .count = COUNT(registry_rows),
};

static const struct option rows[] = {
    {.key = "join",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct ingest_settings, join),
     .default_text = "window",
     .choices = join_choices,
     .help =
         "`window`: impressions wait for their feedback until each task's window closes. `none`: "
         "impressions are labelled already (`data.tasks[].path`)."},
    {.key = "inputs",
     .type = OPTION_SECTIONS,
     .offset = offsetof(struct ingest_settings, inputs),
     .table = &input_options,
     .help = "The topics to read."},
    {.key = "examples",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_settings, examples),
     .default_text = "examples",
     .help = "The log that joined examples are written to."},
    {.key = "dead_letter",
     .type = OPTION_TEXT,
     .offset = offsetof(struct ingest_settings, dead_letter),
     .default_text = "dead_letter",
     .help = "The log for records that cannot be used, with the reason and their bytes untouched."},
    {.key = "check_partitioning",
     .type = OPTION_BOOL,
     .offset = offsetof(struct ingest_settings, check_partitioning),
     .default_text = "true",
     .help = "Compare the inputs' partition counts, and by a sample of keys their partitioners, at "
             "start; refuse those that cannot be joined partition by partition."},
    {.key = "lateness",
     .type = OPTION_DURATION,
     .offset = offsetof(struct ingest_settings, lateness_ms),
     .default_text = "10s",
     .minimum = 0,
     .maximum = 604800000,
     .help =
         "How far out of order events may be: the watermark of an input is its newest event time "
         "less this."},
    {.key = "early_wait",
     .type = OPTION_DURATION,
     .offset = offsetof(struct ingest_settings, early_wait_ms),
     .default_text = "10m",
     .minimum = 0,
     .maximum = 604800000,
     .help =
         "How long, in event time, feedback that came before its impression waits for it before it "
         "counts as an orphan."},
    {.key = "store_memory",
     .type = OPTION_BYTES,
     .offset = offsetof(struct ingest_settings, store_memory_bytes),
     .default_text = "512MiB",
     .minimum = 1048576,
     .maximum = 1099511627776.0,
     .help =
         "Bound on the memory for impressions that wait for feedback and feedback that waits for "
         "its impression; older state lies on disk."},
    {.key = "store_full",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct ingest_settings, store_full),
     .default_text = "stop",
     .choices = full_choices,
     .help =
         "What happens at that bound: `stop` the task with an error, or `expire` the oldest state "
         "early (counted)."},
    {.key = "young_age",
     .type = OPTION_DURATION,
     .offset = offsetof(struct ingest_settings, young_age_ms),
     .default_text = "10m",
     .minimum = 1000,
     .maximum = 604800000,
     .help = "State younger than this, in event time, stays in memory; older state moves to disk."},
    {.key = "registry",
     .type = OPTION_SECTION,
     .offset = offsetof(struct ingest_settings, registry),
     .table = &registry_options,
     .help = "The schema registry."},
    {.key = "runner",
     .type = OPTION_SECTION,
     .offset = offsetof(struct ingest_settings, runner),
     .table = &runner_options,
     .help = "Commits, checkpoints and batches of this stage."},
};
const struct option_table ingest_options = {
    .title = "Ingest",
    .help =
        "Reads the topics of events, joins impressions with their feedback and writes examples.",
    .struct_bytes = sizeof(struct ingest_settings),
    .options = rows,
    .count = COUNT(rows),
};

const struct ingest_input *ingest_input_at(const struct ingest_settings *settings, size_t i) {
    REQUIRE(i < settings->inputs.count);
    return (const struct ingest_input *)settings->inputs.items + i;
}

static enum status input_check(const struct ingest_settings *settings, size_t at,
                               struct error *err) {
    const struct ingest_input *input = ingest_input_at(settings, at);
    for (size_t i = 0; i < at; i++) {
        const struct ingest_input *other = ingest_input_at(settings, i);
        if (strcmp(other->name, input->name) == 0)
            return error_set(err, STATUS_INVALID,
                             "key `ingest.inputs[%zu].name`: `%s` is taken by entry %zu", at,
                             input->name, i);
        if (strcmp(other->topic, input->topic) == 0)
            return error_set(err, STATUS_INVALID,
                             "key `ingest.inputs[%zu].topic`: `%s` is read by input `%s` already",
                             at, input->topic, other->name);
        if (settings->join == INGEST_JOIN_WINDOW && other->key.count != input->key.count)
            return error_set(err, STATUS_INVALID,
                             "key `ingest.inputs[%zu].key`: has %zu paths, that of input `%s` %zu",
                             at, input->key.count, other->name, other->key.count);
    }
    if (settings->join == INGEST_JOIN_WINDOW && input->key.count == 0)
        return error_set(err, STATUS_INVALID,
                         "key `ingest.inputs[%zu].key`: input `%s` needs a join key", at,
                         input->name);
    if (settings->join == INGEST_JOIN_NONE && input->role != INGEST_IMPRESSION)
        return error_set(err, STATUS_INVALID,
                         "key `ingest.inputs[%zu].role`: with `join: none` every input brings "
                         "impressions",
                         at);
    if (input->framing == INGEST_CONFLUENT && settings->registry.url[0] == '\0')
        return error_set(
            err, STATUS_INVALID,
            "key `ingest.registry.url`: input `%s` has confluent framing, which needs a "
            "schema registry",
            input->name);
    if (input->framing != INGEST_CONFLUENT && input->schema[0] == '\0')
        return error_set(err, STATUS_INVALID,
                         "key `ingest.inputs[%zu].schema`: input `%s` needs the path of its schema",
                         at, input->name);
    return STATUS_OK;
}

enum status ingest_settings_check(const struct ingest_settings *settings, struct error *err) {
    bool impressions = false;
    if (settings->inputs.count > INGEST_INPUTS_MAX)
        return error_set(err, STATUS_INVALID, "key `ingest.inputs`: at most %d, not %zu",
                         INGEST_INPUTS_MAX, settings->inputs.count);
    for (size_t i = 0; i < settings->inputs.count; i++) {
        enum status status = input_check(settings, i, err);
        if (status != STATUS_OK)
            return status;
        impressions |= ingest_input_at(settings, i)->role == INGEST_IMPRESSION;
    }
    if (!impressions)
        return error_set(err, STATUS_INVALID,
                         "key `ingest.inputs`: none has the role `impression`");
    return STATUS_OK;
}
