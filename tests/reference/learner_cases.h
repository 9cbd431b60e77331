// The settings that learner_dump runs by name.
#ifndef FRESHET_TESTS_REFERENCE_LEARNER_CASES_H
#define FRESHET_TESTS_REFERENCE_LEARNER_CASES_H

#include "trainer/learner_inside.h"

enum { TASKS = 3, HEADS = 2 * TASKS, TABLES = 2, IDS = 40, NUMERIC = 2, BATCH = 24, LENGTH = 4 };

struct named_case {
    const char *name;
    struct model_settings model;
    struct learner_settings learner;
};
extern const struct named_case named_cases[];
extern const size_t named_case_count;
// Label policies (enum model_labels) of the tasks; those of cases that wait are left as they are.
void named_case_labels(const struct named_case *of, uint32_t *labels);

#endif
