// One label to all that measure.
#include "trainer/measure.h"

#include <math.h>

struct measure {
    struct measure_settings settings;
    struct evaluate *evaluate;
    struct popularity *popularity; // NULL without buckets
    struct user_auc **users;       // [tasks]; NULL where not measured
    struct drift *drift;           // [tasks]
};

enum status measure_new(const struct measure_settings *settings, struct measure **ret_measure,
                        struct error *err) {
    size_t tasks = settings->evaluate.tasks;
    struct measure *measure = memory_new(1, sizeof *measure);
    if (!measure)
        return error_no_memory(err, sizeof *measure, "measures");
    measure->settings = *settings;
    measure->users = memory_new(tasks, sizeof(struct user_auc *));
    measure->drift = memory_new(tasks, sizeof *measure->drift);
    enum status status = measure->users && measure->drift
                             ? evaluate_new(&settings->evaluate, &measure->evaluate, err)
                             : error_no_memory(err, tasks * sizeof *measure->drift, "measures");
    if (status == STATUS_OK && settings->popularity.feature[0])
        status = popularity_new(&settings->popularity, &measure->popularity, err);
    for (size_t task = 0; task < tasks && settings->user_labels > 0 && status == STATUS_OK; task++)
        status = user_auc_new(settings->user_labels, &measure->users[task], err);
    if (status == STATUS_OK)
        *ret_measure = measure;
    else
        measure_free(measure);
    return status;
}

void measure_free(struct measure *measure) {
    if (!measure)
        return;
    for (size_t task = 0; measure->users && task < measure->settings.evaluate.tasks; task++)
        user_auc_free(measure->users[task]);
    memory_free(measure->users);
    memory_free(measure->drift);
    popularity_free(measure->popularity);
    evaluate_free(measure->evaluate);
    memory_free(measure);
}

enum evaluate_bucket measure_see(struct measure *measure, uint64_t id) {
    return measure->popularity ? popularity_see(measure->popularity, id) : EVALUATE_ANY;
}

enum status measure_add(struct measure *measure, const struct measure_label *label,
                        struct error *err) {
    struct evaluate_label one = {
        .task = label->task,
        .domain = label->domain,
        .bucket = label->bucket,
        .event_time_ms = label->event_time_ms,
        .of = tally_label_of((double)label->logit, (double)label->label, (double)label->weight)};
    const struct tally *ever = evaluate_ever(measure->evaluate, label->task);
    double entropy = ever->weight > 0 ? tally_entropy(ever->observed / ever->weight) : 0;
    drift_add(&measure->drift[label->task], &measure->settings.drift, one.of.probability,
              one.of.label, one.of.weight, one.of.loss, entropy);
    if (measure->users[label->task])
        user_auc_add(measure->users[label->task], label->user, label->logit, one.of.positive);
    return evaluate_add(measure->evaluate, &one, err);
}

struct evaluate *measure_evaluate(const struct measure *measure) {
    return measure->evaluate;
}

struct user_auc_measures measure_users(const struct measure *measure, size_t task) {
    if (measure->users[task])
        return user_auc_measure(measure->users[task]);
    return (struct user_auc_measures){.auc = (double)NAN, .error = (double)NAN};
}

const struct drift *measure_drift(const struct measure *measure, size_t task) {
    return &measure->drift[task];
}

void measure_save(const struct measure *measure, struct buffer *into) {
    evaluate_save(measure->evaluate, into);
    wire_put_long(into, measure->popularity ? 1 : 0);
    if (measure->popularity)
        popularity_save(measure->popularity, into);
    for (size_t task = 0; task < measure->settings.evaluate.tasks; task++) {
        drift_save(&measure->drift[task], into);
        wire_put_long(into, measure->users[task] ? 1 : 0);
        if (measure->users[task])
            user_auc_save(measure->users[task], into);
    }
}

static enum status settings_differ(struct error *err) {
    return error_set(err, STATUS_CHANGED,
                     "could not read the measures: saved with other `trainer.popularity` or "
                     "`trainer.measure_user_labels`");
}

enum status measure_load(struct measure *measure, struct wire *in, struct error *err) {
    enum status status = evaluate_load(measure->evaluate, in, err);
    if (status == STATUS_OK && (wire_get_long(in) != 0) != (measure->popularity != NULL))
        return settings_differ(err);
    if (status == STATUS_OK && measure->popularity)
        status = popularity_load(measure->popularity, in, err);
    for (size_t task = 0; task < measure->settings.evaluate.tasks && status == STATUS_OK; task++) {
        drift_load(&measure->drift[task], in);
        if (in->bad)
            return error_set(err, STATUS_CORRUPT, "could not read the measures: malformed");
        if ((wire_get_long(in) != 0) != (measure->users[task] != NULL))
            return settings_differ(err);
        if (measure->users[task])
            status = user_auc_load(measure->users[task], in, err);
    }
    return status;
}
