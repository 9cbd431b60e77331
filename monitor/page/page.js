// Fetches samples, keeps them, and redraws what has changed. No state but what /history gives.
"use strict";

const COLOURS = {
  light: ["#0b5fa5", "#c2410c", "#1b7f46", "#8e3ba8", "#8a6d00", "#0f7f8a", "#b3265e", "#4b5563"],
  dark: ["#7cbcf0", "#ffab70", "#6fdc9c", "#d79cf0", "#e8cf5a", "#67d9e5", "#ff92b8", "#c0c8d2"],
};
const SMALL = 50; // fewer positives or negatives than this tell nothing
const LINES_MAX = 8;
const dark = matchMedia("(prefers-color-scheme: dark)");
const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function text(value, digits, unit = "") {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  return value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits}) + unit;
}

// Samples of many series over the same times.
class Store {
  constructor() { this.clear(); }
  clear() { this.times = []; this.series = new Map(); this.since = 0; }
  add(answer) {
    const had = this.times.length, fresh = answer.times.length;
    this.times.push(...answer.times);
    if (fresh > 0) this.since = answer.times[fresh - 1];
    const met = new Set();
    for (const one of answer.series) {
      const key = one.name + JSON.stringify(one.labels);
      let kept = this.series.get(key);
      if (!kept) this.series.set(key, kept = {...one, values: new Array(had).fill(null)});
      else kept.values.push(...one.values);
      if (kept.values.length === had) kept.values.push(...one.values);
      met.add(key);
    }
    for (const [key, one] of this.series)
      if (!met.has(key)) one.values.push(...new Array(fresh).fill(null));
    const extra = this.times.length - 1100;
    if (extra > 0) {
      this.times.splice(0, extra);
      for (const one of this.series.values()) one.values.splice(0, extra);
    }
  }
  find(pattern, pick = {}) {
    const shape = new RegExp("^" + pattern.replaceAll("*", ".*") + "$");
    return [...this.series.values()].filter((one) => shape.test(one.name) &&
      Object.entries(pick).every(([key, value]) => !(key in one.labels) || one.labels[key] === value));
  }
  twin(one, name) { return this.series.get(name + JSON.stringify(one.labels)); }
}

const all = new Store(), domains = new Store();
const last = (one) => one ? one.values[one.values.length - 1] : null;

// Increase a second between neighbours; a counter that fell has begun anew.
function rates(values, times) {
  return values.map((value, i) => {
    const before = i > 0 ? values[i - 1] : null;
    if (value === null || before === null || value < before) return null;
    return (value - before) / ((times[i] - times[i - 1]) / 1000);
  });
}

// The increase of a counter over about the last five minutes, and how many seconds those were.
function recent(store, values) {
  const end = values.length - 1;
  let begin = end;
  while (begin > 0 && store.times[end] - store.times[begin - 1] <= 300000 && values[begin - 1] !== null) begin--;
  return {by: end < 0 ? 0 : Math.max(0, values[end] - values[begin]), seconds: end < 0 ? 0 : (store.times[end] - store.times[begin]) / 1000};
}

function lineName(panel, one) {
  const name = panel.by.map((key) => one.labels[key]).filter((part) => part !== undefined).join(" ");
  return name || panel.name || one.name;
}

function half(panel, store, one, i, value) { // half of the interval: two standard errors
  if (panel.error) return 2 * (store.twin(one, panel.error)?.values[i] ?? NaN);
  const positives = store.twin(one, panel.positives)?.values[i];
  return positives > 0 ? 2 * value / Math.sqrt(positives) : NaN;
}

function isSmall(store, one) {
  const positives = last(store.twin(one, "freshet_trainer_measured_positives"));
  const labels = last(store.twin(one, "freshet_trainer_measured_labels"));
  return positives !== null && labels !== null && (positives < SMALL || labels - positives < SMALL);
}

class Plot {
  constructor(panel) {
    this.panel = panel;
    this.canvas = element("div", {class: "plot", tabindex: "0", role: "img"});
    this.rows = element("tbody");
    this.root = element("figure", {"data-panel": panel.title},
      element("figcaption", {}, panel.title, element("small", {}, panel.help)), this.canvas,
      element("div", {class: "scroll"}, element("table", {}, this.rows)));
    this.root.hidden = true;
    this.canvas.addEventListener("keydown", (event) => this.move(event));
  }
  lines(store) {
    const panel = this.panel;
    let found = store.find(panel.of, panel.pick ?? {});
    if (panel.domains) found = found.filter((one) => one.labels.domain !== "all");
    found = found.filter((one) => ("popularity" in one.labels) === panel.by.includes("popularity"));
    if (panel.nonzero) found = found.filter((one) => one.values.some((value) => value));
    if (panel.top) {
      found = found.filter((one) => !isSmall(store, one));
      const size = (one) => last(store.twin(one, panel.top.of)) ?? 0;
      found.sort((a, b) => size(b) - size(a));
      found = found.slice(0, panel.top.count);
    }
    return found;
  }
  draw() {
    const panel = this.panel, store = panel.domains ? domains : all;
    const found = this.lines(store), shown = found.slice(0, LINES_MAX);
    this.root.hidden = found.length === 0;
    if (this.root.hidden) return;
    const scale = panel.scale ?? 1, bars = Boolean(panel.error || panel.positives);
    const values = shown.map((one) => panel.kind === "rate" ? rates(one.values, store.times) : one.values);
    const begin = firstShown(store);
    const rows = store.times.map((time, i) => [new Date(time), ...shown.map((one, k) => {
      const value = values[k][i];
      if (value === null || value === undefined) return bars ? [null, null, null] : null;
      if (!bars) return value * scale;
      const around = half(panel, store, one, i, value) || 0;
      return [value - around, value, value + around];
    })]).slice(begin);
    this.names = shown.map((one) => lineName(panel, one));
    this.colours = COLOURS[dark.matches ? "dark" : "light"];
    this.plot(rows, bars);
    this.table(store, found, shown, values);
  }
  plot(rows, bars) {
    const key = JSON.stringify([this.names, dark.matches]);
    const labels = ["time", ...this.names.map((name, i) => name + "\u200b".repeat(i))];
    if (this.graph && key === this.key) { this.graph.updateOptions({file: rows}); return; }
    this.graph?.destroy();
    this.key = key;
    const style = getComputedStyle(document.documentElement);
    this.graph = new Dygraph(this.canvas, rows, {
      labels, customBars: bars, colors: this.colours.slice(0, this.names.length), strokeWidth: 2,
      gridLineColor: style.getPropertyValue("--line"), axisLineColor: style.getPropertyValue("--line"),
      axisLabelWidth: 62, legend: "never", fillAlpha: 0.14, connectSeparatedPoints: true,
      includeZero: this.panel.kind === "rate", xRangePad: 4, yRangePad: 8, digitsAfterDecimal: Math.max(2, this.panel.digits),
      axes: {y: {axisLabelFormatter: (value) => short(value)}},
    });
  }
  table(store, found, shown, values) {
    const panel = this.panel, scale = panel.scale ?? 1;
    const end = store.times.length - 1, said = [];
    this.rows.replaceChildren(...shown.map((one, k) => {
      const value = values[k][end];
      const around = panel.error || panel.positives ? half(panel, store, one, end, value) : NaN;
      const now = text(value === null ? null : value * scale, panel.digits, panel.unit);
      const band = isFinite(around) ? " ± " + text(around, panel.digits) : "";
      said.push(`${this.names[k]} ${now}${band}`);
      const cell = element("td", {"data-name": one.name, "data-labels": JSON.stringify(one.labels), "data-value": String(last(one))}, now + band);
      return element("tr", {}, element("th", {scope: "row"}, swatch(this.colours[k % this.colours.length]), this.names[k]), cell);
    }));
    if (found.length > shown.length)
      this.rows.append(element("tr", {}, element("td", {class: "text", colspan: "2"}, `and ${found.length - shown.length} more, not plotted`)));
    this.canvas.setAttribute("aria-label", `${panel.title}, now: ${said.join("; ")}`);
  }
  move(event) { // the arrow keys read the plot at other times
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step || !this.graph) return;
    event.preventDefault();
    const count = this.graph.numRows(), at = this.graph.getSelection();
    const row = Math.min(count - 1, Math.max(0, (at < 0 ? count : at) + step));
    this.graph.setSelection(row);
    const parts = this.names.map((name, i) => `${name} ${short([this.graph.getValue(row, i + 1)].flat()[this.graph.getOption("customBars") ? 1 : 0])}`);
    this.canvas.setAttribute("aria-label", `${new Date(this.graph.getValue(row, 0)).toLocaleTimeString()}: ${parts.join("; ")}`);
  }
}

function swatch(colour) {
  const made = element("span", {class: "swatch", "aria-hidden": "true"});
  made.style.background = colour;
  return made;
}

function short(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size >= 1e9) return (value / 1e9).toPrecision(3) + " G";
  if (size >= 1e6) return (value / 1e6).toPrecision(3) + " M";
  if (size >= 1e4) return (value / 1e3).toPrecision(3) + " k";
  return String(+value.toPrecision(4));
}

// A table instead of a plot. `fill` gives rows of cells, the first of which heads the row.
class Table {
  constructor(panel) {
    this.panel = panel;
    this.head = element("tr");
    this.rows = element("tbody");
    this.root = element("figure", {"data-panel": panel.title},
      element("figcaption", {}, panel.title, element("small", {}, panel.help)),
      element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": panel.title},
        element("table", {}, element("thead", {}, this.head), this.rows)));
    this.root.hidden = true;
  }
  draw() {
    const {heads, rows} = TABLES[this.panel.table]();
    this.root.hidden = rows.length === 0;
    this.head.replaceChildren(...heads.map((head) => element("th", {scope: "col"}, head)));
    this.rows.replaceChildren(...rows);
  }
}

function row(cells, attributes = {}) {
  return element("tr", attributes, ...cells.map((cell, i) => i === 0 ? element("th", {scope: "row"}, cell)
    : cell instanceof Node ? cell : element("td", {}, cell)));
}

function valueCell(one, shown) {
  return element("td", one ? {"data-name": one.name, "data-labels": JSON.stringify(one.labels), "data-value": String(last(one))} : {}, shown);
}

const TABLES = {
  domains() {
    const found = domains.find("freshet_trainer_measured_labels", {window: "recent"})
      .filter((one) => !("popularity" in one.labels) && last(one) !== null);
    found.sort((a, b) => last(b) - last(a));
    return {heads: ["domain", "labels", "positives", "AUC", "predicted / observed", "NE"], rows: found.map((one) => {
      const of = (what) => domains.twin(one, "freshet_trainer_" + what);
      const labels = [one.labels.domain, valueCell(one, text(last(one), 0)), valueCell(of("measured_positives"), text(last(of("measured_positives")), 0))];
      if (isSmall(domains, one)) return row([...labels, element("td", {class: "text", colspan: "3"}, "too small to tell")]);
      return row([...labels, valueCell(of("auc"), `${text(last(of("auc")), 4)} ± ${text(2 * last(of("auc_error")), 4)}`),
        valueCell(of("calibration"), text(last(of("calibration")), 3)), valueCell(of("normalised_entropy"), text(last(of("normalised_entropy")), 4))]);
    })};
  },
  freshness() {
    const found = all.find("freshet_publisher_freshness_seconds_bucket");
    const total = last(found[found.length - 1]);
    if (!total) return {heads: [], rows: []};
    let before = 0, from = "0", marked = false;
    const rows = found.map((one) => {
      const count = last(one) - before, bound = one.labels.le, late = Number(from) * 1000 >= freshnessMs;
      const name = bound === "+Inf" ? `over ${from} s` : `${from} to ${bound} s`;
      const bar = element("span", {class: "bar"});
      bar.style.width = `${100 * count / total}%`;
      const attributes = {class: `${late ? "late" : ""} ${late && !marked ? "objective" : ""}`};
      marked ||= late;
      before = last(one);
      from = bound;
      return row([name, valueCell(one, text(count, 0)), element("td", {}, text(100 * count / total, 1, " %")), element("td", {class: "bars"}, bar)], attributes);
    });
    return {heads: ["age", "versions", "share", `above the line: within the objective of ${freshnessMs / 1000} s`], rows};
  },
  drops() {
    const found = all.find("freshet_*_dropped_total").filter((one) => last(one) > 0);
    found.sort((a, b) => last(b) - last(a));
    return {heads: ["reason", "input", "in all", "last 5 min"], rows: found.map((one) =>
      row([one.labels.reason, element("td", {class: "text"}, one.labels.input), valueCell(one, text(last(one), 0)), text(recent(all, one.values).by, 0)]))};
  },
};

// --- At a glance.

function tile(title, value, note) {
  return element("div", {class: "tile"}, element("h3", {}, title), element("strong", {}, value), element("small", {}, note));
}

function sum(list) { return list.reduce((total, one) => total + (last(one) ?? 0), 0); }

function catchUp(lag) { // from how the lag shrank over the last minutes
  const values = all.times.map((_, i) => all.find("freshet_*_lag_records").reduce((total, one) => total + Math.max(0, one.values[i] ?? 0), 0));
  const back = Math.max(0, values.length - 13), seconds = (all.times[values.length - 1] - all.times[back]) / 1000;
  const shrinking = (values[back] - lag) / seconds;
  if (lag === 0) return "nothing waits";
  if (!(shrinking > 0)) return shrinking < 0 ? "and growing" : "steady";
  const left = lag / shrinking;
  return `caught up in about ${left < 90 ? text(left, 0, " s") : left < 5400 ? text(left / 60, 0, " min") : text(left / 3600, 1, " h")}`;
}

function drawTiles() {
  const tiles = [];
  const read = all.find("freshet_*_records_total");
  if (read.length) {
    const each = read.map((one) => recent(all, one.values)), now = each.reduce((total, one) => total + (one.seconds ? one.by / one.seconds : 0), 0);
    tiles.push(tile("Records a second", text(now, 0), "mean of the last 5 min, all inputs"));
  }
  const lags = all.find("freshet_*_lag_records"), lag = Math.max(0, sum(lags));
  if (lags.length) tiles.push(tile("Records waiting", text(lag, 0), catchUp(lag)));
  for (const one of all.find("freshet_trainer_auc", {window: "recent", domain: "all"}).filter((found) => !("popularity" in found.labels)).slice(0, 4))
    tiles.push(tile(`AUC of ${one.labels.task}`, isSmall(all, one) ? "too few labels" : text(last(one), 4),
      isSmall(all, one) ? "to tell yet" : `± ${text(2 * last(all.twin(one, "freshet_trainer_auc_error")), 4)}, recent window`));
  const version = all.find("freshet_publisher_version")[0];
  const pinned = last(all.find("freshet_publisher_pinned_version")[0]), held = last(all.find("freshet_publisher_held_versions")[0]);
  if (version) tiles.push(tile("Version in Redis", last(version) ? text(last(version), 0) : "none yet",
    (pinned ? `pinned to ${text(pinned, 0)}` : "what scorers read") + (held ? `; ${text(held, 0)} held back` : "")));
  const buckets = all.find("freshet_publisher_freshness_seconds_bucket"), versions = last(buckets[buckets.length - 1]);
  if (versions) {
    const within = buckets.filter((one) => one.labels.le !== "+Inf" && Number(one.labels.le) * 1000 <= freshnessMs).pop();
    tiles.push(tile("Fresh versions", text(100 * (last(within) ?? 0) / versions, 1, " %"), `in Redis within ${freshnessMs / 1000} s`));
  }
  const drops = all.find("freshet_*_dropped_total").filter((one) => !["duplicate", "applied-before", "not-wanted", "left-out"].includes(one.labels.reason));
  if (drops.length) tiles.push(tile("Dropped", text(sum(drops), 0), "in all, those on purpose aside"));
  $("tiles").replaceChildren(...tiles);
}

const ALARMS = {
  lag_growing: "Lag grows", freshness: "Versions are late", auc: "AUC has dropped", calibration: "Calibration is off",
  drops: "Records are dropped", checkpoint_old: "A checkpoint is old", disk_full: "A disk is nearly full",
  unbalanced: "An account does not balance", gate_closed: "The gate holds versions back",
};

function drawAlarms(answer) {
  const firing = answer.alarms.filter((alarm) => alarm.firing);
  const rows = firing.map((alarm) => element("p", {class: "firing", "data-alarm": alarm.name}, element("b", {}, ALARMS[alarm.name] ?? alarm.name),
    ` since ${new Date(alarm.since_ms).toLocaleTimeString()}: ${alarm.detail}. What to do: docs/operations.md, “${alarm.name}”.`));
  const shown = firing.map((alarm) => alarm.name + alarm.detail).join();
  if ($("alarms").dataset.shown === shown) return; // a screen reader hears changes only
  $("alarms").dataset.shown = shown;
  $("alarms").replaceChildren(...(rows.length ? rows : [element("p", {}, "No alarm sounds.")]));
}

function drawHead(answer) {
  $("deployment").textContent = answer.deployment.name;
  document.title = `Freshet ${answer.deployment.name}`;
  const health = $("health");
  health.textContent = answer.ready ? "running" : answer.alive ? "not ready" : "failed";
  health.className = `pill ${answer.ready ? "good" : "bad"}`;
  $("about").textContent = `${answer.stages.names}, version ${answer.version}${answer.ready ? "" : ": " + answer.state.reason}`;
}

// --- Time and tasks.

let intervalMs = 5000, freshnessMs = 10000, rangeMs = 0, panels = [];

function firstShown(store) {
  if (!store.times.length) return 0;
  const begin = store.times[store.times.length - 1] - rangeMs;
  const found = store.times.findIndex((time) => time >= begin);
  return Math.max(0, found);
}

function spanName(ms) {
  return ms < 5400000 ? `last ${Math.round(ms / 60000) || 1} min` : `last ${Math.round(ms / 3600000)} h`;
}

function setRanges() {
  const fine = 300 * intervalMs, coarse = 720 * 24 * intervalMs;
  const choices = [fine / 5, fine, coarse / 4, coarse];
  $("range").replaceChildren(...choices.map((ms) => element("option", {value: String(ms)}, spanName(ms))));
  $("range").value = String(fine);
  rangeMs = fine;
}

function setTasks() {
  const tasks = [...new Set(all.find("freshet_trainer_auc").map((one) => one.labels.task))];
  const choice = $("task"), shown = [...choice.options].map((option) => option.value);
  choice.parentElement.hidden = tasks.length === 0;
  if (tasks.join() === shown.join()) return;
  const chosen = choice.value;
  choice.replaceChildren(...tasks.map((task) => element("option", {}, task)));
  if (tasks.includes(chosen)) choice.value = chosen;
}

async function ask(names, where, since) {
  const answer = await fetch(`history?${new URLSearchParams({names, where, since})}`);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

function drawAll() {
  drawTiles();
  for (const group of panels) {
    for (const panel of group.panels) panel.draw();
    group.root.hidden = group.panels.every((panel) => panel.root.hidden);
  }
}

let polling = Promise.resolve();

async function poll() {
  try {
    const answer = await ask(NAMES, "domain:all", all.since);
    if (all.since === 0 || answer.interval_ms !== intervalMs) {
      intervalMs = answer.interval_ms;
      setRanges();
    }
    freshnessMs = answer.freshness_ms;
    all.add(answer);
    setTasks();
    const task = $("task").value;
    if (task) domains.add(dropAll(await ask(DOMAIN_NAMES, `task:${task},window:recent`, domains.since)));
    drawHead(answer);
    drawAlarms(answer);
    if (answer.times.length) drawAll();
    document.body.dataset.samples = String(all.times.length);
  } catch (error) {
    $("health").textContent = "no answer";
    $("health").className = "pill bad";
    $("about").textContent = `the daemon does not answer (${error.message}); asking again`;
  }
}

// Domain measures without those over all domains, which the other store has.
function dropAll(answer) {
  return {...answer, series: answer.series.filter((one) => one.labels.domain !== "all")};
}

function pollSoon() { polling = polling.then(poll); return polling; }

function start() {
  panels = GROUPS.map((group) => {
    const made = group.panels.map((panel) => panel.table ? new Table(panel) : new Plot(panel));
    const root = element("section", {}, element("h2", {}, group.title), element("div", {class: "group"}, ...made.map((panel) => panel.root)));
    $("panels").append(root);
    return {root, panels: made};
  });
  $("range").addEventListener("change", () => { rangeMs = Number($("range").value); drawAll(); });
  $("task").addEventListener("change", () => { domains.clear(); pollSoon().then(drawAll); });
  dark.addEventListener("change", drawAll);
  const loop = () => pollSoon().finally(() => setTimeout(loop, Math.max(1000, intervalMs)));
  loop();
}

start();
