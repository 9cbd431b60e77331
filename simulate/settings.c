// The simulator's table of options.
#include "simulate/simulate.h"

#define AT(member) offsetof(struct simulate_settings, member)
#define TOPIC(name, text)                                                                          \
    { .key = #name, .type = OPTION_TEXT, .offset = AT(name), .default_text = #name, .help = text }
#define WHOLE(name, standard, low, high, text)                                                     \
    {                                                                                              \
        .key = #name, .type = OPTION_INT, .offset = AT(name), .default_text = standard,            \
        .minimum = low, .maximum = high, .help = text                                              \
    }
#define REAL(name, standard, low, high, text)                                                      \
    {                                                                                              \
        .key = #name, .type = OPTION_REAL, .offset = AT(name), .default_text = standard,           \
        .minimum = low, .maximum = high, .help = text                                              \
    }
#define DURATION(name, field, standard, text)                                                      \
    {                                                                                              \
        .key = #name, .type = OPTION_DURATION, .offset = AT(field), .default_text = standard,      \
        .minimum = 0, .maximum = 31536000000.0, .help = text                                       \
    }

static const struct option rows[] = {
    TOPIC(impressions, "Topic for the impressions."),
    TOPIC(clicks, "Topic for the clicks."),
    TOPIC(conversions, "Topic for the conversions."),
    WHOLE(partitions, "1", 1, 10000, "Partitions of topics that are made."),
    {.key = "finish",
     .type = OPTION_BOOL,
     .offset = AT(finish),
     .default_text = "true",
     .help = "Mark the topics as ended, so that a run over them finishes by itself."},
    WHOLE(count, "100000", 1, 1e10, "Impressions to make."),
    WHOLE(seed, "1", 0, 9e15, "The same seed gives the same events."),
    {.key = "start",
     .type = OPTION_INT,
     .offset = AT(start_ms),
     .default_text = "1700000000000",
     .minimum = 0,
     .maximum = 4e12,
     .help = "Event time of the beginning, in milliseconds since 1970 UTC."},
    REAL(rate, "100", 1e-3, 1e7, "Impressions in a second of event time."),
    WHOLE(users, "10000", 1, 1e8, "Users, drawn by Zipf's law."),
    WHOLE(items, "2000", 1, 1e8, "Items, drawn by Zipf's law."),
    WHOLE(domains, "4", 1, 1000, "Domains, of unequal shares."),
    WHOLE(groups, "20", 1, 1000, "Groups of users, a feature."),
    WHOLE(categories, "50", 1, 1000, "Categories of items, a feature."),
    REAL(user_zipf, "0.7", 0, 5, "Exponent of the users' popularity; 0 = all alike."),
    REAL(item_zipf, "1", 0, 5, "Exponent of the items' popularity."),
    REAL(domain_zipf, "1.5", 0, 5, "Exponent of the domains' shares."),
    REAL(correlation, "0.6", -1, 1, "Correlation of the two tasks' true logits."),
    REAL(spread, "1.5", 0, 20, "Standard deviation of the true logits: how much can be learnt."),
    REAL(click_bias, "-1", -20, 20, "Logit of a click where all effects are 0."),
    REAL(conversion_bias, "-1.5", -20, 20, "Logit of a conversion where all effects are 0."),
    {.key = "conversion_given_click",
     .type = OPTION_BOOL,
     .offset = AT(conversion_given_click),
     .default_text = "true",
     .help = "Only clicked impressions convert, after their click."},
    DURATION(click_delay, click_delay_ms, "5s", "Mean delay of a click, exponential."),
    DURATION(conversion_delay, conversion_delay_ms, "2m",
             "Mean delay of a conversion after its click (or impression), exponential."),
    DURATION(drift_period, drift_period_ms, "0s",
             "Event time in which all effects turn round once; 0 = they stay."),
    DURATION(poison_after, poison_after_ms, "0s",
             "Event time from the beginning after which clicks are poisoned."),
    DURATION(poison_for, poison_for_ms, "0s",
             "Event time for which every click's label is the other one; 0 = never."),
    REAL(duplicates, "0", 0, 1, "Share of impressions, and of clicks, that come twice."),
    REAL(late, "0", 0, 1, "Share of impressions with one more click that is received too late."),
    DURATION(late_by, late_by_ms, "2h", "How long after its event time a late click is received."),
    REAL(orphans, "0", 0, 1, "Share of impressions with a click on an impression that never was."),
    REAL(undecodable, "0", 0, 1, "Share of impressions with a copy whose bytes are cut."),
    REAL(invalid_number, "0", 0, 1, "Share of impressions with a copy whose quality is NaN."),
    REAL(far_future, "0", 0, 1, "Share of impressions with a copy dated ten years ahead."),
};
const struct option_table simulate_options = {
    .title = "Simulation",
    .help = "Events with a known truth, for tests, demonstrations and measurements.",
    .struct_bytes = sizeof(struct simulate_settings),
    .options = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};
