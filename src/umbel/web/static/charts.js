// Draws every .plot from the data block beside it; a refresh brings a new block and the plot takes its numbers.
"use strict";

window.umbelCharts = (() => {
  const plots = new Map(); // plot element -> { chart, data, text }

  function colour(name) {
    const probe = document.createElement("i");
    probe.className = `c-${name}`;
    probe.hidden = true;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function token(name) {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function faded(rgb, alpha) {
    return rgb.replace(/^rgb\(([^)]*)\)$/, `rgb($1 / ${alpha})`).replaceAll(",", " ");
  }

  function rate(value) {
    if (value === null || value === undefined) return "–";
    if (value >= 100) return Math.round(value).toLocaleString();
    return value >= 10 ? value.toFixed(1) : value === 0 ? "0" : value.toFixed(2);
  }

  function seconds(value) {
    if (value === null || value === undefined) return "–";
    if (value < 0.00095) return "<1 ms";
    if (value < 0.9995) return `${value < 0.0095 ? (value * 1000).toFixed(1).replace(/\.0$/, "") : Math.round(value * 1000)} ms`;
    if (value < 59.95) return `${value < 9.995 ? value.toFixed(2).replace(/\.?0+$/, "") : value.toFixed(1).replace(/\.0$/, "")} s`;
    if (value < 3600) return `${Math.round(value / 60)} m`;
    return value < 86400 ? `${(value / 3600).toFixed(1)} h` : `${(value / 86400).toFixed(1)} d`;
  }

  function plain(value) {
    return value >= 1000 ? Math.round(value).toLocaleString() : String(Number(value.toPrecision(4)));
  }

  const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString());

  const shown = { rate, seconds, count };

  function columns(data) {
    // Stacked ones are summed from below; the highest is drawn first, so the last stacked line is the whole.
    const sums = new Array(data.times.length).fill(0);
    const lines = data.lines.map((line) => line.stacked ? line.values.map((value, i) => (value === null ? null : (sums[i] += value))) : line.values);
    const order = drawn(data);
    return [data.times, ...order.map((i) => lines[i])];
  }

  function drawn(data) {
    const indexes = data.lines.map((_, i) => i);
    return [...indexes.filter((i) => data.lines[i].stacked).reverse(), ...indexes.filter((i) => !data.lines[i].stacked)];
  }

  function series(data) {
    const bars = uPlot.paths.bars({ size: [0.86, 120], align: 1 });
    return drawn(data).map((i) => {
      const line = data.lines[i];
      const stroke = colour(line.key);
      return line.stacked
        ? { stroke, fill: stroke, width: 0, paths: bars, points: { show: false } }
        : { stroke, width: 1.75, spanGaps: false, points: { show: data.lines.length > 0, size: 4, filter: lonely, fill: stroke } };
    });
  }

  // A point is drawn only where no line reaches it.
  function lonely(u, index) {
    const values = u.data[index];
    return values.map((value, i) => (value !== null && (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null ? i : -1)).filter((i) => i >= 0);
  }

  function gaps(u, data) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const gap of data.gaps) {
      const from = u.valToPos(gap.from, "x", true);
      const wide = Math.max(3 * devicePixelRatio, u.valToPos(gap.to, "x", true) - from);
      ctx.fillStyle = token("--gap");
      ctx.fillRect(from, bbox.top, wide, bbox.height);
      ctx.fillStyle = token("--gap-edge");
      ctx.fillRect(from, bbox.top, wide, 3 * devicePixelRatio);
    }
    ctx.restore();
  }

  // Deploys and changes of version: a dashed line with its name at the top, where there is room for it.
  function marks(u, data) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = token("--ink-2");
    ctx.lineWidth = 1.5 * ratio;
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    let free = bbox.left + bbox.width;
    for (const mark of [...data.marks].reverse()) {
      const at = u.valToPos(mark.at, "x", true);
      ctx.setLineDash(mark.kind === "deploy" ? [4 * ratio, 3 * ratio] : [ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
      const name = mark.name.length > 18 ? `${mark.name.slice(0, 17)}…` : mark.name;
      const wide = ctx.measureText(name).width + 8 * ratio;
      const left = at + wide <= free ? at + 4 * ratio : at - wide + 4 * ratio;
      if (left + wide - 8 * ratio > free || left < bbox.left) continue;
      ctx.fillText(name, left, bbox.top + 4 * ratio);
      free = Math.min(left, at) - 4 * ratio;
    }
    ctx.restore();
  }

  // The newest column that has numbers: the one that has just begun has none.
  function newest(data) {
    const has = (i) => data.lines.some((line) => line.values[i] !== null);
    let at = data.times.length - 1;
    while (at > 0 && !has(at)) at -= 1;
    return at;
  }

  function legend(plot, data, index) {
    const root = plot.closest(".chart");
    const at = index ?? newest(data);
    for (const value of root.querySelectorAll("[data-key]")) {
      const line = data.lines.find((candidate) => candidate.key === value.dataset.key);
      value.textContent = line ? shown[data.unit](line.values[at]) : "–";
    }
    const when = root.querySelector("[data-at]");
    if (when) {
      const clock = (moment) => new Date(moment * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
      when.textContent = index === null || index === undefined ? data.latest : `${clock(data.times[at])} to ${clock(data.times[at] + data.step)}`;
      when.title = new Date(data.times[at] * 1000).toISOString().replace(/T(.*)\..*/, " $1 UTC");
    }
  }

  function axisTimes(u, splits) {
    const x = u.scales.x;
    const days = x.max - x.min > 2 * 86400;
    const form = days ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", ...(x.max - x.min < 600 ? { second: "2-digit" } : {}), hourCycle: "h23" };
    return splits.map((split) => new Date(split * 1000).toLocaleString(undefined, form));
  }

  function options(plot, state) {
    const data = state.data;
    const log = data.unit === "seconds";
    const axis = { stroke: token("--ink-3"), grid: { stroke: token("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width: plot.clientWidth,
      height: plot.clientHeight,
      legend: { show: false },
      padding: [8, 18, 0, 0],
      cursor: { sync: { key: "umbel" }, drag: { x: true, y: false, setScale: false }, points: { show: log }, y: false },
      scales: {
        x: { time: true, range: () => [state.data.from, state.data.to] },
        y: log ? { distr: 3, range: (u, low, high) => logRange(low, high) } : { range: (u, low, high) => [0, Math.max(high * 1.12, 0.1)] },
      },
      axes: [
        { ...axis, space: 64, values: axisTimes, size: 26, gap: 9 },
        { ...axis, space: plot.clientHeight < 120 ? 24 : 30, size: 56, gap: 6, values: (u, splits) => splits.map((split) => (split === null || (data.unit === "count" && split % 1) ? "" : log ? seconds(split) : plain(split))), ...(log ? { splits: ticks, filter: (u, splits) => splits } : {}) },
      ],
      series: [{}, ...series(data)],
      hooks: {
        drawClear: [(u) => gaps(u, state.data)],
        draw: [(u) => marks(u, state.data)],
        setCursor: [(u) => legend(plot, state.data, u.cursor.idx)],
        setSelect: [(u) => brush(u, state.data)],
      },
    };
  }

  function logRange(low, high) {
    if (low === null || high === null || !(high > 0)) return [0.001, 10];
    const from = 10 ** Math.floor(Math.log10(Math.max(low, 0.0001)));
    return [from, Math.max(TICKS.find((tick) => tick >= high) ?? high, from * 10)];
  }

  const TICKS = [0.0001, 0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000];

  function ticks(u, axis, low, high) {
    return TICKS.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
  }

  // A drag over a chart asks for the tasks of that span.
  function brush(u, data) {
    if (!data.link || u.select.width < 6) return;
    const from = u.posToVal(u.select.left, "x");
    const to = u.posToVal(u.select.left + u.select.width, "x");
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    const text = (moment) => new Date(moment * 1000).toISOString().slice(0, 19) + "Z";
    location.assign(data.link + encodeURIComponent(`${data.field}:>=${text(from)} ${data.field}:<${text(to)}`));
  }

  function draw() {
    for (const [plot, state] of plots) if (!plot.isConnected) { state.chart.destroy(); plots.delete(plot); }
    for (const plot of document.querySelectorAll(".plot")) {
      const block = plot.closest(".chart").querySelector('script[type="application/json"]');
      const known = plots.get(plot);
      if (known?.text === block.textContent) { legend(plot, known.data, known.chart.cursor.idx); continue; }
      const data = JSON.parse(block.textContent);
      if (known) {
        Object.assign(known, { data, text: block.textContent });
        known.chart.setData(columns(data));
        legend(plot, data, known.chart.cursor.idx);
        continue;
      }
      const state = { data, text: block.textContent, chart: null };
      plot.replaceChildren();
      state.chart = new uPlot(options(plot, state), columns(data), plot);
      plots.set(plot, state);
      resize.observe(plot);
      legend(plot, data, null);
    }
  }

  const resize = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = plots.get(target)?.chart;
      if (chart && target.clientWidth && target.clientWidth !== chart.width) chart.setSize({ width: target.clientWidth, height: target.clientHeight });
    }
  });

  function redraw() {
    for (const [plot, state] of plots) { state.chart.destroy(); plots.delete(plot); }
    draw();
  }

  // On paper: the light colours, and as wide as a sheet, whatever the screen has.
  const PAPER = 690;
  let chosen;
  addEventListener("beforeprint", () => {
    chosen = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    redraw();
    for (const { chart } of plots.values()) chart.setSize({ width: Math.min(PAPER, chart.width), height: chart.height });
  });
  addEventListener("afterprint", () => {
    if (chosen === undefined) delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = chosen;
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return { draw, redraw };
})();
