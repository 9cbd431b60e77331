// Tallies of predictions against final labels, and the measures made of them.
#include "trainer/evaluate.h"

struct evaluate {
    struct evaluate_settings settings;
    // [task][domains + 1][buckets][1 + windows]; last domain = all, first tally = ever
    struct tally *tallies;
    size_t tally_count;
    bool started;          // newest_window means something
    int64_t newest_window; // event time / window_ms, floored
    struct tally merged;   // scratch for windowed measures
};

static size_t column_count(const struct evaluate_settings *settings) {
    return (settings->domains + 1) * EVALUATE_BUCKETS;
}

static size_t tally_at(const struct evaluate *evaluate, size_t task, size_t column, size_t place) {
    const struct evaluate_settings *settings = &evaluate->settings;
    return (task * column_count(settings) + column) * (1 + settings->windows) + place;
}

// The ring's place of a window: 1 .. windows.
static size_t window_place(const struct evaluate *evaluate, int64_t window) {
    int64_t windows = (int64_t)evaluate->settings.windows;
    return 1 + (size_t)(((window % windows) + windows) % windows);
}

// Floored; times beyond any calendar are held back so that differences of windows fit.
static int64_t window_of(const struct evaluate *evaluate, int64_t event_time_ms) {
    const int64_t limit = INT64_C(1) << 60;
    int64_t length = evaluate->settings.window_ms;
    if (event_time_ms > limit || event_time_ms < -limit)
        event_time_ms = event_time_ms > 0 ? limit : -limit;
    return event_time_ms / length - (event_time_ms % length < 0 ? 1 : 0);
}

enum status evaluate_new(const struct evaluate_settings *settings, struct evaluate **ret_evaluate,
                         struct error *err) {
    REQUIRE(settings->window_ms > 0);
    REQUIRE(settings->windows >= 1);
    struct evaluate *evaluate = memory_new(1, sizeof *evaluate);
    if (evaluate == NULL)
        return error_no_memory(err, sizeof *evaluate, "measures");
    evaluate->settings = *settings;
    evaluate->tally_count = settings->tasks * column_count(settings) * (1 + settings->windows);
    evaluate->tallies = memory_new(evaluate->tally_count, sizeof *evaluate->tallies);
    enum status status = tally_reserve(&evaluate->merged, err);
    if (status == STATUS_OK && evaluate->tallies == NULL)
        status = error_no_memory(err, evaluate->tally_count * sizeof(struct tally), "measures");
    if (status == STATUS_OK)
        *ret_evaluate = evaluate;
    else
        evaluate_free(evaluate);
    return status;
}

void evaluate_free(struct evaluate *evaluate) {
    if (evaluate == NULL)
        return;
    if (evaluate->tallies != NULL)
        for (size_t i = 0; i < evaluate->tally_count; i++)
            tally_deinit(&evaluate->tallies[i]);
    memory_free(evaluate->tallies);
    tally_deinit(&evaluate->merged);
    memory_free(evaluate);
}

// Makes `window` the newest, emptying the places that it and the skipped ones take.
static void window_advance(struct evaluate *evaluate, int64_t window) {
    const struct evaluate_settings *settings = &evaluate->settings;
    int64_t windows = (int64_t)settings->windows;
    int64_t first = evaluate->newest_window + 1;
    if (!evaluate->started || window - evaluate->newest_window > windows)
        first = window - windows + 1;
    for (int64_t w = first; w <= window; w++)
        for (size_t task = 0; task < settings->tasks; task++)
            for (size_t column = 0; column < column_count(settings); column++)
                tally_clear(&evaluate->tallies[tally_at(evaluate, task, column,
                                                        window_place(evaluate, w))]);
    evaluate->started = true;
    evaluate->newest_window = window;
}

// Where a label counts: of all domains and of its own, of every popularity and of its own.
static size_t columns_of(const struct evaluate *evaluate, const struct evaluate_label *label,
                         size_t columns[4]) {
    size_t domains = evaluate->settings.domains, count = 0;
    bool own = label->domain < domains;
    columns[count++] = domains * EVALUATE_BUCKETS + EVALUATE_ANY;
    if (own)
        columns[count++] = label->domain * EVALUATE_BUCKETS + EVALUATE_ANY;
    if (label->bucket != EVALUATE_ANY)
        columns[count++] = domains * EVALUATE_BUCKETS + label->bucket;
    if (own && label->bucket != EVALUATE_ANY)
        columns[count++] = label->domain * EVALUATE_BUCKETS + label->bucket;
    return count;
}

// The popularity buckets of single domains have no windows: that would be memory for little use.
static bool windowed_column(const struct evaluate *evaluate, size_t column) {
    return column % EVALUATE_BUCKETS == EVALUATE_ANY ||
           column / EVALUATE_BUCKETS == evaluate->settings.domains;
}

enum status evaluate_add(struct evaluate *evaluate, const struct evaluate_label *label,
                         struct error *err) {
    const struct evaluate_settings *settings = &evaluate->settings;
    REQUIRE(label->task < settings->tasks && label->bucket < EVALUATE_BUCKETS);
    int64_t window = window_of(evaluate, label->event_time_ms);
    if (!evaluate->started || window > evaluate->newest_window)
        window_advance(evaluate, window);
    bool recent = window > evaluate->newest_window - (int64_t)settings->windows;
    size_t columns[4], count = columns_of(evaluate, label, columns);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = tally_add(&evaluate->tallies[tally_at(evaluate, label->task, columns[i], 0)],
                           &label->of, err);
        if (status == STATUS_OK && recent && windowed_column(evaluate, columns[i]))
            status = tally_add(&evaluate->tallies[tally_at(evaluate, label->task, columns[i],
                                                           window_place(evaluate, window))],
                               &label->of, err);
    }
    return status;
}

static size_t column_of(const struct evaluate *evaluate, uint32_t domain,
                        enum evaluate_bucket bucket) {
    size_t row = domain == EVALUATE_ALL ? evaluate->settings.domains : domain;
    REQUIRE(row <= evaluate->settings.domains);
    return row * EVALUATE_BUCKETS + bucket;
}

const struct tally *evaluate_ever(const struct evaluate *evaluate, size_t task) {
    return &evaluate->tallies[tally_at(evaluate, task,
                                       column_of(evaluate, EVALUATE_ALL, EVALUATE_ANY), 0)];
}

void evaluate_measure(struct evaluate *evaluate, size_t task, uint32_t domain,
                      enum evaluate_bucket bucket, bool windowed,
                      struct evaluate_measures *ret_measures) {
    const struct evaluate_settings *settings = &evaluate->settings;
    REQUIRE(task < settings->tasks);
    size_t column = column_of(evaluate, domain, bucket);
    const struct tally *tally = &evaluate->tallies[tally_at(evaluate, task, column, 0)];
    if (windowed) {
        tally_clear(&evaluate->merged);
        for (size_t i = 0; evaluate->started && i < settings->windows; i++) {
            int64_t window = evaluate->newest_window - (int64_t)(settings->windows - 1 - i);
            size_t place = window_place(evaluate, window);
            tally_merge(&evaluate->merged,
                        &evaluate->tallies[tally_at(evaluate, task, column, place)]);
        }
        tally = &evaluate->merged;
    }
    *ret_measures = tally_measures(tally);
}

void evaluate_save(const struct evaluate *evaluate, struct buffer *into) {
    const struct evaluate_settings *settings = &evaluate->settings;
    wire_put_long(into, (int64_t)settings->tasks);
    wire_put_long(into, (int64_t)settings->domains);
    wire_put_long(into, settings->window_ms);
    wire_put_long(into, (int64_t)settings->windows);
    wire_put_long(into, evaluate->started ? 1 : 0);
    wire_put_long(into, evaluate->newest_window);
    size_t filled = 0;
    for (size_t i = 0; i < evaluate->tally_count; i++)
        filled += evaluate->tallies[i].count > 0 ? 1 : 0;
    wire_put_long(into, (int64_t)filled);
    for (size_t i = 0; i < evaluate->tally_count; i++) {
        if (evaluate->tallies[i].count > 0) {
            wire_put_long(into, (int64_t)i);
            tally_save(&evaluate->tallies[i], into);
        }
    }
}

enum status evaluate_load(struct evaluate *evaluate, struct wire *in, struct error *err) {
    const struct evaluate_settings *settings = &evaluate->settings;
    bool same = wire_get_long(in) == (int64_t)settings->tasks;
    same &= wire_get_long(in) == (int64_t)settings->domains;
    same &= wire_get_long(in) == settings->window_ms;
    same &= wire_get_long(in) == (int64_t)settings->windows;
    if (!in->bad && !same)
        return error_set(err, STATUS_CHANGED,
                         "could not read the measures: saved with other tasks, domains or windows");
    evaluate->started = wire_get_long(in) != 0;
    evaluate->newest_window = wire_get_long(in);
    int64_t filled = wire_get_long(in);
    for (int64_t i = 0; i < filled && !in->bad; i++) {
        int64_t at = wire_get_long(in);
        if (in->bad || at < 0 || (size_t)at >= evaluate->tally_count) {
            in->bad = true;
            break;
        }
        enum status status = tally_load(&evaluate->tallies[at], in, err);
        if (status != STATUS_OK)
            return status;
    }
    if (in->bad || filled < 0)
        return error_set(err, STATUS_CORRUPT, "could not read the measures: malformed");
    return STATUS_OK;
}
