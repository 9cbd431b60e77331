// Where a daemon listens for its monitor.
#ifndef FRESHET_MONITOR_LISTEN_H
#define FRESHET_MONITOR_LISTEN_H

#include "base/status.h"

// Opens a socket that listens on `where`: "HOST:PORT" with a numeric IPv4 host or "localhost";
// port 0 takes a free one. The caller owns *ret_socket; *ret_port is the port it has.
// INVALID when the text is no such address, IO when it cannot be listened on.
enum status listen_open(const char *where, int *ret_socket, int *ret_port, struct error *err);

#endif
