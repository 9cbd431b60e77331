// The alarms that the daemon raises by itself, for the page, the log and freshet_alarm_firing.
#ifndef FRESHET_MONITOR_ALARMS_H
#define FRESHET_MONITOR_ALARMS_H

#include "base/metrics.h"
#include "monitor/monitor.h"

struct alarms;

// Registers freshet_alarm_firing{alarm} for each.
CHECKED enum status alarms_new(struct metrics *metrics, struct alarms **ret_alarms,
                               struct error *err);
void alarms_free(struct alarms *alarms); // NULL is fine
// Judges the registry as it is now; writes a log line when an alarm begins or ends. now_ms: Unix
// time, not before the last call's. Thread-safe, as is reading.
void alarms_sample(struct alarms *alarms, const struct monitor_alarms *settings, int64_t now_ms);
// Appends a JSON list: {"name":..,"firing":..,"since_ms":.. (0 = not firing),"detail":".."}.
void alarms_render(struct alarms *alarms, struct buffer *into);

#endif
