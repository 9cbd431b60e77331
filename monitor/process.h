// What the system says of this process and its disks, as metrics under the usual names.
#ifndef FRESHET_MONITOR_PROCESS_H
#define FRESHET_MONITOR_PROCESS_H

#include "base/metrics.h"

// Registers freshet_build_info{name,version}, process_start_time_seconds.
void process_register(struct metrics *metrics, const char *name);
// Refreshes process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds,
// process_max_fds, freshet_disk_free_bytes and freshet_disk_size_bytes by directory (NULL entries
// and ones that do not exist yet are skipped), and the registry's own counts. Thread-safe.
void process_refresh(struct metrics *metrics, const char *const *directories, size_t count);

#endif
