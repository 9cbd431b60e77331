// Sums under every replicate's weights lie side by side, so that one label is one pass over a row.
#include "compare/contest.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

enum { BINS = 1024, WINDOWS_MAX = 4096 }; // bins of 1/32 in log-odds: for spreads, not for values

struct replicates {
    float *bins;                      // [2][BINS][replicates]: weights of negatives, of positives
    double *loss, *weight, *observed; // [replicates]
};
struct window {
    int64_t number; // event time / window_ms, floored
    struct tally tally;
};
struct windows {
    struct window *items; // ascending
    size_t count, capacity;
};
struct run {
    struct tally *tallies;         // [parts][tasks]
    struct replicates *replicates; // [parts][tasks]
    struct windows *windows;       // [tasks]
    uint64_t drawn_unit;           // whose weights are in `draws`
    bool drawn;
    float *draws; // [replicates]
};
struct contest {
    struct contest_settings settings;
    struct run *runs;
    size_t run_count;
};

static enum status run_init(const struct contest *contest, struct run *run, struct error *err) {
    size_t tasks = contest->settings.tasks, replicates = contest->settings.replicates;
    run->tallies = memory_new(CONTEST_PARTS * tasks, sizeof *run->tallies);
    run->replicates = memory_new(CONTEST_PARTS * tasks, sizeof *run->replicates);
    run->windows = memory_new(tasks, sizeof *run->windows);
    run->draws = memory_new(replicates + 1, sizeof *run->draws);
    if (!run->tallies || !run->replicates || !run->windows || !run->draws)
        return error_no_memory(err, tasks * sizeof *run->tallies, "a comparison");
    return STATUS_OK;
}

enum status contest_new(const struct contest_settings *settings, struct contest **ret_contest,
                        struct error *err) {
    REQUIRE(settings->configs > 0 && settings->seeds > 0 && settings->tasks > 0 &&
            settings->window_ms > 0);
    struct contest *contest = memory_new(1, sizeof *contest);
    if (!contest)
        return error_no_memory(err, sizeof *contest, "a comparison");
    contest->settings = *settings;
    contest->run_count = settings->configs * settings->seeds;
    contest->runs = memory_new(contest->run_count, sizeof *contest->runs);
    enum status status =
        contest->runs ? STATUS_OK
                      : error_no_memory(err, contest->run_count * sizeof(struct run), "runs");
    for (size_t r = 0; status == STATUS_OK && r < contest->run_count; r++)
        status = run_init(contest, &contest->runs[r], err);
    if (status == STATUS_OK)
        *ret_contest = contest;
    else
        contest_free(contest);
    return status;
}

static void run_deinit(const struct contest *contest, struct run *run) {
    size_t tasks = contest->settings.tasks;
    for (size_t i = 0; i < CONTEST_PARTS * tasks; i++) {
        if (run->tallies)
            tally_deinit(&run->tallies[i]);
        if (run->replicates) {
            memory_free(run->replicates[i].bins);
            memory_free(run->replicates[i].loss);
            memory_free(run->replicates[i].weight);
            memory_free(run->replicates[i].observed);
        }
    }
    for (size_t task = 0; run->windows && task < tasks; task++) {
        for (size_t i = 0; i < run->windows[task].count; i++)
            tally_deinit(&run->windows[task].items[i].tally);
        memory_free(run->windows[task].items);
    }
    memory_free(run->tallies);
    memory_free(run->replicates);
    memory_free(run->windows);
    memory_free(run->draws);
}

void contest_free(struct contest *contest) {
    if (!contest)
        return;
    for (size_t r = 0; contest->runs && r < contest->run_count; r++)
        run_deinit(contest, &contest->runs[r]);
    memory_free(contest->runs);
    memory_free(contest);
}

const struct contest_settings *contest_settings_of(const struct contest *contest) {
    return &contest->settings;
}

unsigned contest_draw(uint64_t unit, size_t replicate) {
    double uniform = (double)(hash_mix(unit ^ hash_mix(replicate + 1)) >> 11) * 0x1p-53;
    double probability = exp(-1.0), below = probability;
    unsigned draw = 0;
    while (uniform >= below && draw < 9) {
        draw++;
        probability /= draw;
        below += probability;
    }
    return draw;
}

static enum status replicates_make(struct replicates *into, size_t count, struct error *err) {
    if (into->bins)
        return STATUS_OK;
    into->bins = memory_new(2 * BINS * count, sizeof *into->bins);
    into->loss = memory_new(count, sizeof *into->loss);
    into->weight = memory_new(count, sizeof *into->weight);
    into->observed = memory_new(count, sizeof *into->observed);
    if (!into->bins || !into->loss || !into->weight || !into->observed)
        return error_no_memory(err, 2 * BINS * count * sizeof *into->bins, "replicates");
    return STATUS_OK;
}

static void replicates_add(const struct contest *contest, struct run *run, struct replicates *into,
                           const struct contest_label *label) {
    size_t count = contest->settings.replicates;
    if (!run->drawn || run->drawn_unit != label->unit)
        for (size_t r = 0; r < count; r++)
            run->draws[r] = (float)contest_draw(label->unit, r);
    run->drawn = true;
    run->drawn_unit = label->unit;
    double at = (label->of.logit + TALLY_LOGIT_MAX) * (BINS / (2 * TALLY_LOGIT_MAX));
    size_t bin = at < 0 ? 0 : at >= BINS ? BINS - 1 : (size_t)at;
    float *bins = into->bins + ((label->of.positive ? BINS : 0) + bin) * count;
    float weight = (float)label->of.weight;
    for (size_t r = 0; r < count; r++)
        bins[r] += weight * run->draws[r];
    for (size_t r = 0; r < count; r++) {
        double share = label->of.weight * (double)run->draws[r];
        into->loss[r] += share * label->of.loss;
        into->weight[r] += share;
        into->observed[r] += share * label->of.label;
    }
}

// The window's tally, made where it is not there; windows come mostly in order.
static enum status window_find(struct windows *windows, int64_t number, struct tally **ret_tally,
                               struct error *err) {
    size_t at = windows->count;
    while (at > 0 && windows->items[at - 1].number > number)
        at--;
    if (at > 0 && windows->items[at - 1].number == number) {
        *ret_tally = &windows->items[at - 1].tally;
        return STATUS_OK;
    }
    if (windows->count == WINDOWS_MAX)
        return error_set(err, STATUS_EXHAUSTED,
                         "could not keep AUC over time: there are more than %d windows; choose "
                         "longer ones",
                         WINDOWS_MAX);
    if (windows->count == windows->capacity) {
        size_t capacity = windows->capacity ? 2 * windows->capacity : 32;
        struct window *items =
            memory_resize(windows->items, windows->capacity, capacity, sizeof *items);
        if (!items)
            return error_no_memory(err, capacity * sizeof *items, "windows");
        windows->items = items;
        windows->capacity = capacity;
    }
    memmove(&windows->items[at + 1], &windows->items[at],
            (windows->count - at) * sizeof *windows->items);
    windows->items[at] = (struct window){.number = number};
    windows->count++;
    *ret_tally = &windows->items[at].tally;
    return STATUS_OK;
}

enum status contest_add(struct contest *contest, size_t run_index,
                        const struct contest_label *label, struct error *err) {
    const struct contest_settings *settings = &contest->settings;
    REQUIRE(run_index < contest->run_count && label->task < settings->tasks);
    struct run *run = &contest->runs[run_index];
    size_t part = label->event_time_ms >= settings->split_ms ? 1 : 0;
    size_t at = part * settings->tasks + label->task;
    int64_t length = settings->window_ms, time = label->event_time_ms;
    struct tally *window = NULL;
    enum status status = tally_add(&run->tallies[at], &label->of, err);
    if (status == STATUS_OK && settings->replicates > 0)
        status = replicates_make(&run->replicates[at], settings->replicates, err);
    if (status == STATUS_OK && settings->replicates > 0)
        replicates_add(contest, run, &run->replicates[at], label);
    if (status == STATUS_OK)
        status = window_find(&run->windows[label->task],
                             time / length - (time % length < 0 ? 1 : 0), &window, err);
    return status == STATUS_OK ? tally_add(window, &label->of, err) : status;
}

// ---- results ------------------------------------------------------------------------------------

// Adds each replicate's AUC and normalised entropy, over `seeds`, to the sums.
static void replicates_measure(const struct replicates *from, size_t count, double seeds,
                               double *scratch /* [3][count] */, double *auc, double *entropy) {
    double *below = scratch, *positives = scratch + count, *pairs = scratch + 2 * count;
    memset(scratch, 0, 3 * count * sizeof *scratch);
    for (size_t bin = 0; bin < BINS; bin++) {
        const float *negative = from->bins + bin * count;
        const float *positive = from->bins + (BINS + bin) * count;
        for (size_t r = 0; r < count; r++) {
            pairs[r] += (double)positive[r] * (below[r] + (double)negative[r] / 2);
            below[r] += (double)negative[r];
            positives[r] += (double)positive[r];
        }
    }
    for (size_t r = 0; r < count; r++) {
        double base = from->weight[r] > 0 ? tally_entropy(from->observed[r] / from->weight[r]) : 0;
        auc[r] += pairs[r] / (below[r] * positives[r]) / seeds; // 0 / 0 is NaN: no value
        entropy[r] += base > 0 ? from->loss[r] / from->weight[r] / base / seeds : (double)NAN;
    }
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

// The 2.5 and 97.5 percentiles of those that have a value, interpolated.
static void interval(double *values, size_t count, struct contest_value *into) {
    size_t kept = 0;
    for (size_t r = 0; r < count; r++)
        if (isfinite(values[r]))
            values[kept++] = values[r];
    into->low = into->high = (double)NAN;
    if (kept < 2)
        return;
    qsort(values, kept, sizeof *values, ascending);
    double at[2] = {.025 * (double)(kept - 1), .975 * (double)(kept - 1)}, found[2];
    for (size_t i = 0; i < 2; i++) {
        size_t k = (size_t)at[i];
        double next = k + 1 < kept ? values[k + 1] : values[k];
        found[i] = values[k] + (at[i] - (double)k) * (next - values[k]);
    }
    into->low = found[0];
    into->high = found[1];
}

// Means over seeds, without intervals.
static void values_measure(const struct contest *contest, size_t at, size_t config,
                           struct contest_result *result) {
    size_t seeds = contest->settings.seeds;
    double squares = 0;
    for (size_t seed = 0; seed < seeds; seed++) {
        struct evaluate_measures measures =
            tally_measures(&contest->runs[config * seeds + seed].tallies[at]);
        result->count = measures.count;
        result->positives = measures.positives;
        result->auc.value += measures.auc / (double)seeds;
        result->entropy.value += measures.normalised_entropy / (double)seeds;
        result->calibration += measures.calibration / (double)seeds;
    }
    for (size_t seed = 0; seed < seeds; seed++) {
        double away = tally_measures(&contest->runs[config * seeds + seed].tallies[at]).auc -
                      result->auc.value;
        squares += away * away;
    }
    result->auc_spread = seeds > 1 ? sqrt(squares / (double)(seeds - 1)) : (double)NAN;
}

// [2][replicates]: AUC and entropy of the configuration's replicates, means over seeds.
static void config_replicates(const struct contest *contest, size_t at, size_t config,
                              double *scratch, double *values) {
    size_t seeds = contest->settings.seeds, count = contest->settings.replicates;
    memset(values, 0, 2 * count * sizeof *values);
    for (size_t seed = 0; seed < seeds; seed++) {
        const struct replicates *from = &contest->runs[config * seeds + seed].replicates[at];
        if (from->bins)
            replicates_measure(from, count, (double)seeds, scratch, values, values + count);
        else
            for (size_t i = 0; i < 2 * count; i++)
                values[i] = (double)NAN;
    }
}

enum status contest_result(const struct contest *contest, size_t part, size_t task, size_t config,
                           struct contest_result *ret_result, struct error *err) {
    const struct contest_settings *settings = &contest->settings;
    REQUIRE(part < CONTEST_PARTS && task < settings->tasks && config < settings->configs);
    size_t at = part * settings->tasks + task, count = settings->replicates;
    struct contest_result result = {0}, first = {0};
    values_measure(contest, at, config, &result);
    values_measure(contest, at, 0, &first);
    result.auc_difference.value = result.auc.value - first.auc.value;
    result.entropy_difference.value = result.entropy.value - first.entropy.value;
    double *memory = memory_new(7 * count + 1, sizeof *memory);
    if (!memory)
        return error_no_memory(err, 7 * count * sizeof *memory, "intervals");
    double *own = memory + 3 * count, *other = memory + 5 * count;
    config_replicates(contest, at, config, memory, own);
    config_replicates(contest, at, 0, memory, other);
    for (size_t i = 0; i < 2 * count; i++)
        other[i] = own[i] - other[i];
    interval(own, count, &result.auc);
    interval(own + count, count, &result.entropy);
    interval(other, count, &result.auc_difference);
    interval(other + count, count, &result.entropy_difference);
    memory_free(memory);
    *ret_result = result;
    return STATUS_OK;
}

// All runs measure the same labels, so the first one's windows are everybody's; of its tasks, the
// one with the most.
static const struct windows *windows_longest(const struct contest *contest) {
    const struct windows *longest = contest->runs[0].windows;
    for (size_t task = 1; task < contest->settings.tasks; task++)
        if (contest->runs[0].windows[task].count > longest->count)
            longest = &contest->runs[0].windows[task];
    return longest;
}

size_t contest_window_count(const struct contest *contest) {
    return windows_longest(contest)->count;
}

int64_t contest_window_begin(const struct contest *contest, size_t index) {
    const struct windows *windows = windows_longest(contest);
    REQUIRE(index < windows->count);
    return windows->items[index].number * contest->settings.window_ms;
}

double contest_window_auc(const struct contest *contest, size_t task, size_t config, size_t index) {
    size_t seeds = contest->settings.seeds;
    int64_t number = windows_longest(contest)->items[index].number;
    double sum = 0;
    for (size_t seed = 0; seed < seeds; seed++) {
        const struct windows *windows = &contest->runs[config * seeds + seed].windows[task];
        size_t i = 0;
        while (i < windows->count && windows->items[i].number != number)
            i++;
        sum += i < windows->count ? tally_measures(&windows->items[i].tally).auc : (double)NAN;
    }
    return sum / (double)seeds;
}

size_t contest_chosen(const struct contest *contest) {
    double best = -1;
    size_t chosen = 0;
    for (size_t config = 0; config < contest->settings.configs; config++) {
        double sum = 0;
        for (size_t task = 0; task < contest->settings.tasks; task++) {
            struct contest_result result = {0};
            values_measure(contest, task, config, &result);
            sum += isfinite(result.auc.value) ? result.auc.value : 0.5;
        }
        if (sum > best) {
            best = sum;
            chosen = config;
        }
    }
    return chosen;
}
