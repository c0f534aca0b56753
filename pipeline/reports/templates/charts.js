"use strict";
// Plotly figures in the colours and type of the page, drawn anew when the theme changes.
const charts = (() => {
  const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, showTips: false };
  const drawn = new Map();  // element -> figure

  // Strings such as "--accent", wherever they stand, are names of colours in style.css.
  function coloured(value) {
    if (typeof value === "string") return /^--[a-z-]+$/.test(value) ? theme.colour(value) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, coloured(inner)]));
  }

  function axis(own) {
    return {
      gridcolor: "--line", linecolor: "--line", zeroline: false, automargin: true, fixedrange: true,
      ticks: "outside", tickcolor: "--line", ticklen: 4, ...own,
      title: { standoff: 10, ...own?.title },
    };
  }

  function layout(figure) {
    const own = figure.layout;
    const axes = Object.keys(own).filter((key) => /^[xy]axis\d*$/.test(key));
    return coloured({
      ...own,
      ...Object.fromEntries(axes.map((key) => [key, axis(own[key])])),
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: "--ink" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 10, r: 14, t: 24, b: 10 },
      hovermode: "closest", dragmode: false, autosize: true,
      hoverlabel: { bgcolor: "--surface", bordercolor: "--faint", font: { color: "--ink" }, align: "left" },
      legend: { orientation: "h", x: 0, y: 1.03, yanchor: "bottom", ...own.legend },
    });
  }

  function paint(element, figure) {
    Plotly.react(element, coloured(figure.data), layout(figure), CONFIG);
  }

  // Every chart has its numbers as a table below it, for those who cannot see it.
  function numbers(element, figure) {
    const details = element.parentElement.querySelector("details") ?? document.createElement("details");
    details.className = "small no-print";
    const rows = figure.data.filter((trace) => trace.hoverinfo !== "skip").flatMap((trace) =>
      trace.x.map((x, at) => [[trace.name, trace.text?.[at]].filter(Boolean).join(": "), x, trace.y[at]]));
    const said = (value) => (typeof value === "number" ? String(+value.toPrecision(4)) : value);
    const table = document.createElement("table");
    const heads = ["", figure.layout.xaxis.title.text, figure.layout.yaxis.title.text];
    for (const [at, row] of [heads, ...rows].entries()) {
      const line = table.insertRow();
      for (const [column, value] of row.entries()) {
        const cell = line.appendChild(document.createElement(at ? "td" : "th"));
        if (column) cell.className = "number";
        cell.textContent = plain(said(value));
      }
    }
    const summary = document.createElement("summary");
    summary.textContent = "The numbers";
    details.replaceChildren(summary, table);
    element.after(details);
  }

  // Names in figures are escaped for plotly; here they are text again.
  function plain(text) {
    return text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
  }

  function draw(element, figure) {
    drawn.set(element, figure);
    paint(element, figure);
    numbers(element, figure);
  }

  const again = () => drawn.forEach((figure, element) => paint(element, figure));
  document.addEventListener("theme", again);
  // Paper is narrower than most windows, and nothing is laid out anew for it by itself.
  const printing = (now) => {
    document.documentElement.classList.toggle("printing", now);
    drawn.forEach((_, element) => Plotly.relayout(
      element, now ? { width: element.clientWidth } : { width: null, autosize: true }));
  };
  window.addEventListener("beforeprint", () => printing(true));
  window.addEventListener("afterprint", () => printing(false));

  return { draw };
})();
