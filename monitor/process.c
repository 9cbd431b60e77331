// Reads /proc/self, getrusage and statvfs.
#include "monitor/process.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/disk.h"

static void gauge(struct metrics *metrics, const char *name, const char *labels, const char *help,
                  double value) {
    metric_set(metrics_get(metrics, METRIC_GAUGE, name, labels, help), value);
}

void process_register(struct metrics *metrics, const char *name) {
    char labels[512] = "";
    metrics_label(labels, sizeof labels, "name", name);
    metrics_label(labels, sizeof labels, "version", FRESHET_VERSION);
    gauge(metrics, "freshet_build_info", labels, "1, with the deployment's name and the version.",
          1);
    gauge(metrics, "process_start_time_seconds", "", "When the process began (Unix time).",
          (double)clock_system.wall_ms(&clock_system) / 1000);
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void usage_refresh(struct metrics *metrics) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_set(metrics_get(metrics, METRIC_COUNTER, "process_cpu_seconds_total", "",
                               "Processor time used, user and system."),
                   seconds(usage.ru_utime) + seconds(usage.ru_stime));
    // The second number is the pages in use.
    char text[128] = "";
    size_t got = 0;
    struct disk_file *statm = NULL;
    if (disk_open("/proc/self/statm", DISK_READ, &statm, NULL) == STATUS_OK &&
        disk_read_at(statm, 0, text, sizeof text - 1, &got, NULL) == STATUS_OK) {
        const char *pages = strchr(text, ' ');
        gauge(metrics, "process_resident_memory_bytes", "", "Memory in use.",
              (double)(pages ? strtoll(pages, NULL, 10) : 0) * (double)sysconf(_SC_PAGESIZE));
    }
    disk_close(statm);
}

static void files_refresh(struct metrics *metrics) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        gauge(metrics, "process_max_fds", "", "Bound on open files.", (double)limit.rlim_cur);
    struct arena call;
    char **names;
    size_t count = 0;
    arena_init(&call, 4096);
    if (disk_list("/proc/self/fd", &call, &names, &count, NULL) == STATUS_OK)
        gauge(metrics, "process_open_fds", "", "Open files and sockets.",
              (double)count - 1); // without the list's own
    arena_deinit(&call);
}

static void disk_refresh(struct metrics *metrics, const char *directory) {
    struct statvfs disk;
    if (statvfs(directory, &disk) != 0)
        return;
    char labels[4200] = "";
    metrics_label(labels, sizeof labels, "directory", directory);
    gauge(metrics, "freshet_disk_free_bytes", labels, "Free space where the directory lies.",
          (double)disk.f_bavail * (double)disk.f_frsize);
    gauge(metrics, "freshet_disk_size_bytes", labels, "Size of the disk where the directory lies.",
          (double)disk.f_blocks * (double)disk.f_frsize);
}

void process_refresh(struct metrics *metrics, const char *const *directories, size_t count) {
    usage_refresh(metrics);
    files_refresh(metrics);
    for (size_t i = 0; i < count; i++)
        if (directories[i])
            disk_refresh(metrics, directories[i]);
    metric_set(metrics_get(metrics, METRIC_COUNTER, "freshet_metrics_refused_total", "",
                           "Series that the bound on their number left no room for, each time one "
                           "was asked for."),
               (double)metrics_refused(metrics));
}
