// What has become of embedding rows, table by table, for people: in a version's measures, and as
// metrics. A table goes by the first feature that reads it.
#ifndef FRESHET_TRAINER_REPORT_TABLES_H
#define FRESHET_TRAINER_REPORT_TABLES_H

#include "base/memory.h"
#include "base/metrics.h"
#include "trainer/learner.h"

// ,"tables":[{"feature":"user_id","rows":..,"row_bytes":..,"rows_max":..,"admitted":..,
// "unadmitted":..,"aged":..,"unused":..,"displaced":..}] of the tables that have a rule; nothing
// where none has. rows_max is there where one is set.
void report_tables_json(struct learner *learner, struct buffer *into);
// freshet_trainer_table_rows and _table_bytes of every table; where a rule holds also
// _table_rows_max, _table_changes_total by change, and _unadmitted_sightings_total.
void report_tables_gauges(struct learner *learner, struct metrics *metrics);

#endif
