// freshet score: events in, scores out, by the model that Redis holds.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "cli/command.h"
#include "cli/newest.h"
#include "cli/score_row.h"
#include "cli/verify.h"
#include "ingest/decoder.h"
#include "record/example.h"

struct scoring {
    const struct settings *settings;
    struct freshet_scorer *scorer;
    struct freshet_row *row;
    struct decoder *decoder;
    uint32_t input;
    int64_t left;
};

static enum status print_scores(struct scoring *scoring, json_t *line, struct error *err) {
    float probabilities[SPEC_TASKS_MAX];
    char reason[512];
    uint64_t version;
    if (freshet_scorer_score(scoring->scorer, &scoring->row, 1, probabilities, &version, reason,
                             sizeof reason) != FRESHET_SCORER_OK) {
        json_decref(line);
        return error_set(err, STATUS_INVALID, "%s", reason);
    }
    bool good = true;
    for (size_t k = 0; k < freshet_scorer_tasks(scoring->scorer); k++)
        good &= json_object_set_new(line, freshet_scorer_task(scoring->scorer, k),
                                    json_real((double)probabilities[k])) == 0;
    good &= json_object_set_new(line, "version", json_integer((json_int_t)version)) == 0;
    char *text = good ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(8)) : NULL;
    json_decref(line);
    good = text && printf("%s\n", text) > 0;
    free(text);
    return good ? STATUS_OK : error_set(err, STATUS_IO, "could not write to standard output");
}

static enum status score_event(void *self, const struct event *event, struct error *err) {
    struct scoring *scoring = self;
    const struct example *columns = &event->columns;
    if (!event->impression || scoring->left <= 0)
        return STATUS_OK;
    scoring->left--;
    if (freshet_row_set_columns(scoring->row, columns->ids, columns->numbers, columns->lists,
                                columns->domain, columns->domain_length) != FRESHET_SCORER_OK)
        return error_set(err, STATUS_INVALID, "could not score an impression: a list is too long");
    (void)freshet_row_set_time(scoring->row, event->event_time_ms);
    json_t *line = json_object();
    json_object_set_new(line, "event_time_ms", json_integer(event->event_time_ms));
    json_object_set_new(line, "domain",
                        json_stringn(columns->domain ? columns->domain : "",
                                     columns->domain ? columns->domain_length : 0));
    return print_scores(scoring, line, err);
}

static enum status score_record(void *self, int32_t partition, const struct log_record *record,
                                struct error *err) {
    struct scoring *scoring = self;
    struct decoder_result result;
    (void)partition;
    return decoder_decode(scoring->decoder, scoring->input, record, score_event, scoring, &result,
                          err);
}

static enum status score_from_log(struct scoring *scoring, struct error *err) {
    const struct ingest_settings *ingest = &scoring->settings->ingest;
    struct log *log = NULL;
    while (scoring->input < ingest->inputs.count &&
           ingest_input_at(ingest, scoring->input)->role != INGEST_IMPRESSION)
        scoring->input++;
    if (scoring->input == ingest->inputs.count)
        return error_set(err, STATUS_INVALID, "could not find an input of impressions");
    enum status status =
        decoder_new(ingest, &scoring->settings->data, &clock_system, &scoring->decoder, err);
    if (status == STATUS_OK)
        status = log_open(&scoring->settings->log, &log, err);
    if (status == STATUS_OK)
        status = newest_records(log, ingest_input_at(ingest, scoring->input)->topic, scoring->left,
                                score_record, scoring, err);
    log_close(log);
    decoder_free(scoring->decoder);
    return status;
}

static enum status score_line(struct scoring *scoring, const char *text, struct error *err) {
    json_error_t mistake;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &mistake);
    if (!json_is_object(object)) {
        json_decref(object);
        return error_set(err, STATUS_INVALID, "could not score a line: expected a JSON object: %s",
                         mistake.text);
    }
    enum status status;
    freshet_row_reset(scoring->row);
    status = score_row_fill(scoring->row, object, err);
    if (status != STATUS_OK)
        error_prefix(err, "could not score a line");
    json_decref(object);
    return status == STATUS_OK ? print_scores(scoring, json_object(), err) : status;
}

static enum status score_lines(struct scoring *scoring, FILE *stream, struct error *err) {
    static char text[1 << 20];
    enum status status = STATUS_OK;
    for (size_t number = 1; status == STATUS_OK && fgets(text, sizeof text, stream); number++) {
        if (text[0] == '\n')
            continue;
        status = score_line(scoring, text, err);
        fflush(stdout);
        if (status != STATUS_OK)
            error_prefix(err, "line %zu", number);
    }
    return status;
}

static int score(const struct settings *settings, int64_t from_log, int64_t verify) {
    struct error err;
    char reason[512];
    struct scoring scoring = {.settings = settings, .left = from_log};
    struct freshet_scorer_options options = settings_scorer_options(settings);
    enum freshet_scorer_status opened =
        freshet_scorer_open(&options, &scoring.scorer, reason, sizeof reason);
    if (opened != FRESHET_SCORER_OK) {
        fprintf(stderr, "freshet: %s\n", reason);
        return opened == FRESHET_SCORER_UNAVAILABLE ? EXIT_UNREACHABLE : EXIT_FAILED;
    }
    enum status status = STATUS_OK;
    scoring.row = freshet_row_new(scoring.scorer);
    if (!scoring.row)
        status = error_no_memory(&err, 0, "a row");
    else if (verify > 0)
        status = verify_scores(settings, scoring.scorer, verify, stdout, &err);
    else if (from_log > 0)
        status = score_from_log(&scoring, &err);
    else
        status = score_lines(&scoring, stdin, &err);
    freshet_row_free(scoring.row);
    freshet_scorer_close(scoring.scorer);
    return status == STATUS_OK ? EXIT_DONE : command_fail(&err);
}

static int run_score(int argc, char **argv) {
    const char *path = NULL, *from_log = NULL, *verify = NULL;
    int64_t count = 0, verify_count = 0;
    const struct command *self = &command_score;
    const struct argument arguments[] = {{.name = "--from-log", .value = &from_log},
                                         {.name = "--verify", .value = &verify}};
    if (!arguments_parse(self, argc, argv, arguments, 2, &path, 1, 1) ||
        (from_log && !arguments_number(self, "--from-log", from_log, 1, 100000000, &count)) ||
        (verify && !arguments_number(self, "--verify", verify, 1, 100000000, &verify_count)))
        return EXIT_USAGE;
    struct arena run_arena;
    struct settings settings;
    int code;
    arena_init(&run_arena, 65536);
    if (command_settings(path, &run_arena, &settings, &code))
        code = score(&settings, count, verify_count);
    arena_deinit(&run_arena);
    return code;
}

const struct command command_score = {
    .name = "score",
    .arguments = "CONFIG [--from-log N | --verify N]",
    .summary = "scores events with the model in Redis",
    .help =
        "Reads a JSON object a line from standard input, values by the features' names and\n"
        "`domain`, with `time_ms` for streaming rates (now, where it is left out), and writes one\n"
        "with a probability for each task and the model's version.\n"
        "\n"
        "  --from-log N  the newest N impressions of the input topic instead, through ingest's\n"
        "                mapping\n"
        "  --verify N    the newest N examples, scored from Redis and by the trainer's own\n"
        "                checkpoint: prints the largest difference of the probabilities\n"
        "\n"
        "Example: echo '{\"user_id\": 712, \"domain\": \"1\"}' | freshet score "
        "config/kuairand.yaml",
    .run = run_score,
};
