// Label policies on conversions that come as late as Criteo's, where the truth is known.
//
// Impressions carry the simulator's truth (simulate/truth.h), which drifts; a conversion comes
// after a delay whose distribution follows what Chapelle (KDD 2014) reports of Criteo's log: 35 %
// within the hour, half within a day, 13 % after two weeks, none after thirty days. How fast
// depends on the item. Each configuration has a join of its own (ingest/join.h) and a trainer that
// folds what comes out: what is measured is the first prediction of each impression against its
// final label, from day 45 on, so that even a window of thirty days has been learnt from. Rows:
//   plain    a negative at once, a positive again, no weights and no correction
//   wait     the label once, when the window of thirty days has closed
//   oracle   the final label at once
// and the policies. Beside the usual measures: predicted over true probability, and the regret, the
// mean of what log loss under the true probabilities exceeds their entropy by, free of the labels'
// noise.
//
// usage: late_labels [IMPRESSIONS [SEEDS [check]]]; `check` ends with 1 where a policy misses its
// purpose.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "compare/contest.h"
#include "config/config.h"
#include "ingest/join.h"
#include "simulate/truth.h"
#include "trainer/trainer.h"

#define DAY_MS INT64_C(86400000)
enum { DAYS = 75, FIRST_MEASURED_DAY = 45, USERS = 1000, ITEMS = 300 };

static const char *const data_text = "features: [{name: user, dimension: 8}, {name: item, "
                                     "dimension: 8}, {name: group, dimension: 4},"
                                     " {name: category, dimension: 4}]\n"
                                     "tasks: [{name: buy, input: conversions, window: 30d%s}]\n";
static const char *const ingest_text =
    "inputs:\n"
    "  - {name: impressions, topic: impressions, role: impression, time: t, key: [k]}\n"
    "  - {name: conversions, topic: conversions, role: feedback, time: t, key: [k]}\n"
    "lateness: 0ms\nstore_memory: 64GiB\nrunner: {order: event_time}\n";
static const char *const model_text =
    "sharing: shared_bottom\nexpert_layers: [32]\ntower_layers: [16]\nwide: true\n";
static const char *const trainer_text =
    "pending_max: 100000000\nmeasure_domains: 1\nmeasure_user_labels: 0\n"
    "learner: {batch_rows: 128, lanes: 2, threads: 1, learning_rate: 0.01, row_learning_rate: "
    "0.05}\n";

struct policy {
    const char *name, *ingest, *trainer; // what `data.tasks[0]` has besides
    bool at_once;
};
static const struct policy policies[] = {
    {"plain", ", labels: fnc", "", false},
    {"wait", "", "", false},
    {"fnw", ", labels: fnw", ", labels: fnw", false},
    {"fnc", ", labels: fnc", ", labels: fnc", false},
    {"es_dfm", ", labels: es_dfm, label_wait: 1h", ", labels: es_dfm, label_wait: 1h", false},
    {"defer", ", labels: defer, label_wait: 1h", ", labels: defer, label_wait: 1h", false},
    {"oracle", "", "", true},
};
enum { POLICIES = sizeof policies / sizeof *policies };

struct shown {
    struct truth_impression at;
    float probability;
    int64_t converts_ms; // event time, or INT64_MAX
};
struct event_at {
    int64_t time_ms;
    size_t impression;
    bool conversion;
};
struct stream {
    struct shown *shown;
    size_t count;
    struct event_at *events;
    size_t event_count;
    struct truth_settings truth;
};
struct run {
    const struct stream *stream;
    struct example_shape shape;
    struct trainer *trainer;
    struct contest *contest;
    struct buffer encoded;
    size_t index;
    uint64_t seed;
    double rows, predicted, expected, regret; // of the measured days
};

static void must(enum status status, const struct error *err) {
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "late_labels: %s\n", err->message);
    exit(2);
}

// Quantiles of the delay, in between on a scale of logarithms.
static int64_t delay_of(double u) {
    static const double shares[] = {0, .35, .5, .87, 1};
    static const double hours[] = {1. / 60, 1, 24, 24 * 14, 24 * 30};
    size_t i = 0;
    while (i < 3 && u > shares[i + 1])
        i++;
    double within = (u - shares[i]) / (shares[i + 1] - shares[i]);
    return (int64_t)(3600000 * hours[i] * pow(hours[i + 1] / hours[i], within));
}

static int event_compare(const void *left, const void *right) {
    const struct event_at *a = left, *b = right;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->conversion != b->conversion)
        return a->conversion ? 1 : -1;
    return a->impression < b->impression ? -1 : a->impression > b->impression;
}

static void stream_make(struct stream *stream, size_t count, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    *stream = (struct stream){.count = count,
                              .truth = {.seed = seed,
                                        .spread = 1.3,
                                        .bias = {-1.6, -1.6},
                                        .drift_period_ms = 400 * DAY_MS,
                                        .groups = 20,
                                        .categories = 30}};
    stream->shown = memory_new(count, sizeof *stream->shown);
    stream->events = memory_new(2 * count, sizeof *stream->events);
    REQUIRE(stream->shown && stream->events);
    for (size_t i = 0; i < count; i++) {
        struct shown *shown = &stream->shown[i];
        shown->at = (struct truth_impression){
            .user = rng_below(&rng, USERS),
            .item = (uint64_t)(ITEMS * pow(rng_uniform(&rng), 2)),
            .event_time_ms =
                DAY_MS + (int64_t)((double)(DAYS * DAY_MS) * (double)i / (double)count)};
        shown->probability = (float)truth_probability(&stream->truth, TRUTH_CONVERSION, &shown->at);
        double item = rng_normal_at(seed, 7, shown->at.item, 0);
        double slow = .5 * (1 + erf((.6 * item + .8 * rng_normal(&rng)) / sqrt(2)));
        bool converts = rng_uniform(&rng) < (double)shown->probability;
        shown->converts_ms = converts ? shown->at.event_time_ms + delay_of(slow) : INT64_MAX;
        stream->events[stream->event_count++] =
            (struct event_at){shown->at.event_time_ms, i, false};
        if (converts)
            stream->events[stream->event_count++] = (struct event_at){shown->converts_ms, i, true};
    }
    qsort(stream->events, stream->event_count, sizeof *stream->events, event_compare);
}

static void measured(void *self, const struct trainer_measured *one) {
    struct run *run = self;
    struct error err;
    struct contest_label label = {
        .unit = hash_mix(one->user + (run->seed << 32)),
        .event_time_ms = one->event_time_ms,
        .of = tally_label_of((double)one->logit, (double)one->label, (double)one->weight)};
    must(contest_add(run->contest, run->index, &label, &err), &err);
    if (one->event_time_ms < (1 + FIRST_MEASURED_DAY) * DAY_MS)
        return;
    double p = (double)run->stream->shown[one->impression].probability;
    double z = (double)one->logit, loss = log1p(exp(-fabs(z))) + (z > 0 ? z : 0) - p * z;
    run->rows++;
    run->predicted += label.of.probability;
    run->expected += p;
    run->regret += loss - tally_entropy(p);
}

static enum status emit(void *self, const struct example *example, int64_t timestamp_ms,
                        struct error *err) {
    struct run *run = self;
    buffer_reset(&run->encoded);
    example_encode(&run->shape, example, &run->encoded);
    struct log_record record = {.timestamp_ms = timestamp_ms,
                                .value = run->encoded.data,
                                .value_length = run->encoded.length};
    return trainer_operations.fold(run->trainer, &record, 1, NULL, err);
}

static struct example columns_of(const struct stream *stream, size_t i, uint64_t *ids) {
    const struct truth_impression *at = &stream->shown[i].at;
    ids[0] = at->user + 1;
    ids[1] = at->item + 1;
    ids[2] = truth_group(&stream->truth, at->user) + 1;
    ids[3] = truth_category(&stream->truth, at->item) + 1;
    return (struct example){.user = at->user + 1,
                            .domain = "",
                            .ids = (const unsigned char *)ids,
                            .numbers = (const unsigned char *)"",
                            .lists = (const unsigned char *)""};
}

static void fold_events(struct run *run, struct join *join) {
    const struct stream *stream = run->stream;
    struct error err;
    for (size_t i = 0; i < stream->event_count; i++) {
        const struct event_at *at = &stream->events[i];
        uint64_t ids[4], key = at->impression;
        struct event event = {.input = at->conversion ? 1 : 0,
                              .impression = !at->conversion,
                              .key = (const unsigned char *)&key,
                              .key_length = sizeof key,
                              .event_time_ms = at->time_ms,
                              .accepted_ms = at->time_ms,
                              .mask = at->conversion ? 1 : 0,
                              .values = {at->conversion ? 1 : 0}};
        event.columns = columns_of(stream, at->impression, ids);
        must(join_event(join, &event, &err), &err);
    }
    must(join_finish(join, &err), &err);
}

static void fold_at_once(struct run *run) {
    const struct stream *stream = run->stream;
    struct error err;
    for (size_t i = 0; i < stream->count; i++) {
        uint64_t ids[4];
        float label = stream->shown[i].converts_ms == INT64_MAX ? 0 : 1;
        struct example example = columns_of(stream, i, ids);
        example.kind = EXAMPLE_SCORE | EXAMPLE_LEARN | EXAMPLE_FINAL | EXAMPLE_LAST;
        example.impression = i;
        example.event_time_ms = stream->shown[i].at.event_time_ms;
        example.mask = 1;
        example.labels = (const unsigned char *)&label;
        must(emit(run, &example, example.event_time_ms, &err), &err);
    }
}

static void parse(const struct option_table *table, const char *text, struct arena *arena,
                  void *settings) {
    struct error err;
    must(config_parse("late_labels", text, strlen(text), table, settings, arena, &err), &err);
}

static void spec_parse(const char *labels, struct arena *arena, struct spec *spec) {
    struct error err;
    char text[1024];
    snprintf(text, sizeof text, data_text, labels);
    parse(&spec_options, text, arena, spec);
    must(spec_check(spec, &err), &err);
}

static void run_policy(struct run *run, const struct policy *policy) {
    struct spec shown = {0}, learnt = {0};
    struct ingest_settings ingest = {0};
    struct model_settings model = {0};
    struct trainer_settings settings = {0};
    struct arena arena;
    struct error err;
    struct store *store = NULL;
    struct join *join = NULL;
    arena_init(&arena, 65536);
    spec_parse(policy->ingest, &arena, &shown);
    spec_parse(policy->trainer, &arena, &learnt);
    parse(&ingest_options, ingest_text, &arena, &ingest);
    parse(&model_options, model_text, &arena, &model);
    parse(&trainer_options, trainer_text, &arena, &settings);
    model.seed = (int64_t)run->seed;
    struct trainer_setup trainer = {.spec = &learnt,
                                    .model = &model,
                                    .settings = &settings,
                                    .inputs = 1,
                                    .measured = measured,
                                    .measured_self = run};
    must(trainer_new(&trainer, &run->trainer, &err), &err);
    run->shape = example_shape_of(&learnt);
    if (policy->at_once) {
        fold_at_once(run);
    } else {
        must(store_open_memory(&store, &err), &err);
        struct join_setup setup = {
            .settings = &ingest, .spec = &shown, .store = store, .emit = emit, .self = run};
        must(join_new(&setup, &join, &err), &err);
        fold_events(run, join);
    }
    must(trainer_flush(run->trainer, &err), &err);
    join_free(join);
    store_close(store);
    trainer_free(run->trainer);
    arena_deinit(&arena);
}

struct line {
    struct contest_result result;
    double calibration, regret; // means over seeds
};

static void lines_print(const struct line *lines, size_t count, size_t seeds) {
    printf(
        "%zu impressions, %zu seeds, measured from day %d of %d; %llu labels, %llu positive.\n\n",
        count, seeds, FIRST_MEASURED_DAY, DAYS, (unsigned long long)lines[0].result.count,
        (unsigned long long)lines[0].result.positives);
    printf("| `labels` | AUC | difference to plain | NE | predicted / true | regret, 1e-3 nats |\n"
           "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < POLICIES; i++) {
        const struct contest_result *result = &lines[i].result;
        printf("| %s | %.4f [%.4f, %.4f] | ", policies[i].name, result->auc.value, result->auc.low,
               result->auc.high);
        if (i == 0)
            printf("| ");
        else
            printf("%+.4f [%+.4f, %+.4f] | ", result->auc_difference.value,
                   result->auc_difference.low, result->auc_difference.high);
        printf("%.4f | %.3f | %.1f |\n", result->entropy.value, lines[i].calibration,
               1000 * lines[i].regret);
    }
}

enum { PLAIN, WAIT, FNW, FNC, ES_DFM, DEFER, ORACLE };

// What each is for: plain underestimates, the others do not, and they are nearer to the truth.
static int lines_check(const struct line *lines) {
    int failed = lines[PLAIN].calibration > .95;
    for (size_t i = FNW; i <= DEFER; i++)
        failed += fabs(lines[i].calibration - 1) > .1 || lines[i].regret > lines[PLAIN].regret;
    failed += lines[ORACLE].regret > lines[FNW].regret || lines[ORACLE].regret > lines[WAIT].regret;
    if (failed > 0)
        fprintf(stderr, "late_labels: %d of the expectations fail\n", failed);
    return failed > 0;
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 200000;
    size_t seeds = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) : 3;
    bool check = argc > 3 && strcmp(argv[3], "check") == 0;
    if (count == 0 || seeds == 0 || argc > 4 || (argc == 4 && !check)) {
        fprintf(stderr, "usage: late_labels [IMPRESSIONS [SEEDS [check]]]\n");
        return 2;
    }
    struct contest_settings settings = {.configs = POLICIES,
                                        .seeds = seeds,
                                        .tasks = 1,
                                        .replicates = check ? 0 : 200,
                                        .split_ms = (1 + FIRST_MEASURED_DAY) * DAY_MS,
                                        .window_ms = DAY_MS};
    struct contest *contest;
    struct error err;
    struct line lines[POLICIES] = {0};
    must(contest_new(&settings, &contest, &err), &err);
    for (size_t seed = 0; seed < seeds; seed++) {
        struct stream stream;
        stream_make(&stream, count, 1 + seed);
        for (size_t i = 0; i < POLICIES; i++) {
            struct run run = {
                .stream = &stream, .contest = contest, .index = i * seeds + seed, .seed = 1 + seed};
            buffer_init(&run.encoded);
            run_policy(&run, &policies[i]);
            buffer_deinit(&run.encoded);
            lines[i].calibration += run.predicted / run.expected / (double)seeds;
            lines[i].regret += run.regret / run.rows / (double)seeds;
        }
        memory_free(stream.shown);
        memory_free(stream.events);
    }
    for (size_t i = 0; i < POLICIES; i++)
        must(contest_result(contest, 1, 0, i, &lines[i].result, &err), &err);
    lines_print(lines, count, seeds);
    contest_free(contest);
    return check ? lines_check(lines) : 0;
}
