// The gate's table of options and its checks.
#include <math.h>
#include <string.h>

#include "trainer/gate.h"

#define BOUND(name, standard, most, text)                                                          \
    {                                                                                              \
        .key = #name, .type = OPTION_REAL, .offset = offsetof(struct gate_bounds, name),           \
        .default_text = standard, .minimum = 0, .maximum = most, .help = text                      \
    }

static const struct option bound_options[] = {
    {.key = "task",
     .type = OPTION_TEXT,
     .offset = offsetof(struct gate_bounds, task),
     .help = "One of `data.tasks`."},
    BOUND(auc_min, "0", 1, "The least AUC; 0 = any."),
    BOUND(auc_drop_max, "off", (double)INFINITY,
          "How far below the reference's the AUC may be; off = any."),
    BOUND(normalised_entropy_max, "off", (double)INFINITY,
          "The greatest normalised entropy (1 = no better than the base rate); off = any."),
    BOUND(normalised_entropy_rise_max, "off", (double)INFINITY,
          "How far above the reference's the normalised entropy may be; off = any."),
    BOUND(calibration_min, "0", (double)INFINITY, "The least predicted / observed; 0 = any."),
    BOUND(calibration_max, "off", (double)INFINITY,
          "The greatest predicted / observed; off = any."),
};
static const struct option_table bounds_options = {
    .title = "trainer.gate.bounds",
    .help = "One entry a task. Versions outside are held back; `freshet versions` says why.",
    .struct_bytes = sizeof(struct gate_bounds),
    .options = bound_options,
    .count = sizeof bound_options / sizeof *bound_options,
};

static const struct option options[] = {
    {.key = "labels",
     .type = OPTION_INT,
     .offset = offsetof(struct gate_settings, labels),
     .default_text = "20000",
     .minimum = 400,
     .maximum = 1e9,
     .help = "Newest final labels of a task that it is judged by. Fewer notice sooner, more tell "
             "smaller differences from chance. Another number, or other tasks with bounds, begin "
             "the gate anew."},
    {.key = "bounds",
     .type = OPTION_SECTIONS,
     .offset = offsetof(struct gate_settings, bounds),
     .table = &bounds_options,
     .help = "What the measures of a version must keep to for it to go out; none = no gate."},
};
const struct option_table gate_options = {
    .title = "trainer.gate",
    .help = "Holds versions back whose online measures are out of bounds.",
    .struct_bytes = sizeof(struct gate_settings),
    .options = options,
    .count = sizeof options / sizeof *options,
};

static bool is_task(const struct spec *spec, const char *name) {
    for (size_t i = 0; i < spec->tasks.count; i++)
        if (strcmp(spec_task_at(spec, i)->name, name) == 0)
            return true;
    return false;
}

enum status gate_check(const struct gate_settings *settings, const struct spec *spec,
                       struct error *err) {
    const struct gate_bounds *bounds = settings->bounds.items;
    for (size_t i = 0; i < settings->bounds.count; i++) {
        if (!is_task(spec, bounds[i].task))
            return error_set(err, STATUS_INVALID,
                             "key `trainer.gate.bounds.task`: `%s` is none of `data.tasks`",
                             bounds[i].task);
        for (size_t k = 0; k < i; k++)
            if (strcmp(bounds[k].task, bounds[i].task) == 0)
                return error_set(err, STATUS_INVALID,
                                 "key `trainer.gate.bounds.task`: `%s` has two entries",
                                 bounds[i].task);
    }
    return STATUS_OK;
}
