"use strict";
// Each image is a request of its own, so that one that is slow or broken holds up no other.
const results = document.getElementById("results");
const status = document.getElementById("status");
const drop = document.getElementById("drop");
const template = document.getElementById("result");
let waiting = 0;

const percent = (share) => `${(100 * share).toFixed(1)} %`;

async function ask(path, file) {
  const answer = await fetch(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  if (answer.ok) return answer;
  const reason = await answer.json().catch(() => ({}));
  throw new Error(reason.error || `the service answered ${answer.status}`);
}

function row(of) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = of.class;
  const bar = document.createElement("td");
  bar.className = "bar";
  const filled = document.createElement("span");
  filled.style.width = `${100 * of.probability}%`;
  bar.append(filled);
  const number = document.createElement("td");
  number.className = "number";
  number.textContent = percent(of.probability);
  line.append(name, bar, number);
  return line;
}

function say() {
  status.textContent = waiting ? `${waiting} under way` : "";
}

function problem(item, reason) {
  item.querySelector("h2").textContent = "No answer";
  const text = item.querySelector(".set");
  text.textContent = reason;
  text.classList.add("problem");
  item.querySelector(".why").remove();
  item.querySelector("img").remove();
  item.classList.add("single");
}

function show(item, file, found) {
  item.querySelector("h2").textContent = `${found.class}, ${percent(found.probability)}`;
  item.querySelector("tbody").append(...found.top.map(row));
  item.querySelector(".unlike").hidden = !found.unlike;
  item.querySelector(".set").textContent = `${Math.round(100 * COVERAGE)} % sure it is one of: ${found.set.join(", ")}`;
  const why = item.querySelector(".why");
  why.addEventListener("click", async () => {
    why.disabled = true;
    why.textContent = "Looking…";
    try {
      const picture = await (await ask("explain", file)).blob();
      const image = item.querySelector("img");
      image.src = URL.createObjectURL(picture);
      image.alt = `${file.name}, and beside it where the evidence for ${found.class} lies`;
      why.remove();
    } catch (error) {
      why.textContent = error.message;
    }
  });
}

async function add(file) {
  const item = template.content.firstElementChild.cloneNode(true);
  const image = item.querySelector("img");
  image.src = URL.createObjectURL(file);
  image.alt = file.name;
  item.querySelector(".file").textContent = file.name;
  results.prepend(item);
  waiting += 1;
  say();
  try {
    const found = (await (await ask("predict", file)).json()).predictions[0];
    if (found.problem) problem(item, found.problem);
    else show(item, file, found);
  } catch (error) {
    problem(item, error.message);
  }
  waiting -= 1;
  say();
}

document.getElementById("files").addEventListener("change", (event) => {
  [...event.target.files].forEach(add);
  event.target.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  [...event.dataTransfer.files].forEach(add);
});
