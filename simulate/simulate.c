// Draws impressions and their feedback and writes them with their dirt.
#include "simulate/simulate.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "base/wire.h"
#include "simulate/feedback.h"
#include "simulate/output.h"
#include "simulate/schedule.h"
#include "simulate/truth.h"

struct zipf { // cumulative shares of ranks
    double *upto;
    size_t count;
};

struct run {
    const struct simulate_settings *settings;
    struct truth_settings truth;
    struct rng rng;
    struct zipf users, items, domains;
    struct schedule schedule;
    struct output output;
    struct buffer value;
    struct truth_case *clicks, *conversions;
    size_t click_cases, conversion_cases;
    struct simulate_account account;
};

static enum status zipf_init(struct zipf *zipf, int64_t count, double exponent, struct error *err) {
    double sum = 0;
    zipf->count = (size_t)count;
    zipf->upto = memory_new(zipf->count, sizeof(double));
    if (zipf->upto == NULL)
        return error_no_memory(err, zipf->count * sizeof(double), "popularities");
    for (size_t i = 0; i < zipf->count; i++)
        zipf->upto[i] = sum += pow((double)i + 1, -exponent);
    return STATUS_OK;
}

static uint64_t zipf_draw(const struct zipf *zipf, struct rng *rng) {
    double at = rng_uniform(rng) * zipf->upto[zipf->count - 1];
    size_t low = 0;
    size_t high = zipf->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zipf->upto[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

// Draws the same number of random values whatever the share is, so that dirt leaves the clean
// stream as it is.
static bool drawn(struct run *run, double share) {
    return rng_uniform(&run->rng) < share;
}

static void pair_put(struct buffer *into, const char *key, char prefix, uint64_t number) {
    char text[32];
    snprintf(text, sizeof(text), "%c%llu", prefix, (unsigned long long)number);
    wire_put_string(into, key);
    wire_put_string(into, text);
}

static void text_put(struct buffer *into, char prefix, uint64_t number) {
    char text[32];
    snprintf(text, sizeof(text), "%c%llu", prefix, (unsigned long long)number);
    wire_put_string(into, text);
}

static void impression_encode(struct run *run, const char *id, const struct truth_impression *at,
                              int64_t time_ms, double quality) {
    struct buffer *into = &run->value;
    buffer_reset(into);
    wire_put_string(into, id);
    wire_put_long(into, time_ms);
    text_put(into, 'u', at->user);
    text_put(into, 'i', at->item);
    text_put(into, 'd', at->domain);
    wire_put_long(into, 3);
    pair_put(into, "group", 'g', truth_group(&run->truth, at->user));
    pair_put(into, "category", 'c', truth_category(&run->truth, at->item));
    pair_put(into, "hour", 'h', (uint64_t)(at->event_time_ms / 3600000 % 24));
    wire_put_long(into, 0);
    wire_put_long(into, 1);
    wire_put_string(into, "quality");
    wire_put_double(into, quality);
    wire_put_long(into, 0);
}

static enum status value_write(struct run *run, enum output_topic topic, int64_t received_ms,
                               const char *id, size_t length, struct error *err) {
    if (run->value.failed)
        return error_no_memory(err, run->value.length, "an event");
    return output_put(&run->output, topic, received_ms, id, strlen(id), run->value.data, length,
                      err);
}

enum { CLEAN, DUPLICATE, CUT, NOT_A_NUMBER, TEN_YEARS_AHEAD };

// One record of an impression; the dirty forms carry ids of their own, but for duplicates.
static enum status impression_write(struct run *run, uint64_t number,
                                    const struct truth_impression *at, int form,
                                    struct error *err) {
    static const char *const prefixes[] = {"p", "p", "cut", "nan", "far"};
    char id[48];
    int64_t time_ms = at->event_time_ms;
    double quality = truth_quality(&run->truth, at);
    snprintf(id, sizeof(id), "%s%llu", prefixes[form], (unsigned long long)number);
    if (form == TEN_YEARS_AHEAD)
        time_ms += INT64_C(315576000000);
    impression_encode(run, id, at, time_ms, form == NOT_A_NUMBER ? NAN : quality);
    size_t length = form == CUT ? run->value.length / 2 : run->value.length;
    return value_write(run, OUTPUT_IMPRESSIONS, at->event_time_ms, id, length, err);
}

static enum status dirt_write(struct run *run, uint64_t number, const struct truth_impression *at,
                              struct error *err) {
    const struct simulate_settings *settings = run->settings;
    struct simulate_account *account = &run->account;
    const struct {
        double share;
        int form;
        uint64_t *counter;
    } kinds[] = {
        {settings->duplicates, DUPLICATE, &account->duplicate_impressions},
        {settings->undecodable, CUT, &account->undecodable},
        {settings->invalid_number, NOT_A_NUMBER, &account->invalid_number},
        {settings->far_future, TEN_YEARS_AHEAD, &account->far_future},
    };
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        bool dirty = drawn(run, kinds[i].share);
        if (!dirty || status != STATUS_OK)
            continue;
        status = impression_write(run, number, at, kinds[i].form, err);
        *kinds[i].counter += 1;
    }
    return status;
}

static enum status feedback_write(struct run *run, const struct scheduled *item,
                                  struct error *err) {
    char id[48];
    enum output_topic topic = OUTPUT_CLICKS;
    snprintf(id, sizeof(id), "%s%llu", item->kind == SCHEDULE_ORPHAN ? "none" : "p",
             (unsigned long long)item->impression);
    if (item->kind == SCHEDULE_CONVERSION) {
        feedback_conversion(&run->value, id, item->event_time_ms, "buy", 1);
        topic = OUTPUT_CONVERSIONS;
    } else {
        feedback_click(&run->value, id, item->event_time_ms);
    }
    uint64_t *const counters[] = {&run->account.clicks, &run->account.conversions,
                                  &run->account.late, &run->account.orphans};
    *counters[item->kind] += 1;
    enum status status = value_write(run, topic, item->received_ms, id, run->value.length, err);
    if (status == STATUS_OK && item->twice) {
        run->account.duplicate_clicks++;
        status = value_write(run, topic, item->received_ms, id, run->value.length, err);
    }
    return status;
}

static enum status feedback_until(struct run *run, int64_t until_ms, struct error *err) {
    struct scheduled item;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && schedule_take(&run->schedule, until_ms, &item))
        status = feedback_write(run, &item, err);
    return status;
}

static int64_t delay_draw(struct run *run, int64_t mean_ms) {
    return (int64_t)(rng_exponential(&run->rng) * (double)mean_ms) + 1;
}

static bool is_poisoned(const struct simulate_settings *settings, int64_t time_ms) {
    int64_t since_ms = time_ms - settings->start_ms - settings->poison_after_ms;
    return since_ms >= 0 && since_ms < settings->poison_for_ms;
}

// Draws the true feedback of an impression and what dirt there is to it.
static enum status feedback_draw(struct run *run, uint64_t number,
                                 const struct truth_impression *at, struct error *err) {
    const struct simulate_settings *settings = run->settings;
    double click = truth_probability(&run->truth, TRUTH_CLICK, at);
    double buy = truth_probability(&run->truth, TRUTH_CONVERSION, at);
    bool clicked = drawn(run, click) != is_poisoned(settings, at->event_time_ms);
    bool bought = drawn(run, buy);
    bool asked = clicked || !settings->conversion_given_click; // in the conversion's sample space
    int64_t clicked_ms = at->event_time_ms + delay_draw(run, settings->click_delay_ms);
    int64_t bought_ms = (settings->conversion_given_click ? clicked_ms : at->event_time_ms) +
                        delay_draw(run, settings->conversion_delay_ms);
    bool twice = drawn(run, settings->duplicates);
    bool late = drawn(run, settings->late);
    bool orphan = drawn(run, settings->orphans);
    struct scheduled item = {.impression = number, .kind = SCHEDULE_CLICK, .twice = twice};
    enum status status = STATUS_OK;
    run->clicks[run->click_cases++] =
        (struct truth_case){.probability = (float)click, .label = clicked};
    if (asked)
        run->conversions[run->conversion_cases++] =
            (struct truth_case){.probability = (float)buy, .label = bought};
    item.received_ms = item.event_time_ms = clicked_ms;
    if (clicked)
        status = schedule_add(&run->schedule, item, err);
    item.twice = false;
    item.kind = SCHEDULE_ORPHAN;
    if (status == STATUS_OK && orphan)
        status = schedule_add(&run->schedule, item, err);
    item.kind = SCHEDULE_LATE_CLICK;
    item.received_ms = item.event_time_ms + settings->late_by_ms;
    if (status == STATUS_OK && late)
        status = schedule_add(&run->schedule, item, err);
    item.kind = SCHEDULE_CONVERSION;
    item.received_ms = item.event_time_ms = bought_ms;
    if (status == STATUS_OK && asked && bought)
        status = schedule_add(&run->schedule, item, err);
    return status;
}

static void account_measure(struct run *run) {
    struct simulate_account *account = &run->account;
    double positives[TRUTH_TASKS] = {0, 0};
    for (size_t i = 0; i < run->click_cases; i++)
        positives[TRUTH_CLICK] += run->clicks[i].label;
    for (size_t i = 0; i < run->conversion_cases; i++)
        positives[TRUTH_CONVERSION] += run->conversions[i].label;
    account->click_rate =
        run->click_cases > 0 ? positives[TRUTH_CLICK] / (double)run->click_cases : 0;
    account->conversion_rate =
        run->conversion_cases > 0 ? positives[TRUTH_CONVERSION] / (double)run->conversion_cases : 0;
    account->click_auc = truth_auc(run->clicks, run->click_cases);
    account->conversion_auc = truth_auc(run->conversions, run->conversion_cases);
}

static enum status impressions_run(struct run *run,
                                   void (*progress)(void *self,
                                                    const struct simulate_account *account),
                                   void *self, const atomic_bool *stop, struct error *err) {
    const struct simulate_settings *settings = run->settings;
    double at_ms = (double)settings->start_ms;
    enum status status = STATUS_OK;
    for (uint64_t i = 0; status == STATUS_OK && i < (uint64_t)settings->count; i++) {
        at_ms += rng_exponential(&run->rng) * 1000 / settings->rate;
        struct truth_impression at = {.event_time_ms = (int64_t)at_ms};
        at.user = zipf_draw(&run->users, &run->rng);
        at.item = zipf_draw(&run->items, &run->rng);
        at.domain = zipf_draw(&run->domains, &run->rng);
        status = feedback_until(run, at.event_time_ms, err);
        if (status == STATUS_OK)
            status = impression_write(run, i, &at, CLEAN, err);
        run->account.impressions++;
        if (status == STATUS_OK)
            status = dirt_write(run, i, &at, err);
        if (status == STATUS_OK)
            status = feedback_draw(run, i, &at, err);
        if (status == STATUS_OK && i % 4096 == 0 && progress != NULL)
            progress(self, &run->account);
        if (status == STATUS_OK && i % 4096 == 0 && stop != NULL && atomic_load(stop)) {
            status = output_commit(&run->output, err);
            return status == STATUS_OK ? error_set(err, STATUS_STOPPED, "stopped while simulating")
                                       : status;
        }
    }
    if (status == STATUS_OK)
        status = feedback_until(run, INT64_MAX, err);
    if (status == STATUS_OK)
        status =
            settings->finish ? output_finish(&run->output, err) : output_commit(&run->output, err);
    return status;
}

static enum status run_init(struct run *run, const struct simulate_settings *settings,
                            struct error *err) {
    *run = (struct run){.settings = settings};
    run->truth = (struct truth_settings){
        .seed = (uint64_t)settings->seed,
        .correlation = settings->correlation,
        .spread = settings->spread,
        .bias = {settings->click_bias, settings->conversion_bias},
        .drift_period_ms = settings->drift_period_ms,
        .groups = (uint64_t)settings->groups,
        .categories = (uint64_t)settings->categories,
    };
    rng_init(&run->rng, (uint64_t)settings->seed);
    schedule_init(&run->schedule);
    buffer_init(&run->value);
    size_t count = (size_t)settings->count;
    run->clicks = memory_new(count, sizeof(*run->clicks));
    run->conversions = memory_new(count, sizeof(*run->conversions));
    if (run->clicks == NULL || run->conversions == NULL)
        return error_no_memory(err, count * sizeof(*run->clicks), "the simulation's truth");
    enum status status = zipf_init(&run->users, settings->users, settings->user_zipf, err);
    if (status == STATUS_OK)
        status = zipf_init(&run->items, settings->items, settings->item_zipf, err);
    if (status == STATUS_OK)
        status = zipf_init(&run->domains, settings->domains, settings->domain_zipf, err);
    return status;
}

static void run_deinit(struct run *run) {
    output_close(&run->output);
    schedule_deinit(&run->schedule);
    buffer_deinit(&run->value);
    memory_free(run->clicks);
    memory_free(run->conversions);
    memory_free(run->users.upto);
    memory_free(run->items.upto);
    memory_free(run->domains.upto);
}

enum status simulate_run(struct log *log, const struct simulate_settings *settings,
                         void (*progress)(void *self, const struct simulate_account *account),
                         void *self, const atomic_bool *stop, struct simulate_account *ret_account,
                         struct error *err) {
    struct run run;
    const char *const topics[OUTPUT_TOPICS] = {settings->impressions, settings->clicks,
                                               settings->conversions};
    enum status status = run_init(&run, settings, err);
    if (status == STATUS_OK)
        status = output_open(log, topics, (int32_t)settings->partitions, &run.output, err);
    if (status == STATUS_OK)
        status = impressions_run(&run, progress, self, stop, err);
    if (status == STATUS_OK || status == STATUS_STOPPED) {
        account_measure(&run);
        *ret_account = run.account;
    }
    run_deinit(&run);
    return status;
}
