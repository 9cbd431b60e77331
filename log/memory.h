// What only the memory backend can do: planted faults, gaps, retention and deletion, for tests.
//
// The log stands for a server: it outlives the readers and writers that "crash", so a test opens
// new ones on it and finds what a real task would find after its process died.
#ifndef FRESHET_LOG_MEMORY_H
#define FRESHET_LOG_MEMORY_H

#include "log/log.h"

enum log_memory_fault {
    LOG_MEMORY_CRASH_BEFORE,      // the commit has no effect; STATUS_IO
    LOG_MEMORY_CRASH_AFTER,       // the commit took effect, its caller never learns; STATUS_IO
    LOG_MEMORY_UNAVAILABLE,       // no effect; STATUS_UNAVAILABLE
    LOG_MEMORY_UNAVAILABLE_AFTER, // took effect; STATUS_UNAVAILABLE
};
// The n-th commit or journal trim from now on, by any writer (1 = the next), meets this fault.
// After a crash every open writer fails with STATUS_IO, as its process is dead; writers opened
// later are fine. n = 0 takes the plant away.
void log_memory_fault_plant(struct log *log, uint64_t n, enum log_memory_fault fault);
// Commits and journal trims so far.
uint64_t log_memory_mutations(struct log *log);
// Polls return STATUS_UNAVAILABLE while set.
void log_memory_unavailable(struct log *log, bool unavailable);
// From now on each commit leaves a gap of one offset in every partition it wrote to, as Kafka's
// transaction markers do.
void log_memory_gaps(struct log *log, bool gaps);
// Retention: records before `begin` are gone.
CHECKED enum status log_memory_retain(struct log *log, const char *topic, int32_t partition,
                                      int64_t begin, struct error *err);
CHECKED enum status log_memory_topic_delete(struct log *log, const char *topic, struct error *err);

#endif
