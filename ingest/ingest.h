// Ingest as a stage: records of the user's topics in, examples and dead letters out.
//
// One task takes partition i of every input topic and writes partition i of the examples and of the
// dead letters. The runner's slots are the inputs, in the order of the configuration. Each record
// is decoded into events (decoder.h), each event is joined (join.h) before the next is looked at,
// and a record that cannot be used goes out whole as a dead letter.
//
// With a folder, old state spills to RocksDB (store.h); without one all of it stays in memory.
#ifndef FRESHET_INGEST_INGEST_H
#define FRESHET_INGEST_INGEST_H

#include "ingest/join.h"
#include "stage/runner.h"

enum { INGEST_EXAMPLES, INGEST_DEAD_LETTERS, INGEST_OUTPUTS }; // indices of the outputs

struct ingest_task_setup {
    const struct ingest_settings *settings; // borrowed, checked
    const struct spec *spec;                // borrowed, checked
    int32_t partition;
    const char *directory; // of this task, for the live store; NULL: memory only
    const struct clock *clock;
    struct metrics *metrics; // or NULL: not exported
};
struct ingest_task; // the state of ingest_operations

// The decoder's and the join's errors: schemas, paths, inputs.
CHECKED enum status ingest_task_new(const struct ingest_task_setup *setup,
                                    struct ingest_task **ret_task, struct error *err);
void ingest_task_free(struct ingest_task *task); // NULL is fine
extern const struct stage_operations ingest_operations;

// What runner_setup wants: inputs[settings->inputs.count], outputs[INGEST_OUTPUTS].
void ingest_task_inputs(const struct ingest_settings *settings, int32_t partition,
                        struct stage_input *inputs);
void ingest_task_outputs(const struct ingest_settings *settings, int32_t partition,
                         struct stage_output *outputs);

#endif
