// Tables' figures as JSON and gauges.
#include "trainer/report_tables.h"

#include <inttypes.h>
#include <string.h>

#include "trainer/json.h"

static const char *feature_of(const struct model_spec *spec, size_t table) {
    size_t field = 0;
    while (field + 1 < spec->field_count && spec->fields[field].table != table)
        field++;
    return spec->fields[field].name;
}

static void table_json(const struct learner_table_life *life, const char *feature,
                       struct buffer *into) {
    json_put_string(into, feature, strlen(feature));
    buffer_append_text(into, ",\"rows\":%zu,\"row_bytes\":%zu", life->rows, life->row_bytes);
    if (life->rows_max > 0)
        buffer_append_text(into, ",\"rows_max\":%" PRId64, life->rows_max);
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"admitted", life->admitted},
                  {"unadmitted", life->unadmitted},
                  {"aged", life->aged},
                  {"unused", life->unused},
                  {"displaced", life->displaced}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        buffer_append_text(into, ",\"%s\":%" PRIu64, counts[i].name, counts[i].value);
    buffer_append_byte(into, '}');
}

void report_tables_json(struct learner *learner, struct buffer *into) {
    const struct model_spec *spec = model_spec_of(learner_model(learner));
    bool any = false;
    for (size_t table = 0; table < spec->table_count; table++) {
        struct learner_table_life life = learner_table_life(learner, table);
        if (!life.ruled)
            continue;
        buffer_append_text(into, any ? ",{\"feature\":" : ",\"tables\":[{\"feature\":");
        table_json(&life, feature_of(spec, table), into);
        any = true;
    }
    if (any)
        buffer_append_byte(into, ']');
}

static void change_set(struct metrics *metrics, const char *of, const char *change,
                       uint64_t value) {
    char labels[1200];
    snprintf(labels, sizeof labels, "%s", of);
    metrics_label(labels, sizeof labels, "change", change);
    metric_set(metrics_get(metrics, METRIC_COUNTER, "freshet_trainer_table_changes_total", labels,
                           "Rows that entered a table (admitted) or left it: unused for long "
                           "(aged), used too seldom (unused), for others' room (displaced)."),
               (double)value);
}

static void ruled_gauges(const struct learner_table_life *life, const char *labels,
                         struct metrics *metrics) {
    change_set(metrics, labels, "admitted", life->admitted);
    change_set(metrics, labels, "aged", life->aged);
    change_set(metrics, labels, "unused", life->unused);
    change_set(metrics, labels, "displaced", life->displaced);
    metric_set(metrics_get(metrics, METRIC_COUNTER, "freshet_trainer_unadmitted_sightings_total",
                           labels, "Sightings of ids without a row that admission gave none."),
               (double)life->unadmitted);
    if (life->rows_max > 0)
        metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_table_rows_max", labels,
                               "Rows that the table may have (trainer.learner.tables)."),
                   (double)life->rows_max);
}

void report_tables_gauges(struct learner *learner, struct metrics *metrics) {
    const struct model_spec *spec = model_spec_of(learner_model(learner));
    for (size_t table = 0; table < spec->table_count; table++) {
        struct learner_table_life life = learner_table_life(learner, table);
        char labels[1024] = "";
        metrics_label(labels, sizeof labels, "feature", feature_of(spec, table));
        metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_table_rows", labels,
                               "Rows of the embedding table that the feature reads."),
                   (double)life.rows);
        metric_set(metrics_get(metrics, METRIC_GAUGE, "freshet_trainer_table_bytes", labels,
                               "Bytes that these rows take, with optimiser's state, index and "
                               "marks."),
                   (double)life.rows * (double)life.row_bytes);
        if (life.ruled)
            ruled_gauges(&life, labels, metrics);
    }
}
