// The table, CSV and JSON of a contest.
#include "compare/output.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *part_name(const struct contest *contest, size_t part) {
    static const char *const names[CONTEST_PARTS] = {"chosen-on", "reported-on"};
    return contest_settings_of(contest)->split_ms == CONTEST_NO_SPLIT ? "all" : names[part];
}

static size_t part_count(const struct contest *contest) {
    return contest_settings_of(contest)->split_ms == CONTEST_NO_SPLIT ? 1 : CONTEST_PARTS;
}

// Calls for every part, task and configuration, in this order.
static enum status each_result(const struct contest *contest,
                               void (*each)(void *self, size_t part, size_t task, size_t config,
                                            const struct contest_result *result),
                               void *self, struct error *err) {
    const struct contest_settings *settings = contest_settings_of(contest);
    for (size_t part = 0; part < part_count(contest); part++) {
        for (size_t task = 0; task < settings->tasks; task++) {
            for (size_t config = 0; config < settings->configs; config++) {
                struct contest_result result;
                enum status status = contest_result(contest, part, task, config, &result, err);
                if (status != STATUS_OK)
                    return status;
                each(self, part, task, config, &result);
            }
        }
    }
    return STATUS_OK;
}

// ---- the table ----------------------------------------------------------------------------------

struct table {
    const struct contest *contest;
    const struct output_names *names;
    FILE *stream;
};

static void difference_print(FILE *stream, const struct contest_value *value) {
    if (isfinite(value->low))
        fprintf(stream, "  %+.4f [%+.4f, %+.4f]", value->value, value->low, value->high);
    else
        fprintf(stream, "  %+.4f%20s", value->value, "");
}

static void table_line(void *self, size_t part, size_t task, size_t config,
                       const struct contest_result *result) {
    const struct table *table = self;
    FILE *stream = table->stream;
    if (config == 0)
        fprintf(stream,
                "\n%s, %s: %" PRIu64 " labels, %" PRIu64
                " positives\n%-24s %6s  %-16s %8s %8s %8s  %-27s  %s\n",
                table->names->tasks[task], part_name(table->contest, part), result->count,
                result->positives, "", "AUC", "95 %", "seeds +-", "NE", "pred/obs",
                "AUC - first [95 %]", "NE - first [95 %]");
    fprintf(stream, "%-24s %.4f", table->names->configs[config], result->auc.value);
    if (isfinite(result->auc.low))
        fprintf(stream, "  [%.4f, %.4f]", result->auc.low, result->auc.high);
    else
        fprintf(stream, "  %-16s", "");
    if (isfinite(result->auc_spread))
        fprintf(stream, " %8.4f", result->auc_spread);
    else
        fprintf(stream, " %8s", "-");
    fprintf(stream, " %8.4f %8.3f", result->entropy.value, result->calibration);
    if (config > 0) {
        difference_print(stream, &result->auc_difference);
        difference_print(stream, &result->entropy_difference);
    }
    fputc('\n', stream);
}

enum status output_table(const struct contest *contest, const struct output_names *names,
                         FILE *stream, struct error *err) {
    const struct contest_settings *settings = contest_settings_of(contest);
    struct table table = {contest, names, stream};
    enum status status = each_result(contest, table_line, &table, err);
    if (status != STATUS_OK)
        return status;
    fprintf(stream, "\n%" PRIu64 " records\n", names->records);
    for (size_t config = 0; config < settings->configs; config++)
        fprintf(stream, "%-24s %8.2f s, %.0f records/s a thread\n", names->configs[config],
                names->seconds[config],
                names->seconds[config] > 0 ? (double)names->records / names->seconds[config] : 0);
    if (settings->configs > 1 && part_count(contest) > 1)
        fprintf(stream, "chosen on the first part: %s\n", names->configs[contest_chosen(contest)]);
    return STATUS_OK;
}

// ---- CSV and JSON -------------------------------------------------------------------------------

struct text {
    const struct contest *contest;
    const struct output_names *names;
    struct buffer *into;
    bool json, begun;
};

// Names of files and tasks, which hold no control characters.
static void quoted(struct buffer *into, const char *text, bool json) {
    buffer_append_byte(into, '"');
    for (; *text; text++) {
        if (*text == '"' || (json && *text == '\\'))
            buffer_append_byte(into, json ? '\\' : '"');
        buffer_append_byte(into, (unsigned char)*text);
    }
    buffer_append_byte(into, '"');
}

static void number(struct buffer *into, bool json, double value) {
    if (isfinite(value))
        buffer_append_text(into, "%.9g", value);
    else if (json)
        buffer_append_text(into, "null");
}

static void named_value(struct text *text, const char *name, const struct contest_value *value) {
    const struct {
        const char *suffix;
        double value;
    } parts[] = {{"value", value->value}, {"low", value->low}, {"high", value->high}};
    buffer_append_text(text->into, text->json ? ",\"%s\":{" : "", name);
    for (size_t i = 0; i < 3; i++) {
        if (text->json)
            buffer_append_text(text->into, "%s\"%s\":", i ? "," : "", parts[i].suffix);
        else
            buffer_append_byte(text->into, ',');
        number(text->into, text->json, parts[i].value);
    }
    if (text->json)
        buffer_append_byte(text->into, '}');
}

static void named_number(struct text *text, const char *name, double value) {
    if (text->json)
        buffer_append_text(text->into, ",\"%s\":", name);
    else
        buffer_append_byte(text->into, ',');
    number(text->into, text->json, value);
}

static void text_line(void *self, size_t part, size_t task, size_t config,
                      const struct contest_result *result) {
    struct text *text = self;
    struct buffer *into = text->into;
    buffer_append_text(into, text->json ? "%s{\"part\":" : "", text->begun ? "," : "");
    quoted(into, part_name(text->contest, part), text->json);
    buffer_append_text(into, text->json ? ",\"task\":" : ",");
    quoted(into, text->names->tasks[task], text->json);
    buffer_append_text(into, text->json ? ",\"config\":" : ",");
    quoted(into, text->names->configs[config], text->json);
    named_number(text, "labels", (double)result->count);
    named_number(text, "positives", (double)result->positives);
    named_value(text, "auc", &result->auc);
    named_number(text, "auc_spread", result->auc_spread);
    named_value(text, "normalised_entropy", &result->entropy);
    named_number(text, "calibration", result->calibration);
    named_value(text, "auc_difference", &result->auc_difference);
    named_value(text, "normalised_entropy_difference", &result->entropy_difference);
    buffer_append_byte(into, text->json ? '}' : '\n');
    text->begun = true;
}

enum status output_csv(const struct contest *contest, const struct output_names *names,
                       struct buffer *into, struct error *err) {
    struct text text = {.contest = contest, .names = names, .into = into};
    buffer_append_text(into, "part,task,config,labels,positives,auc,auc_low,auc_high,auc_spread,"
                             "ne,ne_low,ne_high,calibration,auc_difference,auc_difference_low,"
                             "auc_difference_high,ne_difference,ne_difference_low,"
                             "ne_difference_high\n");
    return each_result(contest, text_line, &text, err);
}

static void windows_json(const struct contest *contest, const struct output_names *names,
                         struct buffer *into) {
    const struct contest_settings *settings = contest_settings_of(contest);
    for (size_t i = 0; i < contest_window_count(contest); i++) {
        for (size_t task = 0; task < settings->tasks; task++) {
            buffer_append_text(into, "%s{\"begin_ms\":%" PRId64 ",\"task\":", i + task ? "," : "",
                               contest_window_begin(contest, i));
            quoted(into, names->tasks[task], true);
            buffer_append_text(into, ",\"auc\":[");
            for (size_t config = 0; config < settings->configs; config++) {
                buffer_append_text(into, "%s", config ? "," : "");
                number(into, true, contest_window_auc(contest, task, config, i));
            }
            buffer_append_text(into, "]}");
        }
    }
}

enum status output_json(const struct contest *contest, const struct output_names *names,
                        struct buffer *into, struct error *err) {
    const struct contest_settings *settings = contest_settings_of(contest);
    struct text text = {.contest = contest, .names = names, .into = into, .json = true};
    buffer_append_text(into, "{\"records\":%" PRIu64 ",\"configs\":[", names->records);
    for (size_t config = 0; config < settings->configs; config++) {
        buffer_append_text(into, "%s{\"config\":", config ? "," : "");
        quoted(into, names->configs[config], true);
        buffer_append_text(into, ",\"seconds\":");
        number(into, true, names->seconds[config]);
        buffer_append_byte(into, '}');
    }
    buffer_append_text(into, "],\"results\":[");
    enum status status = each_result(contest, text_line, &text, err);
    buffer_append_text(into, "],\"windows\":[");
    windows_json(contest, names, into);
    buffer_append_text(into, "]}\n");
    return status;
}
