// The monitor's life: it listens on libmicrohttpd with one polling thread, and samples on another.
#include "monitor/inside.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "monitor/listen.h"
#include "monitor/process.h"

static void *sampler_thread(void *self) {
    struct monitor *monitor = self;
    const struct monitor_settings *settings = monitor->setup.settings;
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    pthread_mutex_lock(&monitor->lock);
    while (!monitor->stopping) {
        struct monitor_alarms thresholds = monitor->thresholds;
        pthread_mutex_unlock(&monitor->lock);
        int64_t now_ms = clock_system.wall_ms(&clock_system);
        process_refresh(monitor->setup.metrics, monitor->setup.directories, 2);
        alarms_sample(monitor->alarms, &thresholds, now_ms);
        history_sample(monitor->history, monitor->setup.metrics, now_ms);
        due.tv_sec += (time_t)(settings->sample_interval_ms / 1000);
        due.tv_nsec += (long)(settings->sample_interval_ms % 1000) * 1000000L;
        if (due.tv_nsec >= 1000000000L) {
            due.tv_sec++;
            due.tv_nsec -= 1000000000L;
        }
        pthread_mutex_lock(&monitor->lock);
        while (!monitor->stopping &&
               pthread_cond_timedwait(&monitor->wake, &monitor->lock, &due) == 0) {
        }
    }
    pthread_mutex_unlock(&monitor->lock);
    return NULL;
}

static enum status sampler_start(struct monitor *monitor, struct error *err) {
    int code = pthread_create(&monitor->sampler, NULL, sampler_thread, monitor);
    if (code != 0)
        return error_set(err, STATUS_EXHAUSTED, "could not start the monitor's thread: %s",
                         strerror(code));
    monitor->sampling = true;
    return STATUS_OK;
}

static enum status listen_start(struct monitor *monitor, struct error *err) {
    const struct monitor_settings *settings = monitor->setup.settings;
    int listener;
    enum status status = listen_open(settings->listen, &listener, &monitor->port, err);
    if (status != STATUS_OK)
        return status;
    monitor->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, serve, monitor, MHD_OPTION_LISTEN_SOCKET,
        listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned)settings->connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(settings->timeout_ms / 1000),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768, MHD_OPTION_NOTIFY_COMPLETED, serve_done,
        monitor, MHD_OPTION_END);
    if (!monitor->daemon) {
        close(listener);
        return error_set(err, STATUS_EXHAUSTED,
                         "could not serve on %s (monitor.listen): libmicrohttpd did not start; "
                         "look at the limits on threads and open files",
                         settings->listen);
    }
    return STATUS_OK;
}

static void wake_init(struct monitor *monitor) {
    pthread_condattr_t attributes;
    REQUIRE(pthread_mutex_init(&monitor->lock, NULL) == 0);
    REQUIRE(pthread_condattr_init(&attributes) == 0);
    REQUIRE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    REQUIRE(pthread_cond_init(&monitor->wake, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

enum status monitor_start(const struct monitor_setup *setup, struct monitor **ret_monitor,
                          struct error *err) {
    struct monitor *monitor = memory_new(1, sizeof *monitor);
    if (!monitor)
        return error_no_memory(err, sizeof *monitor, "the monitor");
    monitor->setup = *setup;
    monitor->thresholds = setup->settings->alarms;
    wake_init(monitor);
    process_register(setup->metrics, setup->name);
    enum status status = alarms_new(setup->metrics, &monitor->alarms, err);
    if (status == STATUS_OK)
        status = history_new((size_t)setup->settings->history_series_max, &monitor->history, err);
    if (status == STATUS_OK)
        status = listen_start(monitor, err);
    if (status == STATUS_OK)
        status = sampler_start(monitor, err);
    if (status != STATUS_OK) {
        monitor_stop(monitor);
        return status;
    }
    *ret_monitor = monitor;
    return STATUS_OK;
}

int monitor_port(const struct monitor *monitor) {
    return monitor->port;
}

void monitor_alarms_set(struct monitor *monitor, const struct monitor_alarms *alarms) {
    pthread_mutex_lock(&monitor->lock);
    monitor->thresholds = *alarms;
    pthread_mutex_unlock(&monitor->lock);
}

void monitor_stop(struct monitor *monitor) {
    if (!monitor)
        return;
    pthread_mutex_lock(&monitor->lock);
    monitor->stopping = true;
    pthread_cond_signal(&monitor->wake);
    pthread_mutex_unlock(&monitor->lock);
    if (monitor->sampling)
        (void)pthread_join(monitor->sampler, NULL);
    if (monitor->daemon)
        MHD_stop_daemon(monitor->daemon);
    history_free(monitor->history);
    alarms_free(monitor->alarms);
    pthread_cond_destroy(&monitor->wake);
    pthread_mutex_destroy(&monitor->lock);
    memory_free(monitor);
}
