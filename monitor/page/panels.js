// What the page shows: one entry a panel. page.js draws them; a panel without data is left out.
"use strict";

// of: the series that a line is made from.    by: the labels that name the line.
// kind: "value", or "rate" a second.          error: a series of the same labels, the standard error.
// digits: decimals.                           scale: shown = value * scale.
// positives: a series whose square root gives the relative standard error.
// pick: a filter on labels.                   top: only the largest lines by this series.
const GROUPS = [
  {title: "Does it learn well?", panels: [
    {title: "Online AUC", help: "How often a positive is ranked above a negative, by predictions made before learning; recent window. 0.5 is chance.",
     of: "freshet_trainer_auc", by: ["task"], pick: {window: "recent", domain: "all"}, error: "freshet_trainer_auc_error", digits: 4},
    {title: "Predicted / observed", help: "Calibration: 1 is right, 1.1 means 10 % too many positives predicted; recent window.",
     of: "freshet_trainer_calibration", by: ["task"], pick: {window: "recent", domain: "all"}, positives: "freshet_trainer_measured_positives", digits: 3},
    {title: "Normalised entropy", help: "Log loss over that of always predicting the base rate: below 1 is better than it; recent window.",
     of: "freshet_trainer_normalised_entropy", by: ["task"], pick: {window: "recent", domain: "all"}, digits: 4},
    {title: "AUC of the largest domains", help: "Of the task chosen above; recent window.", domains: true,
     of: "freshet_trainer_auc", by: ["domain"], pick: {window: "recent"}, error: "freshet_trainer_auc_error", digits: 4,
     top: {of: "freshet_trainer_measured_positives", count: 6}},
    {title: "AUC by popularity", help: "Of head, torso and tail items; recent window.",
     of: "freshet_trainer_auc", by: ["task", "popularity"], pick: {window: "recent", domain: "all"}, error: "freshet_trainer_auc_error", digits: 4},
    {title: "Domains", help: "Of the task chosen above, recent window. A domain with fewer than 50 positives or negatives is too small to tell.", table: "domains"},
    {title: "Loss of the last minibatch", help: "Mean log loss of the labelled rows.",
     of: "freshet_trainer_loss", by: ["task"], digits: 4},
  ]},
  {title: "Is it fresh?", panels: [
    {title: "Freshness: event to Redis", help: "Age of the newest event of each version when it went out, since this process started.", table: "freshness"},
    {title: "Records waiting", help: "Committed records not yet read, by topic and partition.",
     of: "freshet_*_lag_records", by: ["topic", "partition"], digits: 0},
    {title: "Behind in event time", help: "Clock less the watermark. It stays high while old events are replayed.",
     of: "freshet_*_lag_seconds", by: ["task"], digits: 1, unit: " s"},
    {title: "Records a second", help: "Read and folded, by input.",
     of: "freshet_*_records_total", by: ["task", "input"], kind: "rate", digits: 0},
    {title: "Examples learnt a second", help: "Rows that the model learnt from.",
     of: "freshet_trainer_learnt_rows_total", by: [], name: "rows", kind: "rate", digits: 0},
    {title: "Versions in Redis", help: "The version that readers see.",
     of: "freshet_publisher_version", by: [], name: "version", digits: 0},
  ]},
  {title: "Is anything lost?", panels: [
    {title: "Dropped a second, by reason", help: "Read and not used. Duplicates, and predictions without a label (left-out), are dropped on purpose.",
     of: "freshet_*_dropped_total", by: ["input", "reason"], kind: "rate", digits: 2, nonzero: true},
    {title: "Dropped in all", help: "Since the first start, by input and reason.", table: "drops"},
  ]},
  {title: "Do the tasks get along?", panels: [
    {title: "Gradient norms", help: "Of each task's gradient on a group of parameters that tasks share (0 where balancing does not look at it).",
     of: "freshet_trainer_gradient_norm", by: ["task", "group"], digits: 4, nonzero: true},
    {title: "Gradient cosines", help: "To the target task's, or the sum of the others': below 0 the tasks pull apart.",
     of: "freshet_trainer_gradient_cosine", by: ["task", "group"], digits: 3, nonzero: true},
    {title: "Balancing factors", help: "What each task's shared gradient was multiplied by.",
     of: "freshet_trainer_gradient_factor", by: ["task", "group"], digits: 3},
    {title: "Expert gates", help: "Entropy of each task's gate over that of even use: near 0 one expert does all the work.",
     of: "freshet_trainer_gate_entropy", by: ["task"], digits: 3, nonzero: true},
  ]},
  {title: "Does it go out?", panels: [
    {title: "Held versions", help: "Versions held back, by the gate or a pin, since the newest that is out. `freshet versions` says why.",
     of: "freshet_publisher_held_versions", by: [], name: "held", digits: 0, nonzero: true},
    {title: "Gate", help: "1 while the task's measures hold versions back.",
     of: "freshet_trainer_gate_closed", by: ["task"], digits: 0},
  ]},
  {title: "Upkeep", panels: [
    {title: "Embedding rows", help: "Rows of each table, by the feature that reads it.",
     of: "freshet_trainer_table_rows", by: ["feature"], digits: 0},
    {title: "Admitted and expired rows a second", help: "Rows that entered a table, and that left it unused.",
     of: "freshet_trainer_table_*_total", by: ["feature", "change"], kind: "rate", digits: 1},
    {title: "Impressions waiting for labels", help: "Predictions kept until the last window closes.",
     of: "freshet_trainer_pending_impressions", by: [], name: "impressions", digits: 0},
    {title: "Memory", help: "Resident memory of this process.",
     of: "process_resident_memory_bytes", by: [], name: "resident", scale: 1 / 1048576, digits: 0, unit: " MiB"},
    {title: "Processor", help: "Cores in use.",
     of: "process_cpu_seconds_total", by: [], name: "cores", kind: "rate", digits: 2},
    {title: "Free disk", help: "Where state and logs lie.",
     of: "freshet_disk_free_bytes", by: ["directory"], scale: 1 / 1073741824, digits: 1, unit: " GiB"},
  ]},
];

// Names asked of /history; those by domain are asked for one task at a time.
const NAMES = "freshet_*,process_*";
const DOMAIN_NAMES = "freshet_trainer_auc,freshet_trainer_auc_error,freshet_trainer_calibration," +
  "freshet_trainer_normalised_entropy,freshet_trainer_measured_*";
