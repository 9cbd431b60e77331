// The whole configuration: each module's settings under its section's name.
#ifndef FRESHET_CLI_SETTINGS_H
#define FRESHET_CLI_SETTINGS_H

#include "config/config.h"
#include "ingest/settings.h"
#include "log/settings.h"
#include "model/spec.h"
#include "monitor/monitor.h"
#include "publisher/settings.h"
#include "record/spec.h"
#include "scorer/freshet_scorer.h"
#include "simulate/kuairand.h"
#include "simulate/simulate.h"
#include "trainer/settings.h"

struct settings {
    const char *name;      // prefixes tasks, consumer groups and Redis keys
    const char *directory; // of the tasks' checkpoints
    const char *copies;    // where checkpoints are copied to; empty = nowhere
    const char *control;   // topic; "" = none
    struct {
        int level;  // enum logger_level
        int format; // enum logger_format
    } logging;
    struct log_settings log;
    struct spec data;
    struct ingest_settings ingest;
    struct model_settings model;
    struct trainer_settings trainer;
    struct publisher_settings publisher;
    struct monitor_settings monitor;
    struct simulate_settings simulate;
    struct kuairand_settings kuairand;
};
extern const struct option_table settings_options;

// config_load and the checks that need more than one section. Everything lives in `arena`.
CHECKED enum status settings_load(const char *path, struct arena *arena, struct settings *settings,
                                  struct error *err);

// How a scorer reaches the Redis that these settings publish to; texts are borrowed.
struct freshet_scorer_options settings_scorer_options(const struct settings *settings);

#endif
