// What the daemons answered, and how to read it.
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/top.h"

enum { TIMEOUT_MS = 3000 };

static enum status fetch_json(const struct http_address *address, const char *path,
                              json_t **ret_json, struct error *err) {
    struct buffer body;
    buffer_init(&body);
    enum status status = http_get(address, path, TIMEOUT_MS, &body, err);
    if (status == STATUS_OK) {
        json_error_t mistake;
        *ret_json = json_loadb((const char *)body.data, body.length, 0, &mistake);
        if (!*ret_json)
            status = error_set(err, STATUS_IO, "could not read what %s:%s answers: %s",
                               address->host, address->port, mistake.text);
    }
    buffer_deinit(&body);
    return status;
}

static void forget(struct top_daemon *daemon) {
    json_decref(daemon->flow);
    json_decref(daemon->domains);
    daemon->flow = daemon->domains = NULL;
}

static enum status fetch(struct top_daemon *daemon, struct error *err) {
    char path[512];
    int64_t since_ms = clock_system.wall_ms(&clock_system) - TOP_MINUTES * 60000;
    forget(daemon);
    snprintf(path, sizeof path, "/history?names=freshet_*,process_*&where=domain:all&since=%lld",
             (long long)since_ms);
    json_t *flow = NULL;
    enum status status = fetch_json(&daemon->address, path, &flow, err);
    if (status != STATUS_OK)
        return status;
    const json_t *times = json_object_get(flow, "times");
    size_t count = json_array_size(times);
    since_ms = count > 0 ? json_integer_value(json_array_get(times, count - 1)) - 1 : since_ms;
    snprintf(path, sizeof path, "/history?names=freshet_trainer_*&where=window:recent&since=%lld",
             (long long)since_ms);
    status = fetch_json(&daemon->address, path, &daemon->domains, err);
    if (status == STATUS_OK)
        daemon->flow = flow;
    else
        json_decref(flow);
    return status;
}

void top_fetch(struct top_sight *sight) {
    for (size_t i = 0; i < sight->count; i++)
        if (fetch(&sight->daemons[i], &sight->daemons[i].err) != STATUS_OK)
            forget(&sight->daemons[i]);
}

void top_release(struct top_sight *sight) {
    for (size_t i = 0; i < sight->count; i++)
        forget(&sight->daemons[i]);
}

const char *top_label(const json_t *series, const char *key) {
    const char *text = json_string_value(json_object_get(json_object_get(series, "labels"), key));
    return text ? text : "";
}

void top_each(const json_t *answer, const char *pattern, const char *key, const char *value,
              void (*visit)(void *self, const json_t *series), void *self) {
    const json_t *list = json_object_get(answer, "series");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *series = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(series, "name"));
        if (name && fnmatch(pattern, name, 0) == 0 &&
            (!key || strcmp(top_label(series, key), value) == 0))
            visit(self, series);
    }
}

static double value_at(const json_t *series, size_t place) {
    const json_t *value = json_array_get(json_object_get(series, "values"), place);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static size_t sample_count(const json_t *series) {
    return json_array_size(json_object_get(series, "values"));
}

double top_last(const json_t *series) {
    size_t count = sample_count(series);
    return count > 0 ? value_at(series, count - 1) : (double)NAN;
}

double top_rate(const json_t *answer, const json_t *series) {
    const json_t *times = json_object_get(answer, "times");
    size_t count = sample_count(series), first = 0;
    while (first < count && isnan(value_at(series, first)))
        first++;
    if (first + 1 >= count)
        return 0;
    double seconds = (json_number_value(json_array_get(times, count - 1)) -
                      json_number_value(json_array_get(times, first))) /
                     1000;
    double increase = value_at(series, count - 1) - value_at(series, first);
    return seconds > 0 && increase > 0 ? increase / seconds : 0;
}

struct twin {
    const json_t *labels;
    double value;
};

static void twin_visit(void *self, const json_t *series) {
    struct twin *twin = self;
    if (json_equal(json_object_get(series, "labels"), twin->labels))
        twin->value = top_last(series);
}

double top_twin(const json_t *answer, const json_t *series, const char *name) {
    struct twin twin = {json_object_get(series, "labels"), (double)NAN};
    top_each(answer, name, NULL, NULL, twin_visit, &twin);
    return twin.value;
}

static void json_visit(void *self, const json_t *series) {
    double value = top_last(series);
    json_array_append_new(self,
                          json_pack("{s:O, s:O, s:o}", "name", json_object_get(series, "name"),
                                    "labels", json_object_get(series, "labels"), "value",
                                    isfinite(value) ? json_real(value) : json_null()));
}

json_t *top_json(const struct top_sight *sight) {
    json_t *daemons = json_array();
    for (size_t i = 0; i < sight->count; i++) {
        const struct top_daemon *daemon = &sight->daemons[i];
        char address[300];
        snprintf(address, sizeof address, "%s:%s", daemon->address.host, daemon->address.port);
        json_t *one = json_pack("{s:s}", "address", address);
        if (!daemon->flow) {
            json_object_set_new(one, "error", json_string(daemon->err.message));
        } else {
            static const char *const keys[] = {"deployment", "stages", "version", "alive",
                                               "ready",      "state",  "alarms"};
            json_t *series = json_array();
            for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
                json_object_set(one, keys[k], json_object_get(daemon->flow, keys[k]));
            top_each(daemon->flow, "*", NULL, NULL, json_visit, series);
            json_object_set_new(one, "series", series);
        }
        json_array_append_new(daemons, one);
    }
    return json_pack("{s:o}", "daemons", daemons);
}
