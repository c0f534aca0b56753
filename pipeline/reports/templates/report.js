"use strict";
(() => {
  const page = JSON.parse(document.getElementById("page").textContent);
  const LABELLED = 30;  // classes, up to which cells of the confusion matrix show their numbers
  const THUMBS = 6;     // images of a confused pair
  const $ = (id) => document.getElementById(id);

  function element(name, properties = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in node) node[key] = value; else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }
  const count = (number) => number.toLocaleString("en");
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
  const images = (number) => `${count(number)} image${number === 1 ? "" : "s"}`;

  // --- tables that can be sorted -----------------------------------------------------------

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button")?.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "descending" : "ascending");
        sort(table, column, up ? -1 : 1);
      });
    });
  }

  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((a, b) => {
      const [first, second] = [value(a), value(b)];
      const difference = first - second;
      return direction * (Number.isNaN(difference) ? first.localeCompare(second) : difference);
    });
    body.append(...rows);
  }

  // --- images ------------------------------------------------------------------------------

  function thumbnail(place, note) {
    const [id, uri, why] = page.images[place];
    const shown = uri
      ? element("img", { src: uri, alt: "", decoding: "async" })
      : element("span", { className: "lost" }, id);
    const title = why ? `${id} ${why}` : id;
    const framed = page.candidates[page.evidence.rank] === candidate && place in page.evidence.pictures;
    return element("figure", { className: "thumb", title }, framed ? opener(place, shown) : shown,
      element("figcaption", {}, note, element("span", { className: "unseen" }, ` ${title}`)));
  }

  function opener(place, shown) {
    const button = element("button", {
      type: "button", className: "framed", "aria-haspopup": "dialog",
      "aria-label": `Show where the evidence lies in ${page.images[place][0]}`,
    }, shown);
    button.addEventListener("click", () => {
      const [picture, sentence] = page.evidence.pictures[place];
      $("evidence-title").textContent = page.images[place][0];
      $("evidence-picture").replaceChildren(element("img", {
        src: picture, alt: "On the left the image, on the right the same under its evidence: the brighter, the more.",
      }));
      $("evidence-text").textContent = sentence;
      $("evidence").showModal();
    });
    return button;
  }

  $("evidence-close").addEventListener("click", () => $("evidence").close());
  $("evidence").addEventListener("click", (event) => {  // beside the picture
    if (event.target === $("evidence")) $("evidence").close();
  });

  // --- the confusion matrix ----------------------------------------------------------------

  let candidate, cells, at;  // what is shown: its cells by "true,predicted", and the chosen cell
  const key = (row, column) => `${row},${column}`;
  const classes = page.classes.length;

  function matrix() {
    const highest = Math.max(1e-9, ...candidate.cells.filter(([a, b]) => a !== b)
      .map(([a, , n]) => n / candidate.scores[a][3]));
    const table = element("table", {
      className: "matrix", role: "grid", "aria-labelledby": "confusion-title",
      "aria-rowcount": classes, "aria-colcount": classes,
    });
    table.classList.toggle("dense", classes > LABELLED);
    const head = element("tr", { role: "row" }, element("td", { role: "presentation" }));
    page.classes.forEach((name) => head.append(
      element("th", { scope: "col", title: name, role: "columnheader" }, element("span", {}, name))));
    table.append(head);
    page.classes.forEach((name, row) => {
      const line = element("tr", { role: "row" },
        element("th", { scope: "row", title: name, role: "rowheader" }, element("span", {}, name)));
      for (let column = 0; column < classes; column++) line.append(cell(row, column, highest));
      table.append(line);
    });
    table.addEventListener("click", (event) => {
      const clicked = event.target.closest("[data-cell]");
      if (clicked) choose(...clicked.dataset.cell.split(",").map(Number), true);
    });
    table.addEventListener("keydown", move);
    $("confusion").replaceChildren(table);
  }

  function cell(row, column, highest) {
    const number = cells.get(key(row, column))?.[2] ?? 0;
    const share = number / Math.max(1, candidate.scores[row][3]);
    const node = element("td", {
      role: "gridcell", tabIndex: -1, "data-cell": key(row, column),
      className: row === column ? "hit" : number ? "miss" : "",
      title: `${page.classes[row]} taken for ${page.classes[column]}: ${number}`,
    }, number && classes <= LABELLED ? count(number) : "");
    node.setAttribute("aria-label", `${page.classes[row]} taken for ${page.classes[column]}: ${number}`);
    node.style.setProperty("--heat", row === column ? share : Math.sqrt(share / highest));
    return node;
  }

  function move(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const from = event.target.dataset.cell?.split(",").map(Number);
    if (!from) return;
    if (event.key === "Enter" || event.key === " ") choose(...from, true);
    else if (event.key in steps) {
      const [row, column] = from.map((place, side) =>
        Math.min(classes - 1, Math.max(0, place + steps[event.key][side])));
      focusable(row, column).focus();
    } else return;
    event.preventDefault();
  }

  const cellAt = (row, column) => $("confusion").querySelector(`[data-cell="${key(row, column)}"]`);
  function focusable(row, column) {  // one cell of the grid is in the tab order
    $("confusion").querySelectorAll('[tabindex="0"]').forEach((each) => { each.tabIndex = -1; });
    const cell = cellAt(row, column);
    cell.tabIndex = 0;
    return cell;
  }

  function choose(row, column, focus) {
    $("confusion").querySelectorAll("[aria-selected]").forEach((each) => each.removeAttribute("aria-selected"));
    const cell = focusable(row, column);
    cell.setAttribute("aria-selected", "true");
    if (focus) cell.focus();
    at = [row, column];
    describe(row, column);
  }

  function describe(row, column) {
    const [, , number, shown] = cells.get(key(row, column)) ?? [row, column, 0, []];
    const [, recall, , all] = candidate.scores[row];
    const names = [page.classes[row], page.classes[column]];
    const right = row === column;
    const text = right
      ? `${images(number)} of ${count(all)} found (recall ${percent(recall)}).`
      : number
        ? `${images(number)}, ${percent(number / all)} of this class. ` + cut(shown.length, number)
        : "Never.";
    $("cell").replaceChildren(
      element("h3", {}, names[0], right ? " found" : " taken for ", right ? "" : names[1]),
      element("p", { className: "small muted" }, text),
      element("div", { className: "thumbs" },
        ...shown.map(([place, sure]) => thumbnail(place, `${(100 * sure).toFixed(0)} % sure`))));
  }

  function cut(shown, number) {
    if (shown === number) return "The surest first.";
    return shown ? `Shown: ${shown} of them, the surest first.` : "None of them is among the images of this page.";
  }

  // --- the most confused pairs, and the classes --------------------------------------------

  function pairs() {
    const cards = candidate.pairs.map(([a, b, number]) => {
      const shown = cells.get(key(a, b))[3].slice(0, THUMBS);
      const open = element("button", { type: "button" },
        element("b", {}, page.classes[a]), " taken for ", element("b", {}, page.classes[b]));
      open.addEventListener("click", () => {
        choose(a, b, false);
        $("cell").scrollIntoView({ block: "nearest" });
      });
      return element("div", { className: "card" }, open,
        element("span", { className: "small muted" },
          `${images(number)}, ${percent(number / candidate.scores[a][3])} of ${page.classes[a]}`),
        element("div", { className: "thumbs" },
          ...shown.map(([place, sure]) => thumbnail(place, `${(100 * sure).toFixed(0)} %`))));
    });
    $("pairs").replaceChildren(...(cards.length ? cards : [element("p", { className: "muted" }, "No mistakes.")]));
  }

  function scores() {
    const number = (value) => {
      const cell = element("td", { className: "number share", "data-value": value }, (100 * value).toFixed(1));
      cell.style.setProperty("--share", value);
      return cell;
    };
    const rows = candidate.scores.map(([precision, recall, f1, all], label) => element("tr", {},
      element("th", { scope: "row", "data-value": page.classes[label] }, page.classes[label]),
      ...[precision, recall, f1].map(number),
      element("td", { className: "number", "data-value": all }, count(all))));
    const table = $("classes");
    table.tBodies[0].replaceChildren(...rows);
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    sort(table, column, heads[column].getAttribute("aria-sort") === "ascending" ? 1 : -1);
  }

  function precision(rank) {
    $("average-precision").textContent = candidate.precision;
    charts.draw($("plot-precision"), page.figures[`precision-${rank}`]);
  }

  function certainty(rank) {
    const [before, after] = candidate.errors;
    $("error-before").textContent = `${before} %`;
    $("error-after").textContent = `${after} %`;
    $("temperature").textContent = candidate.temperature;
    $("meaning").textContent = candidate.temperature > 1
      ? "above 1, it was too sure of itself" : "at most 1, it was less sure than it could be";
    charts.draw($("plot-reliability"), page.figures[`reliability-${rank}`]);
  }

  // --- one candidate at a time -------------------------------------------------------------

  function show(rank) {
    candidate = page.candidates[rank];
    cells = new Map(candidate.cells.map((each) => [key(each[0], each[1]), each]));
    document.querySelectorAll("select.candidate").forEach((each) => { each.value = rank; });
    document.querySelectorAll(".shown").forEach((each) => { each.textContent = candidate.label; });
    matrix();
    const [a, b] = candidate.pairs[0] ?? [0, 0];
    choose(...(at && cells.has(key(...at)) ? at : [a, b]), false);
    pairs();
    scores();
    if ($("plot-precision")) precision(rank);
    certainty(rank);
  }

  function training() {
    const turn = $("history").value;
    for (const of of ["loss", "accuracy"]) charts.draw($(`plot-${of}`), page.figures[`${of}-${turn}`]);
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("select.candidate").forEach((each) =>
    each.addEventListener("change", () => show(Number(each.value))));
  document.querySelectorAll(".pick").forEach((each) => each.addEventListener("click", () => {
    show(Number(each.dataset.pick));
    $("mistakes").scrollIntoView();
  }));
  for (const name of ["fit", "predict", "layers", "learning"]) {
    if (page.figures[name]) charts.draw($(`plot-${name}`), page.figures[name]);
  }
  show(page.shown);
  if ($("history")) {
    $("history").addEventListener("change", training);
    training();
  }
})();
