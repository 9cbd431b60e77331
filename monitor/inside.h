// The monitor's parts, shared by monitor.c (life, sampling) and serve.c (answers). Private to them.
#ifndef FRESHET_MONITOR_INSIDE_H
#define FRESHET_MONITOR_INSIDE_H

#include <pthread.h>

#include <microhttpd.h>

#include "monitor/alarms.h"
#include "monitor/history.h"
#include "monitor/monitor.h"

struct monitor {
    struct MHD_Daemon *daemon;
    struct monitor_setup setup;
    struct history *history;
    struct alarms *alarms;
    int port;
    pthread_t sampler;
    bool sampling;                    // the sampler was started
    pthread_mutex_t lock;             // guards what follows
    pthread_cond_t wake;              // `stopping` has changed
    bool stopping;                    // written by the owner, read by the sampler
    struct monitor_alarms thresholds; // written by the owner, read by the sampler
};

// One file of the page, built into the binary; cmake/embed.cmake makes the list.
struct page_file {
    const char *path, *type;
    const unsigned char *bytes;
    size_t length;
};
extern const struct page_file page_files[];
extern const size_t page_file_count;

// libmicrohttpd's access handler; self is the monitor.
enum MHD_Result serve(void *self, struct MHD_Connection *connection, const char *url,
                      const char *method, const char *version, const char *upload,
                      size_t *upload_length, void **request);

// libmicrohttpd's handler of a request's end.
void serve_done(void *self, struct MHD_Connection *connection, void **request,
                enum MHD_RequestTerminationCode code);

#endif
