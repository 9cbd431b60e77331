// A GET over plain HTTP/1.1, for `freshet top`: one request, one connection.
#ifndef FRESHET_CLI_HTTP_H
#define FRESHET_CLI_HTTP_H

#include "base/memory.h"

struct http_address {
    char host[256];
    char port[8];
};
// "HOST:PORT", "http://HOST:PORT" or with a path behind, which is ignored; the port is 9464 when
// left out. STATUS_INVALID.
CHECKED enum status http_address_parse(const char *text, struct http_address *ret_address,
                                       struct error *err);
// The body of a 200 answer. STATUS_UNAVAILABLE: no answer within timeout_ms of each wait;
// STATUS_IO: another answer than 200, or more than 64 MiB.
CHECKED enum status http_get(const struct http_address *address, const char *path, int timeout_ms,
                             struct buffer *ret_body, struct error *err);

#endif
