// The join as its state grows: so many impressions open at once, most of their features on disk.
//
//   bench_growth OPEN [STEADY] [STORE_MEMORY]
//
// Feeds OPEN impressions with their clicks and conversions, whose windows are as long as that takes
// in event time, then STEADY more (10 M), each of which closes one: that part is timed. One task
// under the runner on one thread, with journal and the checkpoints of the shipped settings; events
// are made as they are read and examples dropped (generated_log.h), so that nothing but the join
// and its state is measured, making the events included. STORE_MEMORY is `ingest.store_memory`.
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/disk.h"
#include "base/logger.h"
#include "bench/generated_log.h"
#include "bench/join_run.h"

#define LATENESS_IMPRESSIONS 2000 // 10 s

static size_t folder_bytes(const char *folder, struct error *err) {
    struct arena arena;
    char **names = NULL;
    size_t count = 0, bytes = 0;
    arena_init(&arena, 4096);
    if (disk_exists(folder))
        bench_must(disk_list(folder, &arena, &names, &count, err), err);
    for (size_t i = 0; i < count; i++) {
        char path[512];
        struct stat found;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        if (stat(path, &found) == 0)
            bytes += (size_t)found.st_size;
    }
    arena_deinit(&arena);
    return bytes;
}

int main(int count, char **texts) {
    struct join_config config;
    struct error err;
    char directory[] = "/tmp/bench-growth-XXXXXX", store[128], memory[32];
    size_t open = count > 1 ? (size_t)strtoull(texts[1], NULL, 10) : 0;
    size_t steady = count > 2 ? (size_t)strtoull(texts[2], NULL, 10) : 10000000;
    if (open <= 2 * LATENESS_IMPRESSIONS || steady == 0) {
        fprintf(stderr, "usage: bench_growth OPEN [STEADY] [STORE_MEMORY], OPEN more than %d\n",
                2 * LATENESS_IMPRESSIONS);
        return 2;
    }
    // Keys, timers and an eighth for young features, and the next doubling of their tables.
    (void)snprintf(memory, sizeof(memory), "%zuMiB", 256 + (open + steady) * 200 / 1000000);
    memory_keep();
    logger_setup(stderr, LOGGER_WARN, LOGGER_TEXT);
    if (mkdtemp(directory) == NULL)
        bench_must(error_set(&err, STATUS_IO, "could not make a folder in /tmp"), &err);
    join_config_init(&config, (int64_t)(open - LATENESS_IMPRESSIONS) * JOIN_STEP_MS,
                     count > 3 ? texts[3] : memory, "growth");
    struct generated_marks marks = {.impressions = open + steady, .steady_after = open};
    struct join_run run = {.config = &config,
                           .log = generated_log_open(&config, &marks),
                           .name = "growth",
                           .directory = directory,
                           .stop = &marks.stop};
    double begin = bench_seconds();
    join_run(&run);
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)snprintf(store, sizeof(store), "%s/growth-0/store", directory);
    size_t bytes = folder_bytes(store, &err);
    double resident = (double)usage.ru_maxrss * 1024;
    printf("figure bench=join-growth case=%zu who=freshet value=%.0f unit=events/s "
           "filling=%.0f open=%llu setting_mib=%lld\n",
           open, (double)marks.steady_events / (marks.end - marks.steady_begin),
           (double)(marks.events - marks.steady_events) / (marks.steady_begin - begin),
           (unsigned long long)(run.read - run.used),
           (long long)(config.ingest.store_memory_bytes / 1048576));
    printf("figure bench=join-growth case=%zu who=freshet value=%.1f unit=disk-bytes/impression "
           "store_mib=%zu\n",
           open, (double)bytes / (double)open, bytes / 1048576);
    printf("figure bench=join-growth case=%zu who=freshet value=%.2f unit=resident/setting "
           "resident_mib=%.0f\n",
           open, resident / (double)config.ingest.store_memory_bytes, resident / 1048576);
    log_close(run.log);
    join_config_deinit(&config);
    bench_must(disk_remove_tree(directory, &err), &err);
    return 0;
}
